"""Stop, stop-limit, take-profit and take-profit-limit orders."""

import pytest

from exchange_core.events import OrderAccepted, OrderTriggered, TradeExecuted
from exchange_core.instruments import SymbolStatus
from exchange_core.orders import OrderStatus, OrderType, Reason, Side, TimeInForce
from exchange_core.symbol_engine import TRIGGERED_EVENTS_MAX
from tests.unit.core.room import BUY, SELL, START_MS, SYMBOL, Room, endings, trades


def trade_at(room: Room, price: int) -> list:  # type: ignore[type-arg]
    """A trade of one lot between two who do nothing else."""
    room.place("yan", SELL, 1, price)
    return room.place("zoe", BUY, 1, price)


@pytest.mark.parametrize(
    ("side", "order_type", "trigger_price", "before", "at"),
    [
        (BUY, OrderType.STOP_LIMIT, 105, 104, 105),
        (SELL, OrderType.STOP_LIMIT, 95, 96, 95),
        (BUY, OrderType.TAKE_PROFIT_LIMIT, 95, 96, 94),
        (SELL, OrderType.TAKE_PROFIT_LIMIT, 105, 104, 106),
    ],
)
def test_an_order_waits_outside_the_book_until_a_trade_reaches_its_trigger(
    side: Side, order_type: OrderType, trigger_price: int, before: int, at: int
) -> None:
    room = Room()
    price = 80 if side is BUY else 120
    [accepted] = room.place("ann", side, 5, price, order_type=order_type, trigger_price=trigger_price)
    assert isinstance(accepted, OrderAccepted)
    trade_at(room, before)
    assert room.bids() == [] and room.asks() == []
    room.restart()
    events = trade_at(room, at)
    [triggered] = [event for event in events if isinstance(event, OrderTriggered)]
    assert (triggered.order_id, triggered.cause) == (accepted.order_id, accepted.order_id)
    assert (room.bids() or room.asks()) == [(price, 5)]


def test_a_trigger_that_is_reached_already_fires_at_once() -> None:
    room = Room()
    trade_at(room, 105)
    events = room.place("ann", BUY, 5, 110, order_type=OrderType.STOP_LIMIT, trigger_price=105)
    assert isinstance(events[1], OrderTriggered) and room.bids() == [(110, 5)]


def test_a_stop_becomes_a_market_order_that_does_not_rest() -> None:
    room = Room()
    room.place("ann", SELL, 5, 80, order_type=OrderType.STOP, trigger_price=95)
    room.place("ben", BUY, 2, 94)
    events = trade_at(room, 95)
    assert trades(events) == [(95, 1), (94, 2)]
    assert endings(events)[-1][1:] == (OrderStatus.EXPIRED, Reason.NO_LIQUIDITY)
    assert room.asks() == [] and room.auditor.held("ann", "BTC") == 0


def test_orders_fire_in_order_of_entry_and_one_may_set_off_the_next() -> None:
    room = Room()
    chained = room.place("ann", SELL, 1, 80, order_type=OrderType.STOP, trigger_price=90)[0].cause
    second = room.place("ben", SELL, 1, 80, order_type=OrderType.STOP, trigger_price=94)[0].cause
    third = room.place("cas", SELL, 1, 80, order_type=OrderType.STOP, trigger_price=95)[0].cause
    for price in (90, 91, 89):
        room.place("dan", BUY, 1, price)
    room.place("yan", SELL, 1, 92)
    events = room.place("zoe", BUY, 1, 92)
    fired = [event.order_id for event in events if isinstance(event, OrderTriggered)]
    assert fired == [second, third, chained]
    assert trades(events) == [(92, 1), (91, 1), (90, 1), (89, 1)]
    takers = [event.taker_order_id for event in events if isinstance(event, TradeExecuted)]
    assert takers[1:] == fired


def test_a_waiting_order_can_be_canceled_and_then_does_not_fire() -> None:
    room = Room()
    stop = room.place("ann", SELL, 1, 80, order_type=OrderType.STOP, trigger_price=95)[0].cause
    room.cancel("ann", stop)
    assert trades(trade_at(room, 95)) == [(95, 1)]
    assert room.auditor.held("ann", "BTC") == 0


def test_a_waiting_order_expires_at_its_date() -> None:
    room = Room()
    terms = {"time_in_force": TimeInForce.GTD, "expires_at_ms": START_MS + 10}
    room.place("ann", SELL, 1, 80, order_type=OrderType.STOP_LIMIT, trigger_price=95, **terms)
    assert endings(room.pass_time(10))[0][1:] == (OrderStatus.EXPIRED, Reason.DATE_REACHED)
    assert trades(trade_at(room, 95)) == [(95, 1)]


def test_what_was_reached_before_a_halt_fires_when_trading_resumes() -> None:
    room = Room(breaker_bps=500, breaker_window_ms=1_000, breaker_halt_ms=5_000)
    trade_at(room, 100)
    stop = room.place("ann", SELL, 1, 60, order_type=OrderType.STOP_LIMIT, trigger_price=90)[0].cause
    trade_at(room, 90)
    assert room.engine.instruments[SYMBOL].status is SymbolStatus.CANCEL_ONLY
    assert room.asks() == []
    room.restart()
    assert room.pass_time(4_999) == []
    events = room.pass_time(1)
    assert [event.order_id for event in events if isinstance(event, OrderTriggered)] == [stop]
    assert room.asks() == [(60, 1)]


def test_an_avalanche_is_spread_over_slots() -> None:
    room = Room(max_open_orders=5_000, max_quantity=100_000)
    count = TRIGGERED_EVENTS_MAX // 2 + 100
    for _ in range(count):
        room.place("ann", SELL, 1, 100, order_type=OrderType.STOP, trigger_price=100)
    room.place("ben", BUY, count, 100)
    room.place("yan", SELL, 1, 90)
    first = [event for event in room.log if isinstance(event, OrderTriggered)]
    assert 0 < len(first) < count
    assert room.engine.next_due_ms() == room.at_ms
    room.restart()
    while room.engine.next_due_ms() is not None:
        room.pass_time(0)
    fired = [event.order_id for event in room.log if isinstance(event, OrderTriggered)]
    assert len(fired) == count and fired == sorted(fired)
