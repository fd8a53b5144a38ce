"""A fanout on simulated stores, served on a free port of the loopback interface."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import aiohttp
from pydantic import SecretStr

from exchange_adapters.sim import Faults, SimClock, SimConnections, SimRedis
from exchange_core.topology import trades_channel
from exchange_fanout.app import Ports, run
from exchange_fanout.config import Config
from tests.eventually import eventually

PATIENCE_S = 5.0


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@dataclass(frozen=True, slots=True, kw_only=True)
class Fanout:
    """A running fanout, and the other ends of what it is connected to."""

    port: int
    redis: SimRedis
    faults: Faults
    connections: SimConnections
    stopping: asyncio.Event
    session: aiohttp.ClientSession

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def connect(self) -> aiohttp.ClientWebSocketResponse:
        return await self.session.ws_connect(f"{self.url}/ws")

    async def publish(self, symbol: str, message: bytes) -> None:
        await self.redis.publish({}, [(trades_channel(symbol), message)])

    async def status(self, path: str) -> int:
        async with self.session.get(f"{self.url}{path}") as response:
            return response.status


@asynccontextmanager
async def running_fanout(**settings: Any) -> AsyncIterator[Fanout]:
    """Fanout as `app.run` runs it; ended in good order."""
    faults = Faults()
    server = SimRedis()
    client = server.connect(faults)
    connections = SimConnections(faults=faults)
    stopping = asyncio.Event()
    config = Config(redis_url=SecretStr("redis://simulated"), http_port=free_port(), **settings)
    ports = Ports(clock=SimClock(), messages=client, subscribers=client, connections=connections, cache=client)
    async with aiohttp.ClientSession() as session:
        fanout = Fanout(
            port=config.http_port,
            redis=server,
            faults=faults,
            connections=connections,
            stopping=stopping,
            session=session,
        )
        service = asyncio.create_task(run(config, ports, stopping))
        try:
            await eventually(lambda: _is_ready(fanout))
            yield fanout
        finally:
            stopping.set()
            await service


async def _is_ready(fanout: Fanout) -> bool:
    try:
        return await fanout.status("/readyz") == 200
    except aiohttp.ClientConnectionError:
        return False


async def subscribe(socket: aiohttp.ClientWebSocketResponse, symbol: str) -> None:
    await socket.send_json({"action": "subscribe", "symbol": symbol})
    answer = await socket.receive_json(timeout=PATIENCE_S)
    assert answer == {"event": "subscribed", "symbol": symbol, "channels": ["trade"]}
