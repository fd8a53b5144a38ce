"""The rows of a run are what the plainest fold of its events shows."""

from random import Random

import pytest

from exchange_adapters.projection_rows import FILL_COLUMNS, ORDER_COLUMNS, instruments_after, rows_of
from exchange_adapters.sim.projection_fold import ProjectionFold
from exchange_core.instruments import SymbolStatus
from exchange_core.orders import OrderStatus
from tests.unit.persister.journals import RandomMarket

_SHARED = (
    "user_id",
    "symbol",
    "side",
    "quantity",
    "price",
    "filled_quantity",
    "filled_quote",
    "fee",
    "status",
    "reason",
    "seq",
    "created_at_ms",
    "updated_at_ms",
)


@pytest.mark.parametrize("seed", range(8))
def test_orders_of_one_run_are_folded_as_their_events_say(seed: int) -> None:
    slots = RandomMarket(Random(seed)).slots(60)
    fold = ProjectionFold()
    for slot in slots:
        fold.apply(slot)
    rows = rows_of(slots, instruments_after({}, slots))

    stored = {row[0]: dict(zip(ORDER_COLUMNS, row, strict=True)) for row in rows.new_orders()}
    assert stored.keys() == fold.orders.keys() and not rows.earlier_orders()
    for order_id, order in fold.orders.items():
        if order.status is not OrderStatus.REJECTED:
            assert {name: stored[order_id][name] for name in _SHARED} == {n: getattr(order, n) for n in _SHARED}
    assert len(rows.trades) == sum(map(len, fold.trades.values())) > 10
    fills = [dict(zip(FILL_COLUMNS, row, strict=True)) for row in rows.fills]
    assert [(fill["user_id"], fill["order_id"], fill["fee"], fill["fee_asset"]) for fill in fills] == [
        (user_id, fill.order_id, fill.fee, fill.fee_asset) for user_id, fill in fold.fills
    ]


def test_what_a_rejected_order_asked_for_never_stops_a_partition() -> None:
    market = RandomMarket(Random(1))
    opening = market.slot()
    rejected = market._rejected()
    slot = market.slot(0)
    rows = rows_of([opening, type(slot)(**{**_fields(slot), "events": (rejected,)})], instruments_after({}, [opening]))
    (row,) = [dict(zip(ORDER_COLUMNS, row, strict=True)) for row in rows.new_orders()]
    assert row["price"] is None and row["quantity"] == -5 and "\0" not in row["client_order_id"]


def _fields(slot: object) -> dict[str, object]:
    return {name: getattr(slot, name) for name in ("partition", "n", "at_ms", "fed_through", "writer")}


def test_a_change_of_status_shows_in_the_instrument() -> None:
    market = RandomMarket(Random(5))
    slots = market.slots(400, orders=6)
    statuses = {event.status for slot in slots for event in slot.events if hasattr(event, "until_ms")}
    assert len(statuses) > 1
    fold = ProjectionFold()
    for slot in slots:
        fold.apply(slot)
    assert instruments_after({}, slots) == fold.instruments
    assert instruments_after({}, slots)["BTCUSD"].status in set(SymbolStatus)
