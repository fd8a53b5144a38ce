"""The executions stream when it is resharded under its reader, and when it throttles: on LocalStack and MiniStack."""

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from secrets import token_hex
from types import SimpleNamespace
from typing import Any

import pytest

from crossbook.backing import Backing
from crossbook.bootstrap import create_resources
from exchange_adapters.kinesis import KinesisExecutionSink, KinesisExecutionSource
from exchange_adapters.system import Readiness
from exchange_core.errors import Throttled
from exchange_core.ports import StreamRecord
from exchange_core.topology import StreamSpec, Topology
from exchange_persister.apply import Outcome
from exchange_persister.reader import ReaderSettings
from exchange_persister.worker import StreamWorker
from tests.eventually import eventually
from tests.integration.conftest import Throttle
from tests.localstack.backing import LocalStackBacking

PARTITIONS = 4
SETTINGS = ReaderSettings(group_slots_max=3, group_bytes_max=100_000, poll_interval_s=0.1)
HALF_OF_ALL_HASHES = 2**127
SPLIT_TIMEOUT_S = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class OneShardTopology(Topology):
    """All partitions in one shard, until it is split."""

    partitions: int = PARTITIONS

    @property
    def executions(self) -> StreamSpec:
        return StreamSpec(name=f"{self.prefix}-executions", shards=1)


class Settled:
    """Stands in for the persister's applier and its database: takes every record, and keeps the checkpoints."""

    def __init__(self) -> None:
        self.data: dict[int, list[int]] = defaultdict(list)
        self.stored: dict[str, str] = {}
        self.positions: dict[int, int] = {}
        self.halts: dict[int, Any] = {}

    async def apply(self, records: Sequence[StreamRecord], *, checkpoint: tuple[str, str] | None) -> Outcome:
        await asyncio.sleep(0.05)  # slower than reading: what is read too early would be settled too early
        for record in records:
            self.data[int(record.partition_key)].append(int(record.data))
        if checkpoint is not None:
            self.stored[checkpoint[0]] = checkpoint[1]
        return Outcome(unsettled=(), errors=())

    async def checkpoints(self) -> dict[str, str]:
        return dict(self.stored)


@pytest.fixture
async def names(emulator: Backing | LocalStackBacking) -> OneShardTopology:
    topology = OneShardTopology(prefix=f"reshard-{token_hex(3)}")
    await create_resources(emulator.cloud, topology)
    return topology


@asynccontextmanager
async def reading(source: KinesisExecutionSource, settled: Settled) -> AsyncIterator[None]:
    """The persister's shard readers at work."""
    stopping = asyncio.Event()
    worker = StreamWorker(
        source,
        settled,  # type: ignore[arg-type]
        settled,  # type: ignore[arg-type]
        Readiness("database", "stream", "settlement"),
        SETTINGS,
        refresh_interval_s=0.5,
        stopping=stopping,
    )
    async with asyncio.TaskGroup() as group:
        group.create_task(worker.run())
        try:
            yield
        finally:
            stopping.set()


async def open_shards(kinesis: Any, stream: str) -> list[str]:
    """The shards that take records, once the stream is done with its last reshard."""

    def found() -> list[str]:
        description = kinesis.describe_stream(StreamName=stream)["StreamDescription"]
        if description["StreamStatus"] != "ACTIVE":
            return []
        shards = description["Shards"]
        return [shard["ShardId"] for shard in shards if "EndingSequenceNumber" not in shard["SequenceNumberRange"]]

    shard_ids: list[str] = await eventually(found)
    return shard_ids


async def test_records_keep_their_order_through_a_split_and_a_merge(
    clients: SimpleNamespace, names: OneShardTopology, blocking_client
) -> None:
    kinesis, stream = blocking_client("kinesis"), names.executions.name
    sink, source = KinesisExecutionSink(clients.kinesis, names), KinesisExecutionSource(clients.kinesis, names)
    settled = Settled()

    async def append(numbers: range) -> None:
        for number in numbers:
            for partition in range(PARTITIONS):
                await sink.append(partition, b"%d" % number)

    async def all_settled(end: int) -> None:
        expected = {partition: list(range(end)) for partition in range(PARTITIONS)}
        await eventually(lambda: settled.data == expected, timeout_s=SPLIT_TIMEOUT_S)

    await append(range(10))
    (parent,) = await open_shards(kinesis, stream)
    kinesis.split_shard(StreamName=stream, ShardToSplit=parent, NewStartingHashKey=str(HALF_OF_ALL_HASHES))
    one, other = await eventually(lambda: _two(kinesis, stream))
    assert parent in {shard.shard_id for shard in await source.shards()}, "it can be read until it is drained"
    await append(range(10, 20))
    async with reading(source, settled):  # it starts with ten records in the parent, and ten in its children
        await all_settled(20)
        kinesis.merge_shards(StreamName=stream, ShardToMerge=one, AdjacentShardToMerge=other)
        await eventually(lambda: _one(kinesis, stream))
        await append(range(20, 30))
        await all_settled(30)
    shards = {shard.shard_id: set(shard.parent_ids) for shard in await source.shards()}
    (merged,) = await open_shards(kinesis, stream)
    assert shards == {parent: set(), one: {parent}, other: {parent}, merged: {one, other}}


async def _two(kinesis: Any, stream: str) -> list[str] | None:
    shard_ids = await open_shards(kinesis, stream)
    return shard_ids if len(shard_ids) == 2 else None


async def _one(kinesis: Any, stream: str) -> bool:
    return len(await open_shards(kinesis, stream)) == 1


async def test_a_throttled_append_has_no_effect_and_may_be_repeated(
    clients: SimpleNamespace, names: OneShardTopology, throttle: Throttle
) -> None:
    sink, source = KinesisExecutionSink(clients.kinesis, names), KinesisExecutionSource(clients.kinesis, names)
    refusals = 0
    await throttle("KINESIS_ERROR_PROBABILITY", 0.5)
    for number in range(40):
        while True:
            try:
                await sink.append(0, b"%d" % number)
                break
            except Throttled:
                refusals += 1
    assert refusals, "one run in 2**40 has none"
    (shard,) = await source.shards()
    page = await source.read(await source.iterator(shard.shard_id, None), 1_000)
    assert [int(record.data) for record in page.records] == list(range(40))
