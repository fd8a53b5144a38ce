"""The partition: listings, numbers, the fold's strictness, snapshots that are none, and the record of its views."""

from dataclasses import replace

import pytest

from exchange_core.codec import Slot
from exchange_core.commands import CASH_DESK
from exchange_core.engine import PartitionEngine
from exchange_core.events import CommandRefused, InstrumentListed
from exchange_core.orders import Reason
from tests.unit.core.room import BUY, SELL, START_MS, SYMBOL, Room, listed


def test_a_listing_is_the_first_event_of_its_symbol() -> None:
    room = Room()
    assert isinstance(room.log[0], InstrumentListed) and room.log[0].seq == 1
    assert room.engine.instruments == {SYMBOL: room.instrument}
    assert room.engine.seq(SYMBOL) == 1 and room.engine.seq("NOSUCH") == 0 and room.engine.seq(CASH_DESK) == 0
    room.fund("ann", usd=5)
    assert room.engine.seq(CASH_DESK) == 1 and room.engine.last_trade(SYMBOL) is None


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({}, Reason.SYMBOL_EXISTS),
        ({"symbol": "ETHUSD", "base": "ETH", "partition": 1}, Reason.INVALID),
        ({"symbol": "ETHUSD", "base": "ETH", "quote_decimals": 6}, Reason.INVALID),
        ({"symbol": "BTCEUR", "quote": "EUR", "base_decimals": 5}, Reason.INVALID),
    ],
)
def test_a_listing_that_contradicts_what_is_listed_is_refused(changes: dict, reason: Reason) -> None:  # type: ignore[type-arg]
    room = Room()
    [event] = room.list_instrument(listed(**changes))
    assert isinstance(event, CommandRefused) and event.reason is reason
    assert list(room.engine.instruments) == [SYMBOL]


def test_symbols_of_a_partition_are_numbered_and_matched_each_for_itself() -> None:
    room = Room()
    room.list_instrument(listed(symbol="ETHUSD", base="ETH"))
    room.place("ann", SELL, 5, 100)
    [accepted] = room.place("ben", BUY, 5, 100, symbol="ETHUSD")
    assert room.engine.seq("ETHUSD") == 2 and accepted.symbol == "ETHUSD"
    assert room.asks() == [(100, 5)] and room.engine.depth("ETHUSD", 5) == ([(100, 5)], [])


def test_depth_gives_the_best_levels_first_and_no_more_than_asked() -> None:
    room = Room()
    for price in (97, 99, 98):
        room.place("ann", BUY, 1, price)
        room.place("ann", SELL, 2, 200 - price)
    assert room.engine.depth(SYMBOL, 2) == ([(99, 1), (98, 1)], [(101, 2), (102, 2)])


def slot(engine: PartitionEngine, *events: object, partition: int = 0) -> Slot:
    return Slot(partition=partition, n=1, at_ms=START_MS, fed_through=0, writer="t", events=events)  # type: ignore[arg-type]


def test_the_fold_does_not_accept_a_gap() -> None:
    room = Room()
    room.place("ann", BUY, 5, 100)
    room.close_slot()
    [event] = room.engine.execute(room.order("ann", BUY, 5, 100), room.at_ms)
    with pytest.raises(AssertionError, match="seq"):
        room.folded.apply_slot(slot(room.folded, replace(event, seq=event.seq + 1)))
    with pytest.raises(AssertionError, match="another partition"):
        room.folded.apply_slot(slot(room.folded, partition=1))


def test_a_book_that_differs_has_another_hash() -> None:
    left, right = Room(), Room()
    assert left.engine.state_hash() == right.engine.state_hash()
    left.place("ann", BUY, 5, 100)
    right.place("ann", BUY, 5, 101)
    assert left.engine.state_hash() != right.engine.state_hash()


def test_a_restored_engine_goes_on_with_the_same_events() -> None:
    room = Room()
    room.place("ann", SELL, 5, 100)
    room.place("ben", BUY, 2, 100)
    twin = PartitionEngine.restore(room.engine.snapshot())
    order = room.order("ben", BUY, 2, 100)
    assert twin.execute(order, room.at_ms) == room.engine.execute(order, room.at_ms)
    assert twin.state_hash() == room.engine.state_hash()
