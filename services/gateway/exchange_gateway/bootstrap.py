"""The one place that knows the concrete adapters of the gateway."""

import asyncio
from random import SystemRandom

import aiohttp
import structlog

from exchange_adapters.aws import open_clients
from exchange_adapters.dynamodb_tables import DynamoApiKeys, DynamoLeases, DynamoSessions
from exchange_adapters.dynamodb_wallets import DynamoWalletHolds
from exchange_adapters.kill_points import with_kill_point
from exchange_adapters.postgres import open_pool
from exchange_adapters.postgres_reader import PostgresReader
from exchange_adapters.redis_limits import RedisOnceMarks, RedisRateLimiter
from exchange_adapters.redis_market import RedisMarketCache, RedisMarketPublisher, RedisMessageSource
from exchange_adapters.secrets import open_password, with_password
from exchange_adapters.sqs import SqsCommandSink
from exchange_adapters.system import SystemClock
from exchange_adapters.tokens import HttpKeySource
from exchange_gateway.access.identity import CognitoIdentity
from exchange_gateway.app import Ports, run
from exchange_gateway.config import Config

log = structlog.get_logger()


async def bootstrap(config: Config, stopping: asyncio.Event) -> None:
    """Open the adapters, run, close them."""
    log.info("gateway_configured", **config.redacted())
    redis_url = await with_password(config.redis_url.get_secret_value(), config.redis_secret_id)
    topology = config.topology
    async with (
        open_clients("sqs", "dynamodb", "cognito-idp") as clients,
        open_password(config.database_secret_id) as password,
        open_pool(config.database_reader_url.get_secret_value(), password=password) as pool,
        RedisMarketCache(redis_url) as cache,
        RedisMarketPublisher(redis_url) as publisher,
        RedisMessageSource(redis_url) as messages,
        RedisRateLimiter(redis_url) as limiter,
        RedisOnceMarks(redis_url) as once,
        aiohttp.ClientSession() as http,
    ):
        ports = Ports(
            clock=SystemClock(),
            wallets=DynamoWalletHolds(clients.dynamodb, topology),
            commands=SqsCommandSink(clients.sqs, topology),
            reader=PostgresReader(pool),
            leases=DynamoLeases(clients.dynamodb, topology),
            sessions=DynamoSessions(clients.dynamodb, topology),
            api_keys=DynamoApiKeys(clients.dynamodb, topology),
            cache=cache,
            publisher=publisher,
            messages=messages,
            limiter=limiter,
            once=once,
            identity=CognitoIdentity(
                clients.cognito_idp,
                user_pool_id=config.cognito_user_pool_id,
                client_id=config.cognito_client_id,
                auto_confirm=config.cognito_auto_confirm,
            ),
            keys=HttpKeySource(http, config.cognito_jwks_url),
            random=SystemRandom(),
        )
        await run(config, with_kill_point(ports), stopping)
