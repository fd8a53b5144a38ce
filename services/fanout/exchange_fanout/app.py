"""Fanout as a pipeline: Redis pub/sub in, WebSockets out.

1 presence    who is here, to Redis sets and the connections table
2 follow      one Redis subscription a watched channel
3 read_books  the books that depth diffs lead on, from the cache
4 broadcast   each message to all who watch its channel
5 laggards    what was kept back for slow readers
6 guard       tokens that expire, sessions that are revoked
7 sockets     the clients
8 http        /ws, /healthz, /readyz (which asks whether Redis answers)
"""

import asyncio
import contextlib
from collections.abc import Callable
from dataclasses import dataclass

import structlog
from aiohttp import web

from exchange_adapters.emf import recorder
from exchange_adapters.metrics import CHANNELS, CONNECTIONS
from exchange_adapters.sessions import SessionChecks
from exchange_adapters.system import Readiness, add_health_routes, end_tasks, start_http
from exchange_adapters.tokens import KeySource, TokenVerifier
from exchange_core.errors import PortError
from exchange_core.ports import Clock, ConnectionStore, MarketCache, MessageSource, SessionStore, SubscriberSets
from exchange_core.rate_limits import RateLimit
from exchange_fanout.config import Config
from exchange_fanout.connections import Connection, Laggards, Patience
from exchange_fanout.desk import SubscriptionDesk
from exchange_fanout.guard import Guard
from exchange_fanout.hub import Hub
from exchange_fanout.limits import Limits
from exchange_fanout.presence import Presence
from exchange_fanout.protocol import ErrorCode
from exchange_fanout.sockets import Sockets

FAREWELL_S = 2.0
GAUGE_EVERY_S = 2.0
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
    sessions: SessionStore
    keys: KeySource


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
    hub = Hub(ports.messages, ports.cache)
    laggards = Laggards()
    limits = _limits(config)
    guard = _guard(config, ports, lambda connection, code: desk.end_private(connection, code))
    desk = SubscriptionDesk(
        hub=hub,
        guard=guard,
        presence=presence,
        cache=ports.cache,
        clock=ports.clock,
        limits=limits,
    )
    hub.join(guard)
    sockets = Sockets(desk=desk, presence=presence, laggards=laggards, limits=limits)
    async with asyncio.TaskGroup() as stages:
        work = (
            presence.run(),
            hub.follow(),
            hub.read_books(),
            hub.broadcast(),
            laggards.run(),
            guard.run(),
            _probe(ports.cache, readiness, config.probe_interval_s),
            _gauge(hub, sockets),
        )
        running = [stages.create_task(stage) for stage in work]
        async with sockets:
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


async def _gauge(hub: Hub, sockets: Sockets) -> None:
    while True:
        recorder.gauge(CHANNELS, hub.channel_count)
        recorder.gauge(CONNECTIONS, sockets.connection_count)
        await asyncio.sleep(GAUGE_EVERY_S)


def _guard(config: Config, ports: Ports, on_end: Callable[[Connection, ErrorCode], None]) -> Guard:
    return Guard(
        verifier=TokenVerifier(
            ports.keys, ports.clock, issuer=config.cognito_issuer, client_id=config.cognito_client_id
        ),
        checks=SessionChecks(ports.sessions, ports.clock),
        clock=ports.clock,
        recheck_s=config.session_recheck_s,
        on_end=on_end,
    )


def _limits(config: Config) -> Limits:
    return Limits(
        connections_max=config.connections_max,
        connections_per_address_max=config.connections_per_address_max,
        trusted_proxies=config.trusted_proxies,
        subscriptions_max=config.subscriptions_max,
        message_bytes_max=config.message_bytes_max,
        message_rate=RateLimit.parse(config.message_rate),
        patience=Patience(
            behind_bytes=config.behind_bytes,
            waiting_bytes_max=config.send_buffer_bytes,
            behind_s_max=config.behind_s_max,
        ),
        heartbeat_s=config.heartbeat_s,
        subscribe_timeout_s=config.subscribe_timeout_s,
        close_timeout_s=config.close_timeout_s,
    )
