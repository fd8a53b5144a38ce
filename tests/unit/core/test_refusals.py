"""What the matcher refuses, with the reason; a refused order's hold is given back."""

from dataclasses import replace
from typing import Any

import pytest

from exchange_core.events import OrderDone, OrderRejected
from exchange_core.instruments import SymbolStatus
from exchange_core.orders import OrderStatus, OrderType, Reason, TimeInForce
from exchange_core.topology import ORDER_MAX_AGE_MS
from tests.unit.core.room import BUY, SELL, START_MS, Room, endings

GOOD: dict[str, Any] = {"side": BUY, "quantity": 5, "price": 100}
BAD = {
    "quantity zero": {"quantity": 0},
    "quantity negative": {"quantity": -5},
    "quantity below the minimum": {"quantity": 2},
    "quantity above the maximum": {"quantity": 51},
    "no quantity": {"quantity": None},
    "price zero": {"price": 0},
    "price negative": {"price": -100},
    "price absurd": {"price": 10**18 + 1},
    "no price": {"price": None},
    "both quantities": {"quote_quantity": 500, "order_type": OrderType.MARKET},
    "a budget for a limit order": {"quote_quantity": 500, "quantity": None},
    "a budget below zero": {"quote_quantity": -1, "quantity": None, "order_type": OrderType.MARKET},
    "a budget to sell without a protection price": {
        "side": SELL,
        "quote_quantity": 500,
        "quantity": None,
        "price": None,
        "order_type": OrderType.MARKET,
    },
    "a market order without a price": {"order_type": OrderType.MARKET, "price": None},
    "a market order until a date": {
        "order_type": OrderType.MARKET,
        "time_in_force": TimeInForce.GTD,
        "expires_at_ms": START_MS + 5,
    },
    "a trigger on a limit order": {"trigger_price": 100},
    "a stop without a trigger": {"order_type": OrderType.STOP_LIMIT},
    "a stop with a trigger below zero": {"order_type": OrderType.STOP_LIMIT, "trigger_price": -1},
    "a date on an order that has none": {"expires_at_ms": START_MS + 5},
    "no date on one that needs it": {"time_in_force": TimeInForce.GTD},
    "post-only and immediate": {"post_only": True, "time_in_force": TimeInForce.IOC},
    "post-only at market": {"post_only": True, "order_type": OrderType.MARKET},
    "an iceberg that shows nothing": {"display_quantity": 0},
    "an iceberg that shows more than there is": {"display_quantity": 6},
    "an iceberg that does not stay": {"display_quantity": 2, "time_in_force": TimeInForce.FOK},
}


@pytest.mark.parametrize("change", BAD.values(), ids=BAD.keys())
def test_an_order_that_makes_no_sense_is_rejected_and_its_hold_released(change: dict[str, Any]) -> None:
    room = Room(min_quantity=3, max_quantity=50)
    room.hold("ann", "USD", 1_500)
    terms = GOOD | change
    side, quantity, price = terms.pop("side"), terms.pop("quantity"), terms.pop("price")
    hold_asset = "USD"
    [event] = room.send(room.order("ann", side, quantity, price, hold=1_500, hold_asset=hold_asset, **terms))
    assert isinstance(event, OrderRejected) and event.reason is Reason.INVALID
    assert room.auditor.available("ann", "USD") == 1_500
    room.close_slot()


@pytest.mark.parametrize("change", [{"hold": 1_499}, {"hold": 1_501}, {"hold": 0}, {"hold_asset": "BTC"}])
def test_a_hold_that_is_not_exact_is_rejected_and_released_as_it_was_taken(change: dict[str, Any]) -> None:
    room = Room()
    order = room.order("ann", BUY, 5, 100, **change)
    room.hold("ann", order.hold_asset, order.hold)
    assert endings(room.send(order))[0][2] is Reason.INSUFFICIENT_HOLD
    assert room.auditor.available("ann", order.hold_asset) == order.hold


def test_a_hold_below_zero_was_never_taken() -> None:
    room = Room()
    [event] = room.send(room.order("ann", BUY, 5, 100, hold=-1_500))
    assert isinstance(event, OrderRejected) and event.hold == 0


def test_an_order_for_a_symbol_that_is_not_listed_is_rejected_without_a_number() -> None:
    room = Room()
    room.hold("ann", "USD", 1_500)
    [event] = room.send(replace(room.order("ann", BUY, 5, 100), symbol="NOSUCH"))
    assert isinstance(event, OrderRejected)
    assert (event.reason, event.seq, event.symbol) == (Reason.SYMBOL_UNKNOWN, 0, "NOSUCH")
    assert room.auditor.available("ann", "USD") == 1_500
    room.close_slot()
    assert room.send(replace(room.order("ann", BUY, 5, 100), symbol="NOSUCH", order_id=event.order_id)) == []


@pytest.mark.parametrize("status", [SymbolStatus.CANCEL_ONLY, SymbolStatus.HALTED])
def test_a_symbol_that_does_not_trade_takes_cancels_and_nothing_else(status: SymbolStatus) -> None:
    room = Room()
    [accepted] = room.place("ann", BUY, 5, 100)
    room.set_status(status)
    assert room.engine.instruments["BTCUSD"].status is status
    assert endings(room.place("ben", SELL, 5, 100))[0][1:] == (OrderStatus.REJECTED, Reason.SYMBOL_HALTED)
    assert len(room.amend("ann", accepted.cause, quantity=4)) == 1 and room.bids() == [(100, 5)]
    room.restart()
    assert endings(room.cancel("ann", accepted.cause))[0][1] is OrderStatus.CANCELED
    room.set_status(SymbolStatus.TRADING)
    room.place("ann", BUY, 5, 100)
    assert room.bids() == [(100, 5)]


def test_a_user_has_a_bounded_number_of_open_orders_in_a_symbol() -> None:
    room = Room(max_open_orders=2)
    room.place("ann", BUY, 1, 90)
    [second] = room.place("ann", BUY, 1, 91)
    refused = room.place("ann", BUY, 1, 92)
    assert endings(refused)[0][1:] == (OrderStatus.REJECTED, Reason.TOO_MANY_OPEN_ORDERS)
    stop = room.place("ann", BUY, 1, 92, order_type=OrderType.STOP_LIMIT, trigger_price=120)
    assert endings(stop)[0][2] is Reason.TOO_MANY_OPEN_ORDERS
    immediate = room.place("ann", BUY, 1, 92, time_in_force=TimeInForce.IOC)
    assert endings(immediate)[0][2] is Reason.IMMEDIATE_OR_CANCEL
    room.place("ben", BUY, 1, 92)
    room.cancel("ann", second.cause)
    room.place("ann", BUY, 1, 93)
    assert room.bids() == [(93, 1), (92, 1), (90, 1)]


def test_an_order_that_took_too_long_to_arrive_expires_with_its_hold_released() -> None:
    room = Room()
    room.place("ben", SELL, 5, 100)
    in_time = room.place("ann", BUY, 1, 100, entered_at_ms=START_MS - ORDER_MAX_AGE_MS)
    assert endings(in_time)[-1][1] is OrderStatus.FILLED
    _, done = room.place("ann", BUY, 5, 100, entered_at_ms=START_MS - ORDER_MAX_AGE_MS - 1)
    assert isinstance(done, OrderDone)
    assert (done.status, done.reason, done.released) == (OrderStatus.EXPIRED, Reason.TOO_LATE, 1_500)
    assert room.asks() == [(100, 4)]
    room.close_slot()
