"""Limit orders: priority, price, fees, improvement, ends."""

import pytest

from exchange_core.engine import DUE_EVENTS_MAX
from exchange_core.events import OrderAccepted, OrderDone, TradeExecuted
from exchange_core.orders import OrderStatus, Reason, TimeInForce
from tests.unit.core.room import BUY, SELL, START_MS, SYMBOL, Room, endings, trades


def test_an_order_that_finds_nobody_rests_with_its_hold_locked() -> None:
    room = Room()
    [accepted] = room.place("ann", BUY, 5, 100)
    assert isinstance(accepted, OrderAccepted) and accepted.seq == 2
    assert room.bids() == [(100, 5)] and room.asks() == []
    assert room.auditor.held("ann", "USD") == 5 * 100 * 3


def test_a_trade_happens_at_the_resting_price_and_the_improvement_is_given_back_at_once() -> None:
    room = Room()
    [resting] = room.place("ann", SELL, 5, 100)
    accepted, trade, done = room.place("ben", BUY, 3, 110)
    assert isinstance(trade, TradeExecuted) and isinstance(accepted, OrderAccepted)
    assert trade == TradeExecuted(
        seq=4,
        symbol=SYMBOL,
        cause=accepted.order_id,
        trade_id=1,
        maker_order_id=resting.cause,
        taker_order_id=accepted.order_id,
        maker_user_id="ann",
        taker_user_id="ben",
        taker_side=BUY,
        price=100,
        quantity=3,
        maker_fee=1,  # 10 bps of 3 × 100 × 3 quote units is 0.9, rounded up
        taker_fee=1,  # 25 bps of 3 × 10 base units is 0.075, rounded up
        taker_release=3 * 10 * 3,
    )
    assert isinstance(done, OrderDone) and done.status is OrderStatus.FILLED and done.released == 0
    assert room.auditor.available("ben", "BTC") == 29 and room.auditor.held("ben", "USD") == 0
    assert room.auditor.available("ben", "USD") == 3 * 10 * 3
    assert room.auditor.available("ann", "USD") == 899 and room.auditor.fees("USD") == 1
    assert room.engine.last_trade(SYMBOL) == (100, 3, START_MS)
    assert room.asks() == [(100, 2)]


def test_a_selling_taker_gets_the_better_price_of_the_bid() -> None:
    room = Room()
    room.place("ann", BUY, 5, 110)
    events = room.place("ben", SELL, 5, 100)
    assert trades(events) == [(110, 5)]
    assert [event.taker_release for event in events if isinstance(event, TradeExecuted)] == [0]
    assert room.auditor.available("ben", "USD") == 1650 - 5


def test_better_prices_trade_first_then_earlier_orders() -> None:
    room = Room()
    late_but_best = [("ann", 102), ("ben", 101), ("cas", 101), ("dan", 100)]
    ids = {user: room.place(user, SELL, 2, price)[0].cause for user, price in late_but_best}
    events = room.place("eve", BUY, 7, 105)
    makers = [event.maker_order_id for event in events if isinstance(event, TradeExecuted)]
    assert makers == [ids["dan"], ids["ben"], ids["cas"], ids["ann"]]
    assert trades(events) == [(100, 2), (101, 2), (101, 2), (102, 1)]
    assert room.asks() == [(102, 1)]


def test_what_a_crossing_order_does_not_get_rests_at_its_limit() -> None:
    room = Room()
    room.place("ann", SELL, 2, 100)
    room.place("ben", BUY, 5, 101)
    assert room.bids() == [(101, 3)] and room.asks() == []
    assert room.auditor.held("ben", "USD") == 3 * 101 * 3


def test_immediate_or_cancel_takes_what_it_can_and_the_rest_expires() -> None:
    room = Room()
    room.place("ann", SELL, 2, 100)
    events = room.place("ben", BUY, 5, 100, time_in_force=TimeInForce.IOC)
    assert trades(events) == [(100, 2)]
    done = events[-1]
    assert isinstance(done, OrderDone)
    assert (done.status, done.reason) == (OrderStatus.EXPIRED, Reason.IMMEDIATE_OR_CANCEL)
    assert (done.filled_quantity, done.released) == (2, 3 * 100 * 3)
    assert room.bids() == []


