"""What recovery and the analysts rely on in the buckets."""

from random import Random

import pytest

from exchange_core.errors import Gone


async def test_there_is_no_snapshot_at_first(world, partition):
    assert await world.snapshots.latest(partition) is None


async def test_the_latest_snapshot_is_the_newest_slots(world, partition):
    for n in (5, 40, 300, 2_000, 10_000):
        await world.snapshots.put(partition, n, f"after {n}".encode())
        assert await world.snapshots.latest(partition) == (n, f"after {n}".encode())


async def test_the_same_snapshot_twice_is_harmless(world, partition):
    data = Random(1).randbytes(3_000_000)
    for _ in range(2):
        await world.snapshots.put(partition, 7, data)
    assert await world.snapshots.latest(partition) == (7, data)


async def test_a_matcher_that_comes_late_does_not_hide_a_newer_snapshot(world, partition):
    await world.snapshots.put(partition, 20, b"new")
    await world.snapshots.put(partition, 10, b"old")
    assert await world.snapshots.latest(partition) == (20, b"new")


async def test_partitions_have_snapshots_of_their_own(world):
    here, there = world.partition(), world.partition()
    await world.snapshots.put(here, 1, b"here")
    assert await world.snapshots.latest(there) is None


async def test_history_written_twice_is_the_same_object(world, partition):
    await world.history.put(partition, 1, 9, b"slots 1 to 9")
    await world.history.put(partition, 1, 9, b"slots 1 to 9")
    await world.history.put(partition, 10, 10, b"slot 10")
    assert await world.archive.get(partition, 1, 9) == b"slots 1 to 9"
    assert await world.archive.get(partition, 10, 10) == b"slot 10"


async def test_the_archive_says_what_it_has_in_order(world, partition):
    assert await world.archive.spans(partition) == []
    for first, last in ((10, 10), (1, 9), (11, 4_000)):
        await world.history.put(partition, first, last, b"slots")
    assert await world.archive.spans(partition) == [(1, 9), (10, 10), (11, 4_000)]


async def test_an_object_that_was_never_written_is_gone(world, partition):
    with pytest.raises(Gone):
        await world.archive.get(partition, 1, 2)
