"""After the last answer: what became of every accepted order, by its id, as any client could ask."""

import asyncio
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from functools import partial
from typing import Any, Final

from crossbook.clients.api_client import ApiProblemError
from crossbook.clients.patience import ReplayStalledError
from crossbook.replay.driver import PlacedOrder, ReplayDriver
from crossbook.replay.recording import VOLUME_DECIMALS
from exchange_core.money import to_units
from exchange_core.orders import OrderStatus

POLL_S: Final = 0.25
LOOKUPS_IN_FLIGHT: Final = 32


@dataclass(slots=True, kw_only=True)
class Outcome:
    """All by recorded id. `missing` were accepted and not found, be it once: there must be none.

    `unsettled` were found but did not come to rest in time; `resting` are open, with what is left of them.
    """

    filled: dict[int, int] = field(default_factory=dict)
    statuses: dict[int, OrderStatus] = field(default_factory=dict)
    reasons: dict[int, str] = field(default_factory=dict)
    missing: dict[int, str] = field(default_factory=dict)
    unsettled: set[int] = field(default_factory=set)

    @property
    def resting(self) -> list[int]:
        """Orders that are still in the book."""
        return [identifier for identifier, status in self.statuses.items() if not status.is_final]


async def look_up(driver: ReplayDriver, *, patience_s: float) -> Outcome:
    """Ask for every accepted order until none will change any more, at most `patience_s` without a change."""
    outcome = Outcome()
    await _wait_drained(driver, outcome, patience_s)
    await _ask(driver, driver.placed.keys(), outcome)
    loop = asyncio.get_running_loop()
    changed_s, left = loop.time(), _moving(driver, outcome)
    while left and loop.time() - changed_s < patience_s:
        await asyncio.sleep(POLL_S)
        await _ask(driver, left, outcome)
        still = _moving(driver, outcome)
        if still != left:
            changed_s, left = loop.time(), still
    outcome.unsettled = left
    return outcome


async def _wait_drained(driver: ReplayDriver, outcome: Outcome, patience_s: float) -> None:
    """Wait for the last orders and cancels: what was sent before them was matched before them."""
    last = set(list(driver.placed)[-LOOKUPS_IN_FLIGHT:])
    canceled = [identifier for identifier, order in driver.placed.items() if order.is_cancel_sent]
    last |= set(canceled[-LOOKUPS_IN_FLIGHT:])
    loop = asyncio.get_running_loop()
    give_up_s = loop.time() + patience_s
    await _ask(driver, last, outcome)
    while loop.time() < give_up_s and last & _moving(driver, outcome):
        await asyncio.sleep(POLL_S)
        await _ask(driver, last & _moving(driver, outcome), outcome)


def _moving(driver: ReplayDriver, outcome: Outcome) -> set[int]:
    """Orders that were asked for and will change: not matched yet, or canceled and not ended yet."""
    return {
        identifier
        for identifier, status in outcome.statuses.items()
        if status is OrderStatus.ACCEPTED or (driver.placed[identifier].is_cancel_sent and not status.is_final)
    }


async def cancel_resting(driver: ReplayDriver, outcome: Outcome) -> int:
    """Take what still rests out of the book, so that the next replay finds it as this one did; returns how many."""
    canceled = 0
    for order in (driver.placed[identifier] for identifier in outcome.resting):
        try:
            await driver.patience.insist(partial(order.account.cancel, order.order_id))
            canceled += 1
        except ApiProblemError:
            continue  # it ended meanwhile
    return canceled


async def _ask(driver: ReplayDriver, identifiers: Iterable[int], outcome: Outcome) -> None:
    waiting = [driver.placed[identifier] for identifier in identifiers]
    try:
        async with asyncio.TaskGroup() as askers:
            for part in range(LOOKUPS_IN_FLIGHT):
                askers.create_task(_ask_each(driver, waiting[part::LOOKUPS_IN_FLIGHT], outcome))
    except* ReplayStalledError as group:
        raise group.exceptions[0] from None


async def _ask_each(driver: ReplayDriver, orders: Sequence[PlacedOrder], outcome: Outcome) -> None:
    for order in orders:
        try:
            found = await driver.patience.insist(partial(order.account.order, order.order_id))
        except ApiProblemError as problem:
            outcome.missing[order.row.recorded_id] = f"{order.order_id} ({problem.code})"
            continue
        _note(outcome, order.row.recorded_id, found)


def _note(outcome: Outcome, identifier: int, found: dict[str, Any]) -> None:
    outcome.statuses[identifier] = OrderStatus(found["status"])
    outcome.filled[identifier] = to_units(Decimal(found["filled_quantity"]), VOLUME_DECIMALS)
    if found.get("reason"):
        outcome.reasons[identifier] = str(found["reason"])
