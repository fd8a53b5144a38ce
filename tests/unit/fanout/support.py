"""A fanout on simulated stores, served on a free port of the loopback interface."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import aiohttp
from pydantic import SecretStr

from exchange_adapters.sim import Faults, SimClock, SimConnections, SimRedis, SimSessions
from exchange_core.ports import Session
from exchange_core.topology import trades_channel
from exchange_fanout.app import Ports, run
from exchange_fanout.config import Config
from tests.eventually import eventually
from tests.unit.issuer import SimIssuer

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
    clock: SimClock
    connections: SimConnections
    sessions: SimSessions
    issuer: SimIssuer
    stopping: asyncio.Event
    session: aiohttp.ClientSession

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def connect(self) -> aiohttp.ClientWebSocketResponse:
        return await self.session.ws_connect(f"{self.url}/ws")

    async def publish(self, symbol: str, message: bytes) -> None:
        await self.redis.publish({}, [(trades_channel(symbol), message)])

    async def log_in(self, user_id: str, session_id: str) -> str:
        """A session that stands, and a token of it."""
        now_ms = self.clock.now_ms()
        await self.sessions.put(
            Session(
                session_id=session_id, user_id=user_id, created_at_ms=now_ms, expires_at_ms=now_ms + 10 * 86_400_000
            )
        )
        return self.issuer.token(user_id, session_id)

    async def status(self, path: str) -> int:
        async with self.session.get(f"{self.url}{path}") as response:
            return response.status


@asynccontextmanager
async def running_fanout(**settings: Any) -> AsyncIterator[Fanout]:
    """Fanout as `app.run` runs it; ended in good order."""
    faults = Faults()
    server = SimRedis()
    client = server.connect(faults)
    clock = SimClock()
    connections = SimConnections(faults=faults)
    sessions = SimSessions(faults=faults)
    issuer = SimIssuer(clock, issuer="https://issuer.example/pool", client_id="client-1")
    stopping = asyncio.Event()
    config = fanout_config(**settings)
    ports = Ports(
        clock=clock,
        messages=client,
        subscribers=client,
        connections=connections,
        cache=client,
        sessions=sessions,
        keys=issuer,
    )
    async with aiohttp.ClientSession() as session:
        fanout = Fanout(
            port=config.http_port,
            redis=server,
            faults=faults,
            clock=clock,
            connections=connections,
            sessions=sessions,
            issuer=issuer,
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


def fanout_config(**settings: Any) -> Config:
    return Config(
        redis_url=SecretStr("redis://simulated"),
        cognito_client_id="client-1",
        cognito_issuer="https://issuer.example/pool",
        cognito_jwks_url="http://nowhere/keys",
        http_port=free_port(),
        **settings,
    )


async def ask(socket: aiohttp.ClientWebSocketResponse, **request: Any) -> Any:
    """Send a request and return what comes next."""
    await socket.send_json(request)
    return await socket.receive_json(timeout=PATIENCE_S)


async def subscribe(socket: aiohttp.ClientWebSocketResponse, symbol: str, channel: str = "trade", **more: Any) -> None:
    answer = await ask(socket, action="subscribe", symbol=symbol, channel=channel, **more)
    assert answer == {"event": "subscribed", "symbol": symbol, "channels": [channel], **more}
