"""The one place that knows which concrete parts the matcher runs on."""

import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial

from aiohttp import web

from exchange_adapters.aws import open_clients
from exchange_adapters.dynamodb_journal import DynamoJournal
from exchange_adapters.dynamodb_tables import DynamoLeases
from exchange_adapters.kill_points import with_kill_point
from exchange_adapters.kinesis import KinesisExecutionSink
from exchange_adapters.redis_market import RedisMarketPublisher
from exchange_adapters.s3 import S3Snapshots
from exchange_adapters.secrets import with_password
from exchange_adapters.sqs import SqsCommandSource
from exchange_adapters.system import Readiness, SystemClock, add_health_routes, start_http
from exchange_matcher.app import Ports
from exchange_matcher.config import Config


@asynccontextmanager
async def open_ports(config: Config) -> AsyncIterator[Ports]:
    """The real adapters, closed on leaving."""
    topology = config.topology
    redis_url = await with_password(config.redis_url.get_secret_value(), config.redis_secret_id)
    async with (
        open_clients("sqs", "dynamodb", "kinesis", "s3") as clients,
        RedisMarketPublisher(redis_url) as publisher,
    ):
        ports = Ports(
            clock=SystemClock(),
            commands=SqsCommandSource(clients.sqs, topology),
            journal=DynamoJournal(clients.dynamodb, topology),
            stream=KinesisExecutionSink(clients.kinesis, topology),
            snapshots=S3Snapshots(clients.s3, topology),
            publisher=publisher,
            leases=DynamoLeases(clients.dynamodb, topology),
            writer=f"{config.instance}:{secrets.token_hex(6)}",
            health=partial(_health_page, config),
        )
        yield with_kill_point(ports)


@asynccontextmanager
async def _health_page(config: Config, readiness: Readiness) -> AsyncIterator[None]:
    app = web.Application()
    add_health_routes(app, readiness)
    http = await start_http(app, config.http_host, config.http_port)
    try:
        yield
    finally:
        await http.cleanup()
