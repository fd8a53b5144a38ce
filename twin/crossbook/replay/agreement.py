"""How far the fills here agree with the recorded ones, and why the others do not.

Each order whose filled volume differs gets the first reason of `Difference` that holds for it, in that order. The
reasons down to CROSSED_AT_VENUE are found in the recording itself; KNOCK_ON means that one of the orders it met, here
or there, has a reason of its own: one market order that the venue walked down the book changes what all behind it find.
"""

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from crossbook.replay.model import ReplayModel
from crossbook.replay.recording import ROUNDING, RecordedOrder, Recording


class Difference(StrEnum):
    """Why an order's fills here are not the recorded ones."""

    REFUSED = "refused here"
    NOT_AS_MODELED = "did otherwise than a plain book fed in the recorded order: outages can cost the order of arrival"
    ROUNDING = "the venue rounds what is left: off by at most 2e-8"
    MARKET_ORDER = "a market order at the venue: it moved its price, here it kept its first one"
    OLDER_PARTNER = "met an order older than the capture"
    DELETED_FIRST = "the recording deletes it before it creates it"
    CROSSED_AT_VENUE = "the venue left it crossed or matched it later; a book here matches at once"
    KNOCK_ON = "met, here or there, an order that differs for one of these reasons"
    BEHIND = "stands in a queue that the above made longer or shorter"


@dataclass(frozen=True, slots=True, kw_only=True)
class Agreement:
    """Volumes are in 10⁻⁸ of the base asset. An order counts as traded if it did here or at the venue."""

    order_count: int
    accepted_count: int
    exact_count: int
    traded_count: int
    traded_exact_count: int
    recorded_volume: int
    filled_volume: int
    common_volume: int
    modeled_count: int
    """Orders whose fills here are exactly those of a plain book fed in the recorded order."""
    differences: Mapping[Difference, int] = field(default_factory=dict)

    @property
    def exact_share(self) -> float:
        """Of all orders, how many filled exactly as recorded."""
        return self.exact_count / self.order_count if self.order_count else 1.0

    @property
    def traded_exact_share(self) -> float:
        """Of the orders that traded here or there."""
        return self.traded_exact_count / self.traded_count if self.traded_count else 1.0

    @property
    def volume_share(self) -> float:
        """Volume that both have, of the larger of the two."""
        whole = max(self.recorded_volume, self.filled_volume)
        return self.common_volume / whole if whole else 1.0


def compare_fills(
    recording: Recording, model: ReplayModel, filled: Mapping[int, int], refused: frozenset[int]
) -> Agreement:
    """`filled` maps the recorded id of every order placed here to the volume it filled; `refused` had no order."""
    placed = {identifier: recording.orders[identifier] for identifier in filled.keys() | refused}
    ours = {identifier: filled.get(identifier, 0) for identifier in placed}
    traded = [identifier for identifier, order in placed.items() if order.traded or ours[identifier]]
    different = {identifier for identifier in traded if placed[identifier].traded != ours[identifier]}
    return Agreement(
        order_count=len(placed),
        accepted_count=len(filled),
        exact_count=len(placed) - len(different),
        traded_count=len(traded),
        traded_exact_count=len(traded) - len(different),
        recorded_volume=sum(placed[identifier].traded for identifier in traded),
        filled_volume=sum(ours.values()),
        common_volume=sum(min(placed[identifier].traded, ours[identifier]) for identifier in traded),
        modeled_count=sum(1 for identifier in filled if _modeled(model, identifier) == filled[identifier]),
        differences=_classify(recording, model, ours, different, refused),
    )


def _modeled(model: ReplayModel, identifier: int) -> int:
    order = model.orders.get(identifier)
    return order.filled if order is not None else 0


def _classify(
    recording: Recording,
    model: ReplayModel,
    ours: Mapping[int, int],
    different: set[int],
    refused: frozenset[int],
) -> dict[Difference, int]:
    rules: list[tuple[Difference, Callable[[RecordedOrder], bool]]] = [
        (Difference.REFUSED, lambda order: order.recorded_id in refused),
        (Difference.NOT_AS_MODELED, lambda order: _modeled(model, order.recorded_id) != ours[order.recorded_id]),
        (Difference.ROUNDING, lambda order: abs(order.traded - ours[order.recorded_id]) <= ROUNDING),
        (Difference.MARKET_ORDER, lambda order: order.has_moved_price),
        (Difference.DELETED_FIRST, lambda order: order.was_deleted_before_created),
        (Difference.OLDER_PARTNER, lambda order: any(_is_older(recording, other) for other in order.met)),
        (
            Difference.CROSSED_AT_VENUE,
            lambda order: _crossed_untraded(recording, model, order),
        ),
    ]
    causes: dict[int, Difference] = {}
    for identifier in different:
        order = recording.orders[identifier]
        for difference, holds in rules:
            if holds(order):
                causes[identifier] = difference
                break
    _spread(recording, model, different, causes)
    return dict(Counter(causes.get(identifier, Difference.BEHIND) for identifier in different))


def _is_older(recording: Recording, identifier: int) -> bool:
    return not recording.orders[identifier].is_created


def _crossed_untraded(recording: Recording, model: ReplayModel, order: RecordedOrder) -> bool:
    """It met an order here that it could not have missed at the venue either, had that matched at once: both were
    recorded as open at prices that cross, and yet are not recorded as meeting."""
    modeled = model.orders.get(order.recorded_id)
    if modeled is None:
        return False
    return any(
        not recording.orders[other].has_moved_price and other not in order.met
        for other in modeled.met
        if recording.orders[other].traded == 0 or order.traded == 0
    )


def _spread(recording: Recording, model: ReplayModel, different: set[int], causes: dict[int, Difference]) -> None:
    """Give KNOCK_ON to whoever met an order with a cause, again and again."""
    changed = True
    while changed:
        changed = False
        for identifier in sorted(different - causes.keys()):
            modeled = model.orders.get(identifier)
            met = recording.orders[identifier].met | (modeled.met if modeled is not None else set())
            if met & causes.keys() or any(recording.orders[other].has_moved_price for other in met):
                causes[identifier] = Difference.KNOCK_ON
                changed = True
