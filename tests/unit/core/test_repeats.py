"""A command that comes twice happens once: for the life of an order and for a window of journal time after it."""

import pytest

from exchange_core.commands import CASH_DESK, DepositFunds, WithdrawFunds
from exchange_core.events import CommandRefused
from exchange_core.orders import OrderStatus, Reason
from exchange_core.topology import DEDUP_WINDOW_MS
from tests.unit.core.room import BUY, SELL, Room, endings


def deposit(command_id: int, amount: int = 100) -> DepositFunds:
    return DepositFunds(
        command_id=command_id,
        user_id="op",
        symbol=CASH_DESK,
        entered_at_ms=0,
        account_id="ann",
        asset="USD",
        amount=amount,
        transfer_id="t",
    )


@pytest.mark.parametrize("restart", [False, True])
def test_a_resting_order_that_comes_again_is_dropped_however_late(restart: bool) -> None:
    room = Room()
    order = room.order("ann", BUY, 5, 100)
    room.hold("ann", "USD", order.hold)
    room.send(order)
    room.pass_time(3 * DEDUP_WINDOW_MS)
    if restart:
        room.restart()
    assert room.send(order) == []
    assert room.bids() == [(100, 5)]


@pytest.mark.parametrize("restart", [False, True])
def test_a_finished_order_is_remembered_for_the_window(restart: bool) -> None:
    room = Room()
    order = room.order("ann", BUY, 5, 100)
    room.hold("ann", "USD", order.hold)
    room.send(order)
    room.pass_time(DEDUP_WINDOW_MS)
    room.cancel("ann", order.order_id)
    room.pass_time(DEDUP_WINDOW_MS - 1)
    if restart:
        room.restart()
    assert room.send(order) == []
    room.pass_time(1)
    assert len(room.engine.execute(order, room.at_ms)) == 2  # entered too long ago by now: accepted and expired


def test_a_rejected_order_releases_its_hold_once() -> None:
    room = Room()
    order = room.order("ann", BUY, 0, 100, hold=1_500)
    room.hold("ann", "USD", 1_500)
    assert endings(room.send(order))[0][1] is OrderStatus.REJECTED
    assert room.send(order) == []
    room.restart()
    assert room.send(order) == []


def test_a_deposit_is_credited_once() -> None:
    room = Room()
    room.send(deposit(7))
    assert room.send(deposit(7)) == []
    room.restart()
    assert room.send(deposit(7)) == []
    assert room.auditor.available("ann", "USD") == 100


def test_a_cancel_that_comes_again_does_not_cancel_twice() -> None:
    room = Room()
    [accepted] = room.place("ann", BUY, 5, 100)
    [done] = room.cancel("ann", accepted.cause)
    again = room.engine.execute(deposit(done.cause), room.at_ms)
    assert again == []


def test_time_never_goes_back() -> None:
    room = Room()
    room.pass_time(1_000)
    room.engine.begin_slot(room.at_ms - 500)
    assert room.engine.at_ms == room.at_ms


def test_a_message_that_is_not_understood_is_journaled_once() -> None:
    room = Room()
    [event] = room.engine.refuse_undecodable("BTCUSD", 55, "digest")
    assert isinstance(event, CommandRefused)
    assert (event.reason, event.detail, event.symbol, event.cause) == (Reason.UNDECODABLE, "digest", "BTCUSD", 55)
    assert room.engine.refuse_undecodable("BTCUSD", 55, "digest") == []
    [elsewhere] = room.engine.refuse_undecodable("what?", 56, "digest")
    assert elsewhere.symbol == CASH_DESK
    room._take_in([event, elsewhere])
    room.restart()
    assert room.engine.refuse_undecodable("BTCUSD", 55, "digest") == []


def test_a_command_without_a_name_of_its_own_is_refused_and_moves_nothing() -> None:
    room = Room()
    [event] = room.send(deposit(0))
    assert isinstance(event, CommandRefused) and event.reason is Reason.INVALID
    room.close_slot()


@pytest.mark.parametrize("amount", [0, -5, 10**18 + 1])
def test_a_deposit_of_a_senseless_amount_is_refused(amount: int) -> None:
    room = Room()
    [event] = room.send(deposit(9, amount))
    assert isinstance(event, CommandRefused) and event.reason is Reason.INVALID


def test_a_withdrawal_takes_what_was_set_aside() -> None:
    room = Room()
    room.fund("ann", usd=100)
    room.hold("ann", "USD", 60)
    terms = {"user_id": "op", "symbol": CASH_DESK, "entered_at_ms": 0, "asset": "USD", "transfer_id": "t"}
    room.send(WithdrawFunds(command_id=1, account_id="ann", amount=60, **terms))  # type: ignore[arg-type]
    assert room.auditor.available("ann", "USD") == 40 and room.auditor.held("ann", "USD") == 0
    room.hold("ann", "USD", 40)
    [event] = room.send(WithdrawFunds(command_id=-2, account_id="ann", amount=40, **terms))  # type: ignore[arg-type]
    assert isinstance(event, CommandRefused) and event.released == 40 and event.user_id == "ann"


def test_own_orders_of_a_repeat_do_not_trade_twice() -> None:
    room = Room()
    room.place("ann", SELL, 9, 100)
    order = room.order("ben", BUY, 3, 100)
    room.hold("ben", "USD", order.hold)
    room.send(order)
    assert room.send(order) == [] and room.asks() == [(100, 6)]
