"""One implementation of every port, opened for the whole run, and what a test needs to look behind them."""

import itertools
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from crossbook.backing import Backing
from crossbook.bootstrap import create_resources
from exchange_adapters.aws import open_clients
from exchange_adapters.dynamodb_journal import DynamoJournal
from exchange_adapters.dynamodb_tables import DynamoApiKeys, DynamoConnections, DynamoLeases, DynamoSessions
from exchange_adapters.dynamodb_wallets import DynamoWalletHolds, DynamoWalletRestore, DynamoWalletSettlement
from exchange_adapters.kinesis import KinesisExecutionSink, KinesisExecutionSource
from exchange_adapters.postgres import PostgresProjections, open_pool
from exchange_adapters.postgres_reader import PostgresReader
from exchange_adapters.redis_limits import RedisOnceMarks, RedisRateLimiter
from exchange_adapters.redis_market import (
    RedisMarketCache,
    RedisMarketPublisher,
    RedisMessageSource,
    RedisSubscriberSets,
)
from exchange_adapters.s3 import S3History, S3HistoryReader, S3Snapshots
from exchange_adapters.sim import SimClock, SimCloud, SimRedis
from exchange_adapters.sqs import SqsCommandSink, SqsCommandSource
from exchange_adapters.system import SystemClock
from exchange_core.ports import (
    ApiKeyStore,
    Clock,
    CommandSink,
    CommandSource,
    ConnectionStore,
    DatabaseReader,
    ExecutionSink,
    ExecutionSource,
    HistoryArchive,
    HistoryReader,
    JournalReader,
    JournalWriter,
    LeaseStore,
    MarketCache,
    MarketPublisher,
    MessageSource,
    OnceMarks,
    Projections,
    RateLimiter,
    SessionStore,
    SnapshotStore,
    SubscriberSets,
    WalletHolds,
    WalletRestore,
    WalletSettlement,
)
from exchange_core.topology import QueueSpec, StreamSpec, Topology
from tests.localstack.backing import LocalStackBacking

PARTITIONS = 160
"""Each test takes fresh ones, so that none sees another's messages and slots."""
HASTY_PARTITIONS = 8
"""The queues of the first ones give a message again after HASTY_VISIBILITY_S, and up after MAX_RECEIVES."""
HASTY_VISIBILITY_S = 2
MAX_RECEIVES = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class ConformanceTopology(Topology):
    """Many partitions on two shards; in some of their queues, messages come again soon."""

    partitions: int = PARTITIONS

    def orders_queue(self, partition: int) -> QueueSpec:
        # Named, because dataclass(slots=True) makes a new class that a bare super() does not know.
        spec = Topology.orders_queue(self, partition)
        if partition >= HASTY_PARTITIONS:
            return spec
        return replace(spec, visibility_s=HASTY_VISIBILITY_S, max_receives=MAX_RECEIVES)

    @property
    def executions(self) -> StreamSpec:
        return StreamSpec(name=f"{self.prefix}-executions", shards=2)


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """Every port of one implementation. The last fields look behind the ports, where no port reads what one writes."""

    name: str
    clock: Clock
    command_sink: CommandSink
    command_source: CommandSource
    journal_writer: JournalWriter
    journal_reader: JournalReader
    execution_sink: ExecutionSink
    execution_source: ExecutionSource
    holds: WalletHolds
    settlement: WalletSettlement
    restore: WalletRestore
    snapshots: SnapshotStore
    history: HistoryArchive
    archive: HistoryReader
    leases: LeaseStore
    sessions: SessionStore
    api_keys: ApiKeyStore
    connections: ConnectionStore
    publisher: MarketPublisher
    cache: MarketCache
    subscribers: SubscriberSets
    limiter: RateLimiter
    once: OnceMarks
    open_message_source: Callable[[], AbstractAsyncContextManager[MessageSource]]
    projections: Projections
    reader: DatabaseReader

    dead_letters: Callable[[int], Awaitable[list[str]]]
    members: Callable[[str], Awaitable[set[str]]]
    connection: Callable[[str], Awaitable[str | None]]
    """The node that the store names for a connection."""
    split_shard: Callable[[str], Awaitable[None]]
    advance: Callable[[int], None] | None
    """Let milliseconds pass at once, where time is simulated."""

    numbers: Iterator[int] = field(default_factory=lambda: itertools.count(1))
    hasty_partitions: Iterator[int] = field(default_factory=lambda: iter(range(HASTY_PARTITIONS)))
    patient_partitions: Iterator[int] = field(default_factory=lambda: iter(range(HASTY_PARTITIONS, PARTITIONS)))

    def partition(self) -> int:
        """A partition that no other test uses."""
        return next(self.patient_partitions)

    def hasty_partition(self) -> int:
        """One whose messages come again after HASTY_VISIBILITY_S."""
        return next(self.hasty_partitions)

    def fresh(self, kind: str) -> str:
        """A name that no other test uses."""
        return f"{kind}-{next(self.numbers)}"

    def symbol(self) -> str:
        """A symbol that no other test uses."""
        return f"T{next(self.numbers):05}USDT"


