"""The gateway as a pipeline: HTTP in, promises out.

    1 node        a number to make order ids with
    2 catalogue   what can be traded
    3 notices     pub/sub: instruments changed, sessions and API keys ended
    4 commands    group commit of sends to the orders queues
    5 holds       group commit of holds and intents
    6 sweeper     what was promised and not seen goes out again
    7 gate        rate limits
    8 http        the API, /healthz, /readyz

Stopped in reverse: no new request is taken, those in flight are answered, what waits is written, leases are given up.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from random import Random
from typing import Final

import structlog
from aiohttp import web

from exchange_adapters.emf import recorder
from exchange_adapters.metrics import COMMANDS_WAITING, ORDERS_WAITING
from exchange_adapters.sessions import SessionChecks
from exchange_adapters.system import Readiness, add_health_routes, end_tasks, start_http
from exchange_adapters.tokens import KeySource, TokenVerifier
from exchange_core.errors import Fatal, PortError
from exchange_core.ports import (
    ApiKeyStore,
    Clock,
    CommandSink,
    DatabaseReader,
    LeaseStore,
    MarketCache,
    MarketPublisher,
    MessageSource,
    OnceMarks,
    RateLimiter,
    SessionStore,
    WalletHolds,
)
from exchange_core.topology import API_KEYS_CHANNEL, INSTRUMENTS_CHANNEL, SESSIONS_CHANNEL
from exchange_gateway.access.api_keys import ApiKeyDesk
from exchange_gateway.access.identity import IdentityProvider
from exchange_gateway.access.limits import rate_limits
from exchange_gateway.access.rate_gate import RateGate
from exchange_gateway.access.sessions import Authenticator, SessionDesk
from exchange_gateway.access.signatures import SignedRequests
from exchange_gateway.config import Config
from exchange_gateway.market.catalogue import InstrumentCatalogue
from exchange_gateway.market.prices import PriceBoard
from exchange_gateway.rest.forms import prepare_forms
from exchange_gateway.rest.middleware import Surroundings
from exchange_gateway.rest.requests import BODY_BYTES_MAX
from exchange_gateway.routes.api_keys import ApiKeyRoutes
from exchange_gateway.routes.batches import BatchRoutes
from exchange_gateway.routes.documents import DocumentRoutes
from exchange_gateway.routes.ledger import LedgerRoutes
from exchange_gateway.routes.market import MarketRoutes
from exchange_gateway.routes.mass_cancels import MassCancelRoutes
from exchange_gateway.routes.operators import OperatorRoutes
from exchange_gateway.routes.orders import OrderRoutes
from exchange_gateway.routes.sessions import SessionRoutes
from exchange_gateway.trading.amends import AmendDesk
from exchange_gateway.trading.commands_out import CommandDesk
from exchange_gateway.trading.holds import HoldDesk
from exchange_gateway.trading.mass_cancels import MassCancelDesk
from exchange_gateway.trading.nodes import NodeLease
from exchange_gateway.trading.open_orders import OpenOrderGuard
from exchange_gateway.trading.operators import OperatorDesk
from exchange_gateway.trading.orders import OrderDesk
from exchange_gateway.trading.sweeper import Sweeper
from exchange_gateway.trading.verdicts import VerdictDesk

READINESS_EVERY_S: Final = 0.2
SUBSCRIBE_EVERY_S: Final = 1.0

log = structlog.get_logger()


@dataclass(frozen=True, slots=True, kw_only=True)
class Ports:
    """All that the gateway needs from the outside. `random` spreads load and names this process."""

    clock: Clock
    wallets: WalletHolds
    commands: CommandSink
    reader: DatabaseReader
    leases: LeaseStore
    sessions: SessionStore
    api_keys: ApiKeyStore
    cache: MarketCache
    publisher: MarketPublisher
    messages: MessageSource
    limiter: RateLimiter
    once: OnceMarks
    identity: IdentityProvider
    keys: KeySource
    random: Random


@dataclass(frozen=True, slots=True, kw_only=True)
class Stations:
    """The parts of one gateway, built and not yet started."""

    node: NodeLease
    catalogue: InstrumentCatalogue
    sessions: SessionDesk
    checks: SessionChecks
    verifier: TokenVerifier
    api_keys: ApiKeyDesk
    commands: CommandDesk
    holds: HoldDesk
    sweeper: Sweeper
    gate: RateGate


async def run(config: Config, ports: Ports, stopping: asyncio.Event) -> None:
    """Serve until `stopping` is set, then finish what was begun."""
    stations = build(config, ports)
    readiness = Readiness("node", "catalogue", "http")
    async with asyncio.TaskGroup() as background:
        tasks = [
            background.create_task(stations.node.keep()),
            background.create_task(stations.catalogue.keep_fresh()),
            background.create_task(_hear_notices(ports.messages, stations)),
            background.create_task(_watch(readiness, stations)),
        ]
        async with stations.commands, stations.holds, stations.gate, _running(background, stations.sweeper):
            runner = await start_http(
                application(config, ports, stations, readiness), config.http_host, config.http_port
            )
            readiness.set("http", True)
            log.info("gateway_serves", host=config.http_host, port=config.http_port)
            await stopping.wait()
            log.info("gateway_stops")
            readiness.set("http", False)
            await runner.cleanup()
        await end_tasks(tasks)
    await stations.node.release()


def build(config: Config, ports: Ports) -> Stations:
    """Every part with the ports it needs."""
    random = ports.random
    owner = f"{config.service_instance}-{random.getrandbits(32):08x}"
    commands = CommandDesk(
        ports.commands,
        random,
        partitions=config.crossbook_partitions,
        writer=owner,
        waiting_max=config.waiting_commands_max,
    )
    checks = SessionChecks(ports.sessions, ports.clock)
    return Stations(
        node=NodeLease(ports.leases, ports.clock, random, owner),
        catalogue=InstrumentCatalogue(ports.reader),
        sessions=SessionDesk(ports.sessions, checks, ports.publisher, ports.clock),
        checks=checks,
        verifier=TokenVerifier(
            ports.keys, ports.clock, issuer=config.cognito_issuer, client_id=config.cognito_client_id
        ),
        api_keys=ApiKeyDesk(ports.api_keys, config.key_ring, ports.publisher, ports.clock),
        commands=commands,
        holds=HoldDesk(ports.wallets, random, waiting_max=config.waiting_orders_max),
        sweeper=Sweeper(
            holds=ports.wallets,
            reader=ports.reader,
            leases=ports.leases,
            commands=commands,
            clock=ports.clock,
            owner=owner,
            partitions=config.crossbook_partitions,
        ),
        gate=RateGate(ports.limiter, rate_limits(config.rate_limits, config.rate_limit_scale), config.trusted_proxies),
    )


def application(config: Config, ports: Ports, stations: Stations, readiness: Readiness) -> web.Application:
    """All routes behind the one middleware."""
    signed = SignedRequests(stations.api_keys, ports.once, ports.clock, config.api_key_window_ms)
    authenticator = Authenticator(stations.verifier, stations.checks, signed)
    prices = PriceBoard(ports.cache)
    open_orders = OpenOrderGuard(ports.reader)
    verdicts = VerdictDesk(ports.reader)
    order_desk = OrderDesk(
        clock=ports.clock,
        node=stations.node,
        catalogue=stations.catalogue,
        prices=prices,
        holds=stations.holds,
        intents=ports.wallets,
        commands=stations.commands,
        reader=ports.reader,
        open_orders=open_orders,
    )
    amend_desk = AmendDesk(
        clock=ports.clock,
        node=stations.node,
        catalogue=stations.catalogue,
        prices=prices,
        holds=stations.holds,
        orders=order_desk,
    )
    operator_desk = OperatorDesk(
        clock=ports.clock,
        node=stations.node,
        catalogue=stations.catalogue,
        holds=stations.holds,
        intents=ports.wallets,
        commands=stations.commands,
        partitions=config.crossbook_partitions,
    )
    mass_cancel_desk = MassCancelDesk(
        clock=ports.clock,
        node=stations.node,
        catalogue=stations.catalogue,
        commands=stations.commands,
        orders=order_desk,
        open_orders=open_orders,
    )
    sections = (
        OrderRoutes(
            authenticator=authenticator,
            desk=order_desk,
            amends=amend_desk,
            verdicts=verdicts,
            catalogue=stations.catalogue,
            reader=ports.reader,
            wallets=ports.wallets,
        ),
        BatchRoutes(authenticator=authenticator, desk=order_desk, amends=amend_desk, verdicts=verdicts),
        MassCancelRoutes(authenticator=authenticator, desk=mass_cancel_desk, verdicts=verdicts),
        MarketRoutes(catalogue=stations.catalogue, cache=ports.cache, reader=ports.reader, clock=ports.clock),
        SessionRoutes(
            identity=ports.identity,
            verifier=stations.verifier,
            sessions=stations.sessions,
            checks=stations.checks,
            authenticator=authenticator,
            session_lifetime_ms=config.session_lifetime_hours * 3_600_000,
        ),
        ApiKeyRoutes(authenticator=authenticator, desk=stations.api_keys),
        LedgerRoutes(
            authenticator=authenticator,
            catalogue=stations.catalogue,
            reader=ports.reader,
            intents=ports.wallets,
            clock=ports.clock,
        ),
        OperatorRoutes(
            authenticator=authenticator,
            desk=operator_desk,
            verdicts=verdicts,
            catalogue=stations.catalogue,
            reader=ports.reader,
        ),
        DocumentRoutes(),
    )
    surroundings = Surroundings(stations.gate, authenticator, config.requests_in_flight_max)
    app = web.Application(middlewares=[surroundings.surround], client_max_size=BODY_BYTES_MAX)
    for section in sections:
        app.router.add_routes(section.routes())
    add_health_routes(app, readiness)
    prepare_forms(app.router)

    async def finish_counting(_: web.Application) -> None:
        await open_orders.close()

    app.on_cleanup.append(finish_counting)
    return app


async def _hear_notices(messages: MessageSource, stations: Stations) -> None:
    """Act on what other processes announce. What is missed costs seconds: both caches are short-lived."""
    for channel in (INSTRUMENTS_CHANNEL, SESSIONS_CHANNEL, API_KEYS_CHANNEL):
        while not await _is_subscribed(messages, channel):
            await asyncio.sleep(SUBSCRIBE_EVERY_S)
    async for channel, message in messages.messages():
        if channel == SESSIONS_CHANNEL:
            stations.checks.forget(message.decode(errors="replace"))
        elif channel == API_KEYS_CHANNEL:
            stations.api_keys.forget(message.decode(errors="replace"))
        else:
            stations.catalogue.notify()


async def _is_subscribed(messages: MessageSource, channel: str) -> bool:
    try:
        await messages.subscribe(channel)
    except Fatal:
        raise
    except PortError as error:
        log.warning("not_subscribed", channel=channel, error=f"{type(error).__name__}: {error}")
        return False
    return True


async def _watch(readiness: Readiness, stations: Stations) -> None:
    while True:
        readiness.set("node", stations.node.is_held)
        readiness.set("catalogue", stations.catalogue.is_loaded)
        recorder.gauge(ORDERS_WAITING, stations.holds.depth)
        for partition, depth in enumerate(stations.commands.depths):
            recorder.gauge(COMMANDS_WAITING, depth, partition=partition)
        await asyncio.sleep(READINESS_EVERY_S)


@asynccontextmanager
async def _running(background: asyncio.TaskGroup, sweeper: Sweeper) -> AsyncIterator[None]:
    task = background.create_task(sweeper.run())
    try:
        yield
    finally:
        await end_tasks([task])
        await sweeper.release()
