"""What the persister relies on in the executions stream. Partitions share its shards: tests look at their own keys."""

import pytest

from exchange_core.errors import Gone
from exchange_core.ports import StreamRecord
from tests.conformance.world import World
from tests.eventually import eventually

ITERATOR_LIFE_MS = 5 * 60 * 1000


async def read_shard(world: World, shard_id: str, partition: int, *, after: str | None = None, limit: int = 1000):
    """The partition's records of one shard, up to its tip."""
    found: list[StreamRecord] = []
    iterator: str | None = await world.execution_source.iterator(shard_id, after)
    while iterator is not None:
        page = await world.execution_source.read(iterator, limit)
        assert len(page.records) <= limit
        found += [record for record in page.records if record.partition_key == str(partition)]
        iterator = page.next_iterator
        if not page.records and page.behind_ms == 0:
            break
    return found


async def locate(world: World, partition: int) -> tuple[str, list[StreamRecord]]:
    """The shard that holds the partition's records, and the records."""
    shard_ids = [shard.shard_id for shard in await world.execution_source.shards()]
    found = {shard_id: await read_shard(world, shard_id, partition) for shard_id in shard_ids}
    holding = [(shard_id, records) for shard_id, records in found.items() if records]
    assert len(holding) <= 1, "one key is in one shard"
    return holding[0] if holding else ("", [])


async def append_all(world: World, partition: int, data: list[bytes]) -> tuple[str, list[StreamRecord]]:
    for one in data:
        await world.execution_sink.append(partition, one)

    async def all_there():
        shard_id, records = await locate(world, partition)
        return (shard_id, records) if len(records) == len(data) else None

    return await eventually(all_there)


async def test_records_of_a_partition_keep_their_order(world, partition):
    data = [f"slot {n}".encode() for n in range(30)]
    _, records = await append_all(world, partition, data)
    assert [record.data for record in records] == data


async def test_bytes_come_through_unchanged(world, partition):
    data = [bytes(range(256)), b"\x28\xb5\x2f\xfd" + bytes(290_000)]
    _, records = await append_all(world, partition, data)
    assert [record.data for record in records] == data


async def test_the_same_bytes_twice_are_two_records(world, partition):
    _, records = await append_all(world, partition, [b"again", b"again"])
    assert [record.data for record in records] == [b"again", b"again"]
    assert records[0].sequence_number != records[1].sequence_number


async def test_sequence_numbers_grow_by_length_then_text(world, partition):
    _, records = await append_all(world, partition, [b"%d" % n for n in range(12)])
    numbers = [record.sequence_number for record in records]
    assert numbers == sorted(numbers, key=lambda number: (len(number), number))


async def test_an_iterator_starts_after_the_record_named(world, partition):
    shard_id, records = await append_all(world, partition, [b"%d" % n for n in range(10)])
    rest = await read_shard(world, shard_id, partition, after=records[3].sequence_number)
    assert rest == records[4:]
    assert await read_shard(world, shard_id, partition, after=records[-1].sequence_number) == []


async def test_pages_lead_on_from_one_to_the_next(world, partition):
    shard_id, records = await append_all(world, partition, [b"%d" % n for n in range(10)])
    assert await read_shard(world, shard_id, partition, limit=3) == records


async def test_a_page_can_be_read_again(world, partition):
    shard_id, records = await append_all(world, partition, [b"%d" % n for n in range(3)])
    iterator = await world.execution_source.iterator(shard_id, records[0].sequence_number)
    first = await world.execution_source.read(iterator, 100)
    again = await world.execution_source.read(iterator, 100)
    assert first.records == again.records


async def test_an_open_shard_can_be_followed_past_its_tip(world, partition):
    shard_id, records = await append_all(world, partition, [b"old"])
    iterator = await world.execution_source.iterator(shard_id, records[0].sequence_number)
    page = await world.execution_source.read(iterator, 100)
    while page.records:
        page = await world.execution_source.read(page.next_iterator, 100)
    assert page.next_iterator is not None and page.behind_ms == 0
    await world.execution_sink.append(partition, b"new")

    following = page.next_iterator

    async def next_data():
        nonlocal following
        page = await world.execution_source.read(following, 100)
        following = page.next_iterator
        return [record.data for record in page.records if record.partition_key == str(partition)]

    assert await eventually(next_data) == [b"new"]


async def test_after_a_split_the_parent_ends_and_a_child_goes_on(world, partition):
    parent_id, before = await append_all(world, partition, [b"before"])
    await world.split_shard(parent_id)
    children = await eventually(lambda: children_of(world, parent_id), timeout_s=2)
    assert len(children) == 2
    await world.execution_sink.append(partition, b"after")
    assert await eventually(lambda: all_data(world, partition, children)) == [b"after"]
    iterator = await world.execution_source.iterator(parent_id, None)
    while iterator is not None:
        page = await world.execution_source.read(iterator, 1_000)
        iterator = page.next_iterator
        assert page.records or iterator is None, "a parent that is drained says so"
    assert [record.data for record in await read_shard(world, parent_id, partition)] == [b"before"]
    assert before[0].sequence_number


async def children_of(world: World, parent_id: str) -> list[str]:
    shards = await world.execution_source.shards()
    return [shard.shard_id for shard in shards if shard.parent_ids == (parent_id,)]


async def all_data(world: World, partition: int, shard_ids: list[str]) -> list[bytes]:
    return [record.data for shard_id in shard_ids for record in await read_shard(world, shard_id, partition)]


async def test_an_iterator_expires_after_five_minutes(world, partition):
    if world.advance is None:
        pytest.skip(f"{world.name}: would take five real minutes; Gone is translated in the adapter's unit tests")
    shard_id, _ = await append_all(world, partition, [b"old"])
    iterator = await world.execution_source.iterator(shard_id, None)
    world.advance(ITERATOR_LIFE_MS + 1)
    with pytest.raises(Gone):
        await world.execution_source.read(iterator, 1)
