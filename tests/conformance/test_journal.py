"""What the matcher's safety rests on: a slot is written once, whoever writes it, and read back whole."""

import asyncio
from random import Random

import pytest

from exchange_core.codec import MAX_SLOT_BYTES
from exchange_core.ports import SlotTakenError


async def test_slots_come_back_in_order(world, partition):
    slots = [(n, f"slot {n}".encode()) for n in range(1, 13)]
    for n, data in slots:
        await world.journal_writer.put(partition, n, data)
    assert list(await world.journal_reader.read(partition, 0, 100)) == slots
    assert list(await world.journal_reader.read(partition, 3, 5)) == slots[3:8]
    assert list(await world.journal_reader.read(partition, 12, 5)) == []


async def test_an_empty_partition_has_no_slots(world, partition):
    assert list(await world.journal_reader.read(partition, 0, 10)) == []


async def test_a_slot_is_written_once(world, partition):
    await world.journal_writer.put(partition, 1, b"first")
    for data in (b"second", b"first"):
        with pytest.raises(SlotTakenError):
            await world.journal_writer.put(partition, 1, data)
    assert list(await world.journal_reader.read(partition, 0, 10)) == [(1, b"first")]


async def test_of_many_writers_of_one_slot_exactly_one_succeeds(world, partition):
    async def put(data: bytes) -> bytes | None:
        try:
            await world.journal_writer.put(partition, 1, data)
        except SlotTakenError:
            return None
        return data

    outcomes = await asyncio.gather(*(put(f"writer {number}".encode()) for number in range(16)))
    (winner,) = [data for data in outcomes if data is not None]
    assert list(await world.journal_reader.read(partition, 0, 10)) == [(1, winner)]


async def test_partitions_are_apart(world):
    here, there = world.partition(), world.partition()
    await world.journal_writer.put(here, 1, b"here")
    await world.journal_writer.put(there, 1, b"there")
    assert list(await world.journal_reader.read(here, 0, 10)) == [(1, b"here")]


async def test_a_read_spans_pages_of_full_slots(world, partition):
    source = Random(1)
    slots = [(n, source.randbytes(MAX_SLOT_BYTES)) for n in range(1, 9)]
    for n, data in slots:
        await world.journal_writer.put(partition, n, data)
    assert list(await world.journal_reader.read(partition, 0, 100)) == slots
    assert list(await world.journal_reader.read(partition, 0, 7)) == slots[:7]
