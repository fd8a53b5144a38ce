"""Amend: who keeps his place, which money moves, and that a refused amend changes nothing."""

from typing import Any

import pytest

from exchange_core.commands import AmendOrder
from exchange_core.events import CommandRefused, Event, OrderAmended, OrderDone, TradeExecuted
from exchange_core.orders import OrderStatus, OrderType, Reason
from exchange_core.topology import ORDER_MAX_AGE_MS
from tests.unit.core.room import BUY, SELL, START_MS, Room, endings, trades


def makers(events: list[Event]) -> list[int]:
    return [event.maker_order_id for event in events if isinstance(event, TradeExecuted)]


def test_a_smaller_quantity_keeps_the_place_and_gives_the_difference_back() -> None:
    room = Room()
    first = room.place("ann", BUY, 5, 100)[0].cause
    second = room.place("ben", BUY, 5, 100)[0].cause
    [amended] = room.amend("ann", first, quantity=3)
    assert isinstance(amended, OrderAmended)
    assert (amended.keeps_priority, amended.hold, amended.taken, amended.released) == (True, 900, 0, 600)
    assert room.bids() == [(100, 8)]
    assert makers(room.place("cas", SELL, 4, 100)) == [first, second]


@pytest.mark.parametrize(("changes", "hold"), [({"quantity": 6}, 300), ({"price": 101}, 15), ({"price": 99}, 0)])
def test_a_larger_quantity_or_a_new_price_goes_to_the_back(changes: dict[str, int], hold: int) -> None:
    room = Room()
    first = room.place("ann", BUY, 5, 100)[0].cause
    second = room.place("ben", BUY, 5, changes.get("price", 100))[0].cause
    [amended] = room.amend("ann", first, hold=hold, **changes)
    assert isinstance(amended, OrderAmended) and not amended.keeps_priority
    assert amended.hold == changes.get("quantity", 5) * changes.get("price", 100) * 3
    room.restart()
    assert makers(room.place("cas", SELL, 6, 90)) == [second, first]


def test_a_new_price_that_crosses_trades_as_taker() -> None:
    room = Room()
    order_id = room.place("ann", BUY, 5, 100)[0].cause
    room.place("ben", SELL, 2, 102)
    events = room.amend("ann", order_id, hold=5 * 5 * 3, price=105)
    assert trades(events) == [(102, 2)]
    [trade] = [event for event in events if isinstance(event, TradeExecuted)]
    assert (trade.taker_order_id, trade.taker_release, trade.cause) == (order_id, 18, events[0].cause)
    assert room.bids() == [(105, 3)]
    room.restart()
    assert room.bids() == [(105, 3)]


def test_a_post_only_order_is_not_amended_into_a_taker() -> None:
    room = Room()
    order_id = room.place("ann", BUY, 5, 100, post_only=True)[0].cause
    room.place("ben", SELL, 2, 102)
    [event] = room.amend("ann", order_id, hold=30, price=102)
    assert isinstance(event, CommandRefused)
    assert (event.reason, event.released, event.asset) == (Reason.WOULD_TAKE, 30, "USD")
    assert room.bids() == [(100, 5)] and room.asks() == [(102, 2)]


REFUSED: dict[str, tuple[dict[str, Any], Reason]] = {
    "quantity filled already": ({"quantity": 2}, Reason.QUANTITY_NOT_ABOVE_FILLED),
    "quantity above the maximum": ({"quantity": 51, "hold": 50_000}, Reason.INVALID),
    "not affordable": ({"quantity": 6, "hold": 299}, Reason.INSUFFICIENT_HOLD),
    "nothing asked": ({}, Reason.INVALID),
    "price zero": ({"price": 0}, Reason.INVALID),
    "out of band": ({"price": 151, "hold": 1_000}, Reason.PRICE_BAND),
    "hold below zero": ({"quantity": 4, "hold": -5}, Reason.INVALID),
    "hold of another asset": ({"quantity": 6, "hold": 300, "hold_asset": "BTC"}, Reason.INVALID),
    "too late": ({"quantity": 4, "entered_at_ms": START_MS - ORDER_MAX_AGE_MS - 1}, Reason.TOO_LATE),
}


@pytest.mark.parametrize(("changes", "reason"), REFUSED.values(), ids=REFUSED.keys())
def test_a_refused_amend_gives_its_hold_back_and_leaves_the_order_in_its_place(
    changes: dict[str, Any], reason: Reason
) -> None:
    room = Room(max_quantity=50)
    first = room.place("ann", BUY, 5, 100)[0].cause
    second = room.place("ben", BUY, 5, 100)[0].cause
    room.place("cas", SELL, 2, 100)
    if changes.get("hold_asset") == "BTC":
        room.hold("ann", "BTC", changes["hold"])
        changes = dict(changes)
        [event] = room.send(_amend_with_btc(room, first, changes))
    else:
        [event] = room.amend("ann", first, **changes)
    assert isinstance(event, CommandRefused)
    assert (event.reason, event.released) == (reason, max(0, changes.get("hold", 0)))
    assert makers(room.place("cas", SELL, 4, 100)) == [first, second]


def _amend_with_btc(room: Room, order_id: int, changes: dict[str, Any]) -> Any:
    return AmendOrder(
        command_id=room.next_id(), user_id="ann", symbol="BTCUSD", entered_at_ms=START_MS, order_id=order_id, **changes
    )


def test_an_amend_of_a_closed_a_foreign_or_an_unknown_order_gives_its_hold_back() -> None:
    room = Room()
    order_id = room.place("ann", BUY, 5, 100)[0].cause
    [foreign] = room.amend("ben", order_id, hold=10, quantity=6)
    room.cancel("ann", order_id)
    [closed] = room.amend("ann", order_id, hold=10, quantity=6)
    [unknown] = room.amend("ann", 77, hold=10, quantity=6)
    reasons = [event.reason for event in (foreign, closed, unknown) if isinstance(event, CommandRefused)]
    assert reasons == [Reason.ORDER_NOT_FOUND, Reason.ORDER_CLOSED, Reason.ORDER_NOT_FOUND]
    assert room.auditor.held("ann", "USD") == 0 == room.auditor.held("ben", "USD")


def test_an_amended_sell_holds_base() -> None:
    room = Room()
    order_id = room.place("ann", SELL, 5, 100)[0].cause
    room.amend("ann", order_id, hold=20, quantity=7)
    assert room.auditor.held("ann", "BTC") == 70 and room.asks() == [(100, 7)]
    room.amend("ann", order_id, price=120, quantity=4)
    assert room.auditor.held("ann", "BTC") == 40 and room.asks() == [(120, 4)]


def test_a_waiting_order_is_amended_where_it_waits() -> None:
    room = Room()
    stop = room.place("ann", BUY, 5, 110, order_type=OrderType.STOP_LIMIT, trigger_price=105)[0].cause
    [amended] = room.amend("ann", stop, hold=30, price=112)
    assert isinstance(amended, OrderAmended) and room.bids() == []
    room.restart()
    room.place("ben", SELL, 1, 105)
    room.place("cas", BUY, 1, 105)
    assert room.bids() == [(112, 5)]


def test_what_is_left_of_an_amended_order_is_released_at_its_end() -> None:
    room = Room()
    order_id = room.place("ann", BUY, 5, 100)[0].cause
    room.place("ben", SELL, 2, 100)
    room.amend("ann", order_id, quantity=4)
    [done] = room.cancel("ann", order_id)
    assert isinstance(done, OrderDone)
    assert (done.filled_quantity, done.released) == (2, 600)
    assert endings([done])[0][1] is OrderStatus.CANCELED
