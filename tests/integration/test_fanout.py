"""Fanout as a process of its own, on a real Redis and an emulated DynamoDB."""

import asyncio
import contextlib
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aiohttp
from redis.asyncio import Redis

from crossbook.environment import inherited_environment
from crossbook.site import Site
from crossbook.twin import Backing
from exchange_core.topology import subscribers_key, trades_channel
from exchange_fanout.frames import CloseCode
from tests.eventually import eventually

PATIENCE_S = 10.0
TRADE = b'{"event":"trade","symbol":"BTCUSDT","price":50000,"quantity":0.5,"seq":1,"trade_id":1}'


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@asynccontextmanager
async def running_fanout(site: Site, **settings: str) -> AsyncIterator[tuple[int, asyncio.subprocess.Process]]:
    port = free_port()
    site_environment = site.exchange_environment | site.login_environment
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "exchange_fanout",
        env=inherited_environment() | site_environment | {"HTTP_PORT": str(port)} | settings,
    )
    try:
        await eventually(lambda: is_ready(port), timeout_s=PATIENCE_S * 3)
        yield port, process
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.send_signal(signal.SIGTERM)
        assert await process.wait() in (0, -signal.SIGKILL)


async def is_ready(port: int) -> bool:
    async with aiohttp.ClientSession() as session:
        try:
            async with session.get(f"http://127.0.0.1:{port}/readyz") as response:
                return response.status == 200
        except aiohttp.ClientError:
            return False


@asynccontextmanager
async def subscriber(port: int, symbol: str) -> AsyncIterator[aiohttp.ClientWebSocketResponse]:
    async with aiohttp.ClientSession() as session, session.ws_connect(f"ws://127.0.0.1:{port}/ws") as feed:
        await feed.send_json({"action": "subscribe", "symbol": symbol})
        assert (await feed.receive_json(timeout=PATIENCE_S))["event"] == "subscribed"
        yield feed


async def test_what_is_published_reaches_every_subscriber_byte_for_byte(site: Site) -> None:
    async with (
        running_fanout(site) as (port, _),
        subscriber(port, "BTCUSDT") as first,
        subscriber(port, "BTCUSDT") as second,
        Redis.from_url(site.redis_url) as redis,
    ):
        assert await redis.publish(trades_channel("BTCUSDT"), TRADE) == 1, "one Redis subscription for both"
        for feed in (first, second):
            assert await feed.receive_str(timeout=PATIENCE_S) == TRADE.decode()


async def test_connections_stand_in_the_set_and_the_table_while_they_last(site: Site, backing: Backing) -> None:
    async def rows() -> list[dict[str, dict[str, str]]]:
        scanned = await backing.cloud.dynamodb.scan(TableName=site.topology.connections.name)
        found: list[dict[str, dict[str, str]]] = scanned["Items"]
        return found

    async with running_fanout(site, SERVICE_INSTANCE="fanout-7") as (port, _), Redis.from_url(site.redis_url) as redis:
        async with subscriber(port, "BTCUSDT"):
            (row,) = await eventually(rows)
            assert row["node"] == {"S": "fanout-7"}
            members = await eventually(lambda: redis.smembers(subscribers_key("BTCUSDT")))
            assert members == {row["connection_id"]["S"].encode()}
        await eventually(lambda: _is_empty(rows()))
        await eventually(lambda: _is_empty(redis.smembers(subscribers_key("BTCUSDT"))))


async def _is_empty(answer: object) -> bool:
    return not await answer  # type: ignore[misc]


async def test_a_stopped_fanout_tells_its_clients_to_come_back(site: Site) -> None:
    async with running_fanout(site) as (port, process), subscriber(port, "BTCUSDT") as feed:
        os.kill(process.pid, signal.SIGTERM)
        message = await feed.receive(timeout=PATIENCE_S)
        assert message.type is aiohttp.WSMsgType.CLOSE
        assert message.data == CloseCode.SERVICE_RESTART


async def test_clients_stay_when_redis_drops_all_its_connections(site: Site) -> None:
    async with (
        running_fanout(site) as (port, _),
        subscriber(port, "BTCUSDT") as feed,
        Redis.from_url(site.redis_url) as redis,
    ):
        await redis.client_kill_filter(_type="pubsub")

        async def publish_until_heard() -> bool:
            return await redis.publish(trades_channel("BTCUSDT"), TRADE) == 1

        await eventually(publish_until_heard)
        assert await feed.receive_str(timeout=PATIENCE_S) == TRADE.decode()
