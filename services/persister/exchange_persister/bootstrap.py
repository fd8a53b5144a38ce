"""The one place that knows which concrete parts the persister runs on."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from types import SimpleNamespace
from typing import Any

from exchange_adapters.aws import open_clients
from exchange_adapters.dynamodb_journal import DynamoJournal
from exchange_adapters.dynamodb_tables import DynamoLeases
from exchange_adapters.dynamodb_wallets import DynamoWalletReader, DynamoWalletRestore, DynamoWalletSettlement
from exchange_adapters.kill_points import with_kill_point
from exchange_adapters.kinesis import KinesisExecutionSource
from exchange_adapters.postgres import PostgresProjections, open_pool
from exchange_adapters.postgres_settled import PostgresSettledRows
from exchange_adapters.redis_market import RedisMarketPublisher
from exchange_adapters.s3 import S3History, S3HistoryReader
from exchange_adapters.secrets import open_password, with_password
from exchange_adapters.sqs import SqsCommandSink
from exchange_adapters.system import SystemClock
from exchange_persister.app import Ports
from exchange_persister.apply import SettlementPorts
from exchange_persister.config import Config
from exchange_persister.reconciler import ReconcilerPorts


@asynccontextmanager
async def open_ports(config: Config) -> AsyncIterator[Ports]:
    """The real adapters of the shard-reading worker, closed on leaving."""
    async with _open(config, "dynamodb", "s3", "kinesis") as (clients, parts):
        yield with_kill_point(Ports(**parts, source=KinesisExecutionSource(clients.kinesis, config.topology)))


@asynccontextmanager
async def open_settlement_ports(config: Config) -> AsyncIterator[SettlementPorts]:
    """The real adapters of the Lambda: it is handed its records, and has no right to read the stream itself."""
    async with _open(config, "dynamodb", "s3") as (_, parts):
        yield SettlementPorts(**parts)


@asynccontextmanager
async def open_reconciler_ports(config: Config) -> AsyncIterator[ReconcilerPorts]:
    """The real adapters of the reconciler: it reads everything, and may send to the queues what an operator may."""
    topology = config.topology
    async with (
        open_clients("dynamodb", "sqs") as clients,
        open_password(config.database_secret_id) as password,
        open_pool(config.database_url.get_secret_value(), max_size=2, password=password) as pool,
    ):
        yield ReconcilerPorts(
            clock=SystemClock(),
            journal=DynamoJournal(clients.dynamodb, topology),
            rows=PostgresSettledRows(pool),
            wallets=DynamoWalletReader(clients.dynamodb, topology),
            commands=SqsCommandSink(clients.sqs, topology),
        )


@asynccontextmanager
async def open_rebuild_ports(config: Config) -> AsyncIterator[dict[str, Any]]:
    """The real adapters of `rebuild.Ports`, by name. Its rights are an operator's, not the persister's."""
    topology = config.topology
    async with (
        open_clients("dynamodb", "s3") as clients,
        open_password(config.database_secret_id) as password,
        open_pool(config.database_url.get_secret_value(), max_size=2, password=password) as pool,
    ):
        yield {
            "clock": SystemClock(),
            "journal": DynamoJournal(clients.dynamodb, topology),
            "history": S3HistoryReader(clients.s3, topology),
            "archive": S3History(clients.s3, topology),
            "projections": PostgresProjections(pool),
            "wallets": DynamoWalletRestore(clients.dynamodb, topology),
            "leases": DynamoLeases(clients.dynamodb, topology),
        }


@asynccontextmanager
async def _open(config: Config, *services: str) -> AsyncIterator[tuple[SimpleNamespace, dict[str, Any]]]:
    topology = config.topology
    redis_url = await with_password(config.redis_url.get_secret_value(), config.redis_secret_id)
    async with (
        open_clients(*services) as clients,
        open_password(config.database_secret_id) as password,
        open_pool(config.database_url.get_secret_value(), max_size=config.partitions + 2, password=password) as pool,
        RedisMarketPublisher(redis_url) as publisher,
    ):
        yield (
            clients,
            {
                "clock": SystemClock(),
                "projections": PostgresProjections(pool),
                "wallets": DynamoWalletSettlement(clients.dynamodb, topology),
                "history": S3History(clients.s3, topology),
                "publisher": publisher,
            },
        )
