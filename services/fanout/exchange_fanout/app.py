"""Fanout as a pipeline: Redis pub/sub in, WebSockets out.

1 presence   who is here, to Redis sets and the connections table
2 follow     one Redis subscription a watched symbol
3 broadcast  each message to all who watch its symbol
4 sockets    the clients
5 http       /ws, /healthz, /readyz (which asks whether Redis answers)
"""

import asyncio
import contextlib
from dataclasses import dataclass

import structlog
from aiohttp import web

from exchange_adapters.system import Readiness, add_health_routes, end_tasks, start_http
from exchange_core.errors import PortError
from exchange_core.ports import Clock, ConnectionStore, MarketCache, MessageSource, SubscriberSets
from exchange_fanout.config import Config
from exchange_fanout.hub import Hub
from exchange_fanout.presence import Presence
from exchange_fanout.sockets import Limits, Sockets

FAREWELL_S = 2.0
PROBE_KEY = "fanout:probe"
"""Never set: only whether Redis answers is asked."""

log = structlog.get_logger()


@dataclass(frozen=True, slots=True, kw_only=True)
class Ports:
    """All that fanout needs from the outside."""

    clock: Clock
    messages: MessageSource
    subscribers: SubscriberSets
    connections: ConnectionStore
    cache: MarketCache


async def run(config: Config, ports: Ports, stopping: asyncio.Event) -> None:
    """Serve until `stopping` is set, then say good-bye to every client."""
    readiness = Readiness("redis", "http")
    presence = Presence(
        node=config.service_instance,
        clock=ports.clock,
        sets=ports.subscribers,
        connections=ports.connections,
        refresh_s=config.presence_refresh_s,
    )
    hub = Hub(ports.messages)
    async with asyncio.TaskGroup() as stages:
        work = (presence.run(), hub.follow(), hub.broadcast(), _probe(ports.cache, readiness, config.probe_interval_s))
        running = [stages.create_task(stage) for stage in work]
        async with Sockets(hub=hub, presence=presence, clock=ports.clock, limits=_limits(config)) as sockets:
            app = web.Application()
            app.router.add_get("/ws", sockets.serve)
            add_health_routes(app, readiness)
            runner = await start_http(app, config.http_host, config.http_port)
            readiness.set("http", True)
            log.info("fanout_serves", host=config.http_host, port=config.http_port)
            await stopping.wait()
            readiness.set("http", False)
        await runner.cleanup()
        await end_tasks(running)
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(FAREWELL_S):
            await presence.write()


async def _probe(cache: MarketCache, readiness: Readiness, interval_s: float) -> None:
    while True:
        try:
            await cache.get(PROBE_KEY)
            readiness.set("redis", True)
        except PortError:
            readiness.set("redis", False)
        await asyncio.sleep(interval_s)


def _limits(config: Config) -> Limits:
    return Limits(
        connections_max=config.connections_max,
        subscriptions_max=config.subscriptions_max,
        message_bytes_max=config.message_bytes_max,
        send_buffer_bytes=config.send_buffer_bytes,
        heartbeat_s=config.heartbeat_s,
        subscribe_timeout_s=config.subscribe_timeout_s,
        close_timeout_s=config.close_timeout_s,
    )