def test_immediate_or_cancel_with_nothing_in_reach_expires_whole() -> None:
    room = Room()
    room.place("ann", SELL, 2, 101)
    events = room.place("ben", BUY, 5, 100, time_in_force=TimeInForce.IOC)
    assert endings(events) == [(events[0].cause, OrderStatus.EXPIRED, Reason.IMMEDIATE_OR_CANCEL)]
    assert room.asks() == [(101, 2)]


def test_fill_or_kill_trades_in_full_or_leaves_the_book_untouched() -> None:
    room = Room()
    room.place("ann", SELL, 2, 100)
    room.place("ann", SELL, 2, 101)
    killed = room.place("ben", BUY, 5, 101, time_in_force=TimeInForce.FOK)
    assert endings(killed) == [(killed[0].cause, OrderStatus.EXPIRED, Reason.FILL_OR_KILL)]
    assert room.asks() == [(100, 2), (101, 2)]
    filled = room.place("ben", BUY, 4, 101, time_in_force=TimeInForce.FOK)
    assert trades(filled) == [(100, 2), (101, 2)]
    assert room.asks() == []


def test_fill_or_kill_does_not_count_what_its_own_user_offers() -> None:
    room = Room()
    room.place("ann", SELL, 2, 100)
    room.place("ben", SELL, 2, 100)
    killed = room.place("ann", BUY, 2, 100, time_in_force=TimeInForce.FOK)
    assert endings(killed) == [(killed[0].cause, OrderStatus.EXPIRED, Reason.FILL_OR_KILL)]
    assert room.asks() == [(100, 4)]


@pytest.mark.parametrize("price", [100, 101])
def test_post_only_expires_whole_if_it_would_trade_even_in_part(price: int) -> None:
    room = Room()
    room.place("ann", SELL, 1, 100)
    events = room.place("ben", BUY, 5, price, post_only=True)
    assert endings(events) == [(events[0].cause, OrderStatus.EXPIRED, Reason.WOULD_TAKE)]
    assert room.asks() == [(100, 1)]


def test_post_only_rests_when_it_does_not_cross() -> None:
    room = Room()
    room.place("ann", SELL, 1, 100)
    room.place("ben", BUY, 5, 99, post_only=True)
    assert room.bids() == [(99, 5)]


def test_good_till_date_rests_until_its_date_and_then_expires_by_an_event() -> None:
    room = Room()
    [accepted] = room.place("ann", BUY, 5, 100, time_in_force=TimeInForce.GTD, expires_at_ms=START_MS + 1_000)
    assert room.engine.next_due_ms() == START_MS + 1_000
    assert room.pass_time(999) == []
    events = room.pass_time(1)
    assert endings(events) == [(accepted.cause, OrderStatus.EXPIRED, Reason.DATE_REACHED)]
    assert room.bids() == [] and room.engine.next_due_ms() is None


def test_good_till_date_expires_after_a_restart_that_slept_through_it() -> None:
    room = Room()
    room.place("ann", BUY, 5, 100, time_in_force=TimeInForce.GTD, expires_at_ms=START_MS + 1_000)
    room.restart()
    assert room.engine.next_due_ms() == START_MS + 1_000
    assert len(endings(room.pass_time(60_000))) == 1


def test_good_till_a_date_that_is_past_is_refused() -> None:
    room = Room()
    events = room.place("ann", BUY, 5, 100, time_in_force=TimeInForce.GTD, expires_at_ms=START_MS)
    assert endings(events) == [(events[0].cause, OrderStatus.REJECTED, Reason.DATE_REACHED)]


def test_all_orders_due_expire_in_the_order_of_their_dates() -> None:
    room = Room()
    ids = [
        room.place("ann", BUY, 1, 100, time_in_force=TimeInForce.GTD, expires_at_ms=START_MS + life)[0].cause
        for life in (300, 100, 200)
    ]
    expired = [order_id for order_id, _, _ in endings(room.pass_time(1_000))]
    assert expired == [ids[1], ids[2], ids[0]]


def test_more_expiries_than_a_slot_takes_are_left_for_the_next() -> None:
    room = Room(max_open_orders=5_000)
    count = DUE_EVENTS_MAX + 3
    for _ in range(count):
        room.place("ann", BUY, 1, 100, time_in_force=TimeInForce.GTD, expires_at_ms=START_MS + 10)
    assert len(room.pass_time(10)) == DUE_EVENTS_MAX
    assert room.engine.next_due_ms() == START_MS + 10
    assert len(room.pass_time(0)) == 3
    assert room.engine.next_due_ms() is None and room.bids() == []
