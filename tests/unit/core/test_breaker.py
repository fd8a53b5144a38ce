"""The circuit breaker, and operators' status changes beside it."""

from exchange_core.events import SymbolStatusChanged
from exchange_core.instruments import SymbolStatus
from tests.unit.core.room import BUY, SELL, START_MS, SYMBOL, Room

BREAKER = {"breaker_bps": 1_000, "breaker_window_ms": 1_000, "breaker_halt_ms": 5_000}


def trade_at(room: Room, price: int) -> list[SymbolStatusChanged]:
    room.place("yan", SELL, 1, price)
    return [event for event in room.place("zoe", BUY, 1, price) if isinstance(event, SymbolStatusChanged)]


def status(room: Room) -> SymbolStatus:
    return room.engine.instruments[SYMBOL].status


def test_too_far_a_move_within_the_window_restricts_the_symbol_for_a_while() -> None:
    room = Room(**BREAKER)
    assert trade_at(room, 100) == [] == trade_at(room, 110)
    [tripped] = trade_at(room, 111)
    assert (tripped.status, tripped.until_ms, tripped.operator_id) == (SymbolStatus.CANCEL_ONLY, START_MS + 5_000, "")
    room.restart()
    assert room.engine.next_due_ms() == START_MS + 5_000
    [resumed] = room.pass_time(5_000)
    assert isinstance(resumed, SymbolStatusChanged) and resumed.status is SymbolStatus.TRADING
    assert trade_at(room, 100) == []


def test_a_fall_counts_as_a_rise_does() -> None:
    room = Room(**BREAKER)
    trade_at(room, 111)
    trade_at(room, 105)
    assert len(trade_at(room, 99)) == 1


def test_a_slow_move_is_no_move() -> None:
    room = Room(**BREAKER)
    for price in (100, 108, 116, 124):
        assert trade_at(room, price) == []
        room.pass_time(1_001)


def test_the_window_survives_a_restart() -> None:
    room = Room(**BREAKER)
    trade_at(room, 100)
    trade_at(room, 104)
    room.pass_time(900)
    room.restart()
    assert len(trade_at(room, 111)) == 1


def test_an_operator_overrules_the_breaker() -> None:
    room = Room(**BREAKER)
    trade_at(room, 100)
    trade_at(room, 120)
    room.set_status(SymbolStatus.HALTED)
    assert room.engine.next_due_ms() is None
    assert room.pass_time(60_000) == []
    assert status(room) is SymbolStatus.HALTED


def test_without_one_nothing_breaks() -> None:
    room = Room()
    trade_at(room, 100)
    assert trade_at(room, 149) == []
