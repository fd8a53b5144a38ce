"""Self-trade prevention: the taker decides who gives way."""

from exchange_core.events import OrderDecremented, OrderDone
from exchange_core.orders import OrderStatus, OrderType, Reason, SelfTradePrevention, TimeInForce
from tests.unit.core.room import BUY, SELL, Room, endings, trades

EXPIRED = (OrderStatus.EXPIRED, Reason.SELF_TRADE)


def room_with_asks() -> tuple[Room, list[int]]:
    """ben sells 2 at 100, then ann 3 at 100, then ben 4 at 101."""
    room = Room()
    ids = [room.place(user, SELL, quantity, price)[0].cause for user, quantity, price in
           (("ben", 2, 100), ("ann", 3, 100), ("ben", 4, 101))]  # fmt: skip
    return room, ids


def test_cancel_taker_keeps_the_fills_that_came_first_and_ends_the_taker() -> None:
    room, _ = room_with_asks()
    events = room.place("ann", BUY, 9, 101)
    assert trades(events) == [(100, 2)]
    assert endings(events)[-1] == (events[0].cause, *EXPIRED)
    assert room.asks() == [(100, 3), (101, 4)] and room.bids() == []


def test_cancel_maker_ends_the_resting_order_and_goes_on() -> None:
    room, ids = room_with_asks()
    events = room.place("ann", BUY, 9, 101, self_trade_prevention=SelfTradePrevention.CANCEL_MAKER)
    assert trades(events) == [(100, 2), (101, 4)]
    assert (ids[1], *EXPIRED) in endings(events)
    assert room.asks() == [] and room.bids() == [(101, 3)]


def test_cancel_both_ends_both() -> None:
    room, ids = room_with_asks()
    events = room.place("ann", BUY, 9, 101, self_trade_prevention=SelfTradePrevention.CANCEL_BOTH)
    assert trades(events) == [(100, 2)]
    assert endings(events)[1:] == [(ids[1], *EXPIRED), (events[0].cause, *EXPIRED)]
    assert room.asks() == [(101, 4)]


def test_decrement_shrinks_both_by_the_overlap_and_ends_what_reaches_zero() -> None:
    room, ids = room_with_asks()
    events = room.place("ann", BUY, 9, 101, self_trade_prevention=SelfTradePrevention.DECREMENT)
    assert trades(events) == [(100, 2), (101, 4)]
    shrunk = [
        (event.order_id, event.quantity, event.released) for event in events if isinstance(event, OrderDecremented)
    ]
    assert shrunk == [(ids[1], 3, 30), (events[0].cause, 3, 3 * 101 * 3)]
    assert room.asks() == []
    assert endings(events)[-1] == (events[0].cause, OrderStatus.FILLED, Reason.FILLED)
    assert room.bids() == []


def test_a_taker_that_decrements_to_nothing_expires() -> None:
    room, ids = room_with_asks()
    events = room.place("ann", BUY, 4, 101, self_trade_prevention=SelfTradePrevention.DECREMENT)
    done = events[-1]
    assert isinstance(done, OrderDone)
    assert (done.order_id, done.status, done.reason, done.filled_quantity) == (events[0].cause, *EXPIRED, 2)
    assert room.asks() == [(100, 1), (101, 4)]
    assert ids[1] not in {order_id for order_id, _, _ in endings(events)}


def test_a_budget_is_decremented_by_what_the_overlap_would_have_cost() -> None:
    room = Room()
    room.place("ann", SELL, 2, 100)
    room.place("ben", SELL, 9, 110)
    events = room.place(
        "ann",
        BUY,
        None,
        None,
        quote_quantity=1_300,
        order_type=OrderType.MARKET,
        time_in_force=TimeInForce.IOC,
        self_trade_prevention=SelfTradePrevention.DECREMENT,
    )
    released = [event.released for event in events if isinstance(event, OrderDecremented)]
    assert released == [20, 600]
    assert trades(events) == [(110, 2)]
    done = events[-1]
    assert isinstance(done, OrderDone) and done.released == 40


def test_post_only_against_ones_own_order_expires_as_any_other() -> None:
    room, _ = room_with_asks()
    events = room.place("ann", BUY, 1, 100, post_only=True)
    assert endings(events) == [(events[0].cause, OrderStatus.EXPIRED, Reason.WOULD_TAKE)]