@asynccontextmanager
async def open_simulated() -> AsyncIterator[World]:
    """The simulated twins."""
    clock = SimClock()
    cloud = SimCloud.build(ConformanceTopology(), clock=clock)

    @asynccontextmanager
    async def open_message_source() -> AsyncIterator[SimRedis]:
        client = cloud.redis.connect()
        yield client
        client.disconnect()

    async def dead_letters(partition: int) -> list[str]:
        return list(cloud.queues.dead_letters(partition))

    async def members(key: str) -> set[str]:
        return cloud.redis.members(key)

    async def connection(connection_id: str) -> str | None:
        return cloud.connections.connections.get(connection_id, (None, 0))[0]

    async def split_shard(shard_id: str) -> None:
        cloud.stream.split(shard_id)

    yield World(
        name="sim",
        clock=clock,
        command_sink=cloud.queues,
        command_source=cloud.queues,
        journal_writer=cloud.journal,
        journal_reader=cloud.journal,
        execution_sink=cloud.stream,
        execution_source=cloud.stream,
        holds=cloud.wallets,
        settlement=cloud.wallets,
        restore=cloud.wallets,
        snapshots=cloud.snapshots,
        history=cloud.history,
        archive=cloud.history,
        leases=cloud.leases,
        sessions=cloud.sessions,
        api_keys=cloud.api_keys,
        connections=cloud.connections,
        publisher=cloud.redis,
        cache=cloud.redis,
        subscribers=cloud.redis,
        limiter=cloud.redis,
        once=cloud.redis,
        open_message_source=open_message_source,
        projections=cloud.projections,
        reader=cloud.reader,
        dead_letters=dead_letters,
        members=members,
        connection=connection,
        split_shard=split_shard,
        advance=clock.advance,
    )


@asynccontextmanager
async def open_emulated(name: str, backing: Backing | LocalStackBacking) -> AsyncIterator[World]:
    """The real adapters on an emulated cloud, on PostgreSQL and on Redis."""
    site = await backing.create_site(partitions=1)
    topology = ConformanceTopology(prefix=f"{site.topology.prefix}-conformance")
    await create_resources(backing.cloud, topology)
    async with AsyncExitStack() as stack:
        with pytest.MonkeyPatch.context() as environment:
            for variable, value in site.aws.items():
                environment.setenv(variable, value)
            clients = await stack.enter_async_context(open_clients("sqs", "kinesis", "dynamodb", "s3"))
        pool = await stack.enter_async_context(open_pool(site.database_url))
        publisher = await stack.enter_async_context(RedisMarketPublisher(site.redis_url))
        cache = await stack.enter_async_context(RedisMarketCache(site.redis_url))
        subscribers = await stack.enter_async_context(RedisSubscriberSets(site.redis_url))
        limiter = await stack.enter_async_context(RedisRateLimiter(site.redis_url))
        once = await stack.enter_async_context(RedisOnceMarks(site.redis_url))
        journal = DynamoJournal(clients.dynamodb, topology)
        yield World(
            name=name,
            clock=SystemClock(),
            command_sink=SqsCommandSink(clients.sqs, topology),
            command_source=SqsCommandSource(clients.sqs, topology),
            journal_writer=journal,
            journal_reader=journal,
            execution_sink=KinesisExecutionSink(clients.kinesis, topology),
            execution_source=KinesisExecutionSource(clients.kinesis, topology),
            holds=DynamoWalletHolds(clients.dynamodb, topology),
            settlement=DynamoWalletSettlement(clients.dynamodb, topology),
            restore=DynamoWalletRestore(clients.dynamodb, topology),
            snapshots=S3Snapshots(clients.s3, topology),
            history=S3History(clients.s3, topology),
            archive=S3HistoryReader(clients.s3, topology),
            leases=DynamoLeases(clients.dynamodb, topology),
            sessions=DynamoSessions(clients.dynamodb, topology),
            api_keys=DynamoApiKeys(clients.dynamodb, topology),
            connections=DynamoConnections(clients.dynamodb, topology),
            publisher=publisher,
            cache=cache,
            subscribers=subscribers,
            limiter=limiter,
            once=once,
            open_message_source=lambda: RedisMessageSource(site.redis_url),
            projections=PostgresProjections(pool),
            reader=PostgresReader(pool),
            advance=None,
            **_probes(clients, topology, subscribers),
        )


def _probes(clients: Any, topology: Topology, subscribers: RedisSubscriberSets) -> dict[str, Any]:
    async def dead_letters(partition: int) -> list[str]:
        name = topology.orders_queue(partition).dead_letter_name
        url = (await clients.sqs.get_queue_url(QueueName=name))["QueueUrl"]
        response = await clients.sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10, VisibilityTimeout=0)
        return [message["Body"] for message in response.get("Messages", [])]

    async def members(key: str) -> set[str]:
        return {member.decode() for member in await subscribers._redis.smembers(key)}

    async def connection(connection_id: str) -> str | None:
        response = await clients.dynamodb.get_item(
            TableName=topology.connections.name, Key={"connection_id": {"S": connection_id}}, ConsistentRead=True
        )
        return response["Item"]["node"]["S"] if "Item" in response else None

    async def split_shard(shard_id: str) -> None:
        stream = topology.executions.name
        shards = (await clients.kinesis.list_shards(StreamName=stream))["Shards"]
        (keys,) = [shard["HashKeyRange"] for shard in shards if shard["ShardId"] == shard_id]
        middle = (int(keys["StartingHashKey"]) + int(keys["EndingHashKey"])) // 2
        await clients.kinesis.split_shard(StreamName=stream, ShardToSplit=shard_id, NewStartingHashKey=str(middle + 1))

    return {
        "split_shard": split_shard,
        "dead_letters": dead_letters,
        "members": members,
        "connection": connection,
    }
