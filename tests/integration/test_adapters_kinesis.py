"""The executions stream against an emulated Kinesis: order, positions, expired iterators, repeats."""

from types import SimpleNamespace
from typing import Any

import pytest
from botocore.exceptions import ClientError

from exchange_adapters.kinesis import KinesisExecutionSink, KinesisExecutionSource
from exchange_core.errors import Ambiguous, Fatal, Gone
from exchange_core.ports import StreamRecord
from exchange_core.topology import Topology
from tests.integration.conftest import ProxiedClients
from tests.integration.dropping_proxy import Cut


@pytest.fixture
def sink(clients: SimpleNamespace, topology: Topology) -> KinesisExecutionSink:
    return KinesisExecutionSink(clients.kinesis, topology)


@pytest.fixture
def source(clients: SimpleNamespace, topology: Topology) -> KinesisExecutionSource:
    return KinesisExecutionSource(clients.kinesis, topology)


async def records(source: KinesisExecutionSource, partition: int) -> list[StreamRecord]:
    """All of a partition's records."""
    return [record for shard in await source.shards() for record in await read(source, shard.shard_id, partition)]


async def read(
    source: KinesisExecutionSource, shard_id: str, partition: int, after: str | None = None
) -> list[StreamRecord]:
    """A partition's records in one shard; Kinesis takes the number of a record of this very shard only."""
    found: list[StreamRecord] = []
    iterator: str | None = await source.iterator(shard_id, after)
    while iterator is not None:
        page = await source.read(iterator, 3)
        found += [record for record in page.records if record.partition_key == str(partition)]
        iterator = page.next_iterator if page.records else None
    return found


async def shard_of(source: KinesisExecutionSource, partition: int) -> str:
    """The shard that holds the partition's records."""
    (holder,) = [shard.shard_id for shard in await source.shards() if await read(source, shard.shard_id, partition)]
    return holder


async def test_records_of_a_partition_are_read_in_the_order_they_were_added(
    sink: KinesisExecutionSink, source: KinesisExecutionSource
) -> None:
    written = [bytes([n]) * 3 for n in range(10)]
    for data in written:
        await sink.append(100, data)
        await sink.append(101, b"other")
    shard_id = await shard_of(source, 100)
    found = await read(source, shard_id, 100)
    assert [record.data for record in found] == written
    rest = await read(source, shard_id, 100, found[6].sequence_number)
    assert [record.data for record in rest] == written[7:]


async def test_at_the_tip_a_reader_gets_an_empty_page_and_goes_on(
    sink: KinesisExecutionSink, source: KinesisExecutionSource
) -> None:
    await sink.append(102, b"one")
    shard_id = await shard_of(source, 102)
    (one,) = await read(source, shard_id, 102)
    tip = await source.read(await source.iterator(shard_id, one.sequence_number), 100)
    assert (tip.records, tip.behind_ms) == ((), 0)
    assert tip.next_iterator is not None
    await sink.append(102, b"two")
    assert [record.data for record in (await source.read(tip.next_iterator, 100)).records] == [b"two"]


async def test_a_stream_has_a_shard_a_partition_without_parents(
    source: KinesisExecutionSource, topology: Topology
) -> None:
    shards = await source.shards()
    assert len(shards) == topology.partitions
    assert all(shard.parent_ids == () for shard in shards)


async def test_an_expired_iterator_is_gone(source: KinesisExecutionSource) -> None:
    with pytest.raises(Gone):
        await source.read("an-iterator-of-long-ago", 10)


async def test_a_stream_that_is_not_there_is_fatal(clients: SimpleNamespace) -> None:
    with pytest.raises(Fatal):
        await KinesisExecutionSink(clients.kinesis, Topology(prefix="nobody")).append(0, b"x")


async def test_an_append_that_broke_off_is_repeated_and_stands_twice_at_most(
    proxied_clients: ProxiedClients, topology: Topology, source: KinesisExecutionSource
) -> None:
    async with proxied_clients("kinesis") as (proxy, through_proxy):
        broken = KinesisExecutionSink(through_proxy.kinesis, topology)
        await broken.append(103, b"before")
        proxy.cut = Cut.BEFORE_ANSWERING
        with pytest.raises(Ambiguous):
            await broken.append(103, b"again")
        proxy.cut = Cut.NOWHERE
        await broken.append(103, b"again")
    assert [record.data for record in await records(source, 103)] == [b"before", b"again", b"again"]


class ReshardedStream:
    """Three shards listed over two pages: a merge of `a` (trimmed away since) and `b` into `c`."""

    async def list_shards(self, **request: Any) -> dict[str, Any]:
        if "NextToken" not in request:
            return {"Shards": [{"ShardId": "b"}], "NextToken": "more"}
        assert request == {"NextToken": "more"}, "the stream must not be named beside a token"
        merged = {"ShardId": "c", "ParentShardId": "a", "AdjacentParentShardId": "b"}
        return {"Shards": [merged, {"ShardId": "d"}]}

    async def get_shard_iterator(self, **_: Any) -> dict[str, Any]:
        return {"ShardIterator": "i"}

    async def get_records(self, **_: Any) -> dict[str, Any]:
        return {"Records": [], "MillisBehindLatest": 0}


async def test_after_a_reshard_parents_that_can_be_read_are_named_and_a_drained_shard_ends() -> None:
    source = KinesisExecutionSource(ReshardedStream(), Topology())
    shards = {shard.shard_id: shard.parent_ids for shard in await source.shards()}
    assert shards == {"b": (), "c": ("b",), "d": ()}
    assert (await source.read("i", 10)).next_iterator is None


class OrderedStream:
    """Numbers its records; the third call breaks off."""

    def __init__(self) -> None:
        self.named: list[str | None] = []

    async def put_record(self, **request: Any) -> dict[str, Any]:
        self.named.append(request.get("SequenceNumberForOrdering"))
        if len(self.named) == 3:
            response: Any = {
                "Error": {"Code": "InternalFailure"},
                "ResponseMetadata": {"HTTPStatusCode": 500},
            }
            raise ClientError(response, "PutRecord")
        return {"SequenceNumber": str(len(self.named))}


async def test_each_record_names_the_one_before_it_of_its_partition() -> None:
    stream = OrderedStream()
    sink = KinesisExecutionSink(stream, Topology())
    await sink.append(0, b"1")
    await sink.append(0, b"2")
    with pytest.raises(Ambiguous):
        await sink.append(0, b"3")
    await sink.append(0, b"3")
    await sink.append(1, b"1")
    assert stream.named == [None, "1", "2", "2", None]
