"""The one place that knows the concrete adapters of fanout."""

import asyncio

import aiohttp
import structlog

from exchange_adapters.aws import open_clients
from exchange_adapters.dynamodb_tables import DynamoConnections, DynamoSessions
from exchange_adapters.kill_points import with_kill_point
from exchange_adapters.redis_market import RedisMarketCache, RedisMessageSource, RedisSubscriberSets
from exchange_adapters.secrets import with_password
from exchange_adapters.system import SystemClock
from exchange_adapters.tokens import HttpKeySource
from exchange_fanout.app import Ports, run
from exchange_fanout.config import Config

log = structlog.get_logger()


async def bootstrap(config: Config, stopping: asyncio.Event) -> None:
    """Open the adapters, run, close them."""
    log.info("fanout_configured", **config.redacted())
    redis_url = await with_password(config.redis_url.get_secret_value(), config.redis_secret_id)
    async with (
        open_clients("dynamodb") as clients,
        RedisMessageSource(redis_url) as messages,
        RedisSubscriberSets(redis_url) as subscribers,
        RedisMarketCache(redis_url) as cache,
        aiohttp.ClientSession() as http,
    ):
        ports = Ports(
            clock=SystemClock(),
            messages=messages,
            subscribers=subscribers,
            connections=DynamoConnections(clients.dynamodb, config.topology),
            cache=cache,
            sessions=DynamoSessions(clients.dynamodb, config.topology),
            keys=HttpKeySource(http, config.cognito_jwks_url),
        )
        await run(config, with_kill_point(ports), stopping)
