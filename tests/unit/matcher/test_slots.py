"""Packing events into slots: few, small enough, and no command's events in two of them."""

import pytest

from exchange_core.codec import decode_slot
from exchange_core.engine import PartitionEngine
from exchange_core.events import CommandRefused
from exchange_core.orders import Reason
from exchange_matcher.slots import MAX_SLOT_EVENTS, EncodedSlot, pack_slots


def unit(number: int, size: int) -> list[CommandRefused]:
    return [
        CommandRefused(
            seq=number * 1000 + place,
            symbol="BTCUSDT",
            cause=number,
            user_id=f"user-{number * 7919 % 1000}",
            order_id=number,
            reason=Reason.ORDER_NOT_FOUND,
            detail=f"{number * 104729 % 10**12:x}",
        )
        for place in range(size)
    ]


def pack(units: list[list[CommandRefused]], max_bytes: int = 300_000) -> list[EncodedSlot]:
    return pack_slots(units, partition=1, after=7, at_ms=5, writer="w", max_bytes=max_bytes)


def test_nothing_makes_no_slot_and_a_heartbeat_makes_an_empty_one():
    assert pack([]) == []
    (heartbeat,) = pack([[]])
    assert heartbeat.slot.events == () and heartbeat.slot.n == 8


def test_a_small_batch_is_one_slot():
    (packed,) = pack([unit(1, 2), unit(2, 3)])
    assert decode_slot(packed.data) == packed.slot
    assert (packed.slot.n, packed.slot.fed_through, packed.slot.partition) == (8, 7, 1)


@pytest.mark.parametrize("max_bytes", [300, 600, 1_200])
def test_slots_keep_below_the_size_in_order_and_whole(max_bytes: int):
    units = [unit(number, 1 + number % 4) for number in range(1, 200)]
    packed = pack(units, max_bytes)
    assert [one.slot.n for one in packed] == list(range(8, 8 + len(packed)))
    assert [one.slot.fed_through for one in packed] == list(range(7, 7 + len(packed)))
    assert [event for one in packed for event in one.slot.events] == [event for part in units for event in part]
    causes = [event_causes(one) for one in packed]
    assert sum(map(len, causes)) == len(set.union(*causes)), "a command is in one slot only"
    assert all(len(one.data) < max_bytes or len(event_causes(one)) == 1 for one in packed)
    assert len(packed) > 1


def event_causes(packed: EncodedSlot) -> set[int]:
    return {event.cause for event in packed.slot.events}


def test_a_batch_of_many_events_is_cut_before_it_is_encoded():
    packed = pack([unit(number, 500) for number in range(1, 20)])
    assert max(len(one.slot.events) for one in packed) <= MAX_SLOT_EVENTS


def test_an_empty_engine_knows_nothing_due():
    assert PartitionEngine(0).next_due_ms() is None
