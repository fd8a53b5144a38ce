"""What only virtual time and scripted faults can show of the stream; the rest is in tests/conformance."""

import asyncio

import pytest

from exchange_adapters.sim import Fault, Faults, SimStream
from exchange_adapters.sim.virtual_time import in_virtual_time
from exchange_core.errors import Ambiguous, Fatal, Gone
from exchange_core.ports import StreamPage
from exchange_core.topology import STREAM_RETENTION_HOURS, Topology


async def drained(stream: SimStream) -> list[StreamPage]:
    """One page of every shard, from its beginning."""
    shards = await stream.shards()
    return [await stream.read(await stream.iterator(shard.shard_id, None), 1_000) for shard in shards]


def one_shard() -> Topology:
    return Topology(partitions=1)


@in_virtual_time
async def test_an_iterator_expires_after_five_minutes():
    stream = SimStream(one_shard())
    (shard,) = await stream.shards()
    iterator = await stream.iterator(shard.shard_id, None)
    await asyncio.sleep(300)
    page = await stream.read(iterator, 10)
    await asyncio.sleep(301)
    assert page.next_iterator is not None
    with pytest.raises(Gone):
        await stream.read(page.next_iterator, 10)


@in_virtual_time
async def test_a_producers_retry_repeats_the_record():
    faults = Faults()
    stream = SimStream(one_shard(), faults=faults)
    faults.script("kinesis.append", [Fault.REPEAT, "after"])
    await stream.append(0, b"one")
    with pytest.raises(Ambiguous):
        await stream.append(0, b"two")
    await stream.append(0, b"two")
    assert [record.data for record in stream.records()] == [b"one", b"one", b"two", b"two"]


@in_virtual_time
async def test_an_empty_page_does_not_mean_the_end():
    faults = Faults()
    stream = SimStream(one_shard(), faults=faults)
    await stream.append(0, b"one")
    faults.script("kinesis.read", [Fault.EMPTY])
    (page,) = await drained(stream)
    assert page.records == () and page.next_iterator is not None
    page = await stream.read(page.next_iterator, 10)
    assert [record.data for record in page.records] == [b"one"]


@in_virtual_time
async def test_it_tells_how_far_behind_a_page_is():
    stream = SimStream(one_shard())
    await stream.append(0, b"one")
    await stream.append(0, b"two")
    await asyncio.sleep(9)
    (shard,) = await stream.shards()
    page = await stream.read(await stream.iterator(shard.shard_id, None), 1)
    assert page.behind_ms == 9_000 and page.next_iterator is not None
    assert (await stream.read(page.next_iterator, 1)).behind_ms == 0


@in_virtual_time
async def test_after_a_split_the_parent_ends_and_its_children_go_on():
    stream = SimStream(one_shard())
    await stream.append(0, b"before")
    (parent,) = await stream.shards()
    stream.split(parent.shard_id)
    await stream.append(0, b"after")
    await stream.append(7, b"after")
    pages = await drained(stream)
    shards = await stream.shards()
    assert [shard.parent_ids for shard in shards] == [(), (parent.shard_id,), (parent.shard_id,)]
    assert [record.data for record in pages[0].records] == [b"before"] and pages[0].next_iterator is None
    assert sum(len(page.records) for page in pages[1:]) == 2
    assert all(page.next_iterator is not None for page in pages[1:])


@in_virtual_time
async def test_records_past_their_retention_are_trimmed_and_positions_hold():
    stream = SimStream(one_shard())
    await stream.append(0, b"old")
    first = stream.records()[0].sequence_number
    await asyncio.sleep(STREAM_RETENTION_HOURS * 3600 + 1)
    await stream.append(0, b"new")
    (shard,) = await stream.shards()
    for after in (None, first):
        page = await stream.read(await stream.iterator(shard.shard_id, after), 10)
        assert [record.data for record in page.records] == [b"new"]


@in_virtual_time
async def test_what_is_too_large_or_unknown_is_refused():
    stream = SimStream()
    with pytest.raises(Fatal):
        await stream.append(0, bytes(1_100_000))
    with pytest.raises(Gone):
        await stream.iterator("shardId-000000000099", None)
