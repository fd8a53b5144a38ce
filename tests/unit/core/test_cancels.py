"""Cancel, cancel all, cancel timers."""

from exchange_core.commands import CancelOrder
from exchange_core.events import CancelTimerSet, CommandRefused, OrderDone
from exchange_core.orders import OrderStatus, Reason
from tests.unit.core.room import BUY, SELL, START_MS, SYMBOL, Room, endings, listed, trades


def refusal(events: list) -> Reason:  # type: ignore[type-arg]
    [event] = events
    assert isinstance(event, CommandRefused)
    return event.reason


def test_a_cancel_ends_the_order_and_releases_what_is_left_of_its_hold() -> None:
    room = Room()
    [accepted] = room.place("ann", BUY, 5, 100)
    room.place("ben", SELL, 2, 100)
    [done] = room.cancel("ann", accepted.cause)
    assert isinstance(done, OrderDone)
    assert (done.status, done.reason) == (OrderStatus.CANCELED, Reason.USER_CANCELED)
    assert (done.filled_quantity, done.released) == (2, 3 * 100 * 3)
    assert room.bids() == []


def test_a_cancel_that_lost_the_race_against_a_fill_is_told_so() -> None:
    room = Room()
    [accepted] = room.place("ann", BUY, 5, 100)
    room.place("ben", SELL, 5, 100)
    assert refusal(room.cancel("ann", accepted.cause)) is Reason.ORDER_CLOSED


def test_an_order_of_somebody_else_looks_like_an_unknown_one_open_or_closed() -> None:
    room = Room()
    [accepted] = room.place("ann", BUY, 5, 100)
    assert refusal(room.cancel("ben", accepted.cause)) is Reason.ORDER_NOT_FOUND
    assert room.bids() == [(100, 5)]
    room.cancel("ann", accepted.cause)
    assert refusal(room.cancel("ben", accepted.cause)) is Reason.ORDER_NOT_FOUND
    assert refusal(room.cancel("ben", 77)) is Reason.ORDER_NOT_FOUND


def test_an_order_is_canceled_in_its_own_symbol_only() -> None:
    room = Room()
    room.list_instrument(listed(symbol="ETHUSD", base="ETH"))
    [accepted] = room.place("ann", BUY, 5, 100)
    assert refusal(room.cancel("ann", accepted.cause, symbol="ETHUSD")) is Reason.ORDER_NOT_FOUND
    assert room.bids() == [(100, 5)]


def test_a_cancel_in_a_symbol_that_is_not_listed_is_refused_at_the_cash_desk() -> None:
    room = Room()
    [event] = room.cancel("ann", 1, symbol="NOSUCH")
    assert isinstance(event, CommandRefused)
    assert (event.reason, event.symbol, event.detail) == (Reason.SYMBOL_UNKNOWN, "$CASH", "NOSUCH")


def test_cancel_all_ends_only_the_callers_orders_oldest_first() -> None:
    room = Room()
    room.list_instrument(listed(symbol="ETHUSD", base="ETH"))
    mine = [room.place("ann", BUY, 1, price)[0].cause for price in (90, 95, 92)]
    mine.append(room.place("ann", SELL, 1, 110)[0].cause)
    room.place("ann", BUY, 1, 91, symbol="ETHUSD")
    room.place("ben", BUY, 1, 93)
    events = room.cancel_all("ann")
    assert [order_id for order_id, _, _ in endings(events)] == mine
    assert room.bids() == [(93, 1)] and room.asks() == []
    assert room.engine.depth("ETHUSD", 1)[0] == [(91, 1)]


def test_the_order_of_a_cancel_all_survives_a_restart() -> None:
    room = Room()
    mine = [
        room.place("ann", side, 1, price)[0].cause for side, price in ((SELL, 101), (BUY, 90), (SELL, 99), (BUY, 95))
    ]
    room.restart()
    assert [order_id for order_id, _, _ in endings(room.cancel_all("ann"))] == mine


def test_cancel_all_with_nothing_to_cancel_leaves_a_trace() -> None:
    room = Room()
    assert refusal(room.cancel_all("ann")) is Reason.ORDER_NOT_FOUND


def test_a_repeated_cancel_all_does_not_reach_orders_that_came_after_it() -> None:
    room = Room()
    room.place("ann", BUY, 1, 90)
    command_id = room.cancel_all("ann")[0].cause
    room.place("ann", BUY, 1, 91)
    repeat = CancelOrder(command_id=command_id, user_id="ann", symbol=SYMBOL, entered_at_ms=0, order_id=1)
    assert room.send(repeat) == []
    assert room.bids() == [(91, 1)]


def test_a_cancel_timer_ends_all_orders_at_its_deadline() -> None:
    room = Room()
    room.place("ann", BUY, 1, 90)
    room.place("ben", BUY, 1, 91)
    room.set_timer("ann", START_MS + 500)
    assert room.engine.next_due_ms() == START_MS + 500
    room.restart()
    disarmed, *ended = room.pass_time(500)
    assert isinstance(disarmed, CancelTimerSet) and disarmed.deadline_ms is None
    assert [ending[1:] for ending in endings(ended)] == [(OrderStatus.CANCELED, Reason.CANCEL_TIMER)]
    assert room.bids() == [(91, 1)] and room.engine.next_due_ms() is None


def test_a_timer_that_is_renewed_or_disarmed_does_not_go_off() -> None:
    room = Room()
    room.place("ann", BUY, 1, 90)
    room.set_timer("ann", START_MS + 500)
    room.set_timer("ann", START_MS + 900)
    assert room.pass_time(600) == []
    room.set_timer("ann", None)
    assert room.pass_time(600) == [] and room.bids() == [(90, 1)]


def test_a_timer_whose_deadline_is_past_goes_off_at_once() -> None:
    room = Room()
    room.place("ann", BUY, 1, 90)
    events = room.set_timer("ann", START_MS)
    assert len(events) == 3 and room.bids() == []


def test_an_order_that_was_canceled_does_not_trade() -> None:
    room = Room()
    ids = [room.place("ann", SELL, 1, 100)[0].cause for _ in range(3)]
    room.cancel("ann", ids[1])
    events = room.place("ben", BUY, 3, 100)
    assert trades(events) == [(100, 1), (100, 1)] and room.bids() == [(100, 1)]
