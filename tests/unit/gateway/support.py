"""A gateway on simulated stores, served on a free port, with a matcher and a persister in miniature behind it."""

import asyncio
import itertools
import socket
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from decimal import Decimal
from random import Random
from typing import Any
from unittest.mock import patch

import aiohttp
import orjson
from pydantic import SecretStr

from exchange_adapters.sim import Faults, SimClock, SimCloud
from exchange_core.codec import Slot, decode_commands
from exchange_core.commands import Command
from exchange_core.engine import PartitionEngine
from exchange_core.instruments import Instrument
from exchange_core.ledger import postings, wallet_deltas
from exchange_core.market_data import order_book_message, price_message
from exchange_core.ports import Clock
from exchange_core.topology import INSTRUMENTS_CHANNEL, order_book_key, price_key
from exchange_gateway.access.identity import IssuedTokens
from exchange_gateway.app import Ports, run
from exchange_gateway.config import Config
from exchange_gateway.problems import Code, ProblemError
from exchange_gateway.trading import nodes
from tests.unit.gateway.answers import assert_is_in_the_contract
from tests.unit.issuer import SimIssuer

ISSUER = "https://issuer.example/pool"
CLIENT_ID = "client-1"
PASSWORD = "Correct-horse-1"
LISTING: Mapping[str, Any] = {
    "symbol": "BTCUSDT",
    "base": "BTC",
    "quote": "USDT",
    "base_decimals": 8,
    "quote_decimals": 6,
    "tick_size": "0.01",
    "lot_size": "0.0001",
    "min_quantity": "0.0001",
    "max_quantity": "100",
    "min_notional": "1",
    "maker_fee_bps": 10,
    "taker_fee_bps": 20,
    "band_bps": 1000,
    "reference_price": "50000",
}


class FakeDirectory:
    """IdentityProvider and KeySource: users in a dict, tokens signed by a simulated issuer."""

    def __init__(self, clock: Clock) -> None:
        self._issuer = SimIssuer(clock, issuer=ISSUER, client_id=CLIENT_ID)
        self._users: dict[str, tuple[str, str]] = {}
        self._numbers = itertools.count(1)
        self.groups: dict[str, list[str]] = {}

    @property
    def fetch_count(self) -> int:
        return self._issuer.fetch_count

    async def fetch(self) -> Mapping[str, Any]:
        return await self._issuer.fetch()

    async def sign_up(self, username: str, password: str, _: str | None) -> tuple[str, bool]:
        if username in self._users:
            raise ProblemError(Code.USERNAME_TAKEN, "choose another user name")
        self._users[username] = (f"user-{username}", password)
        return f"user-{username}", True

    async def log_in(self, username: str, password: str) -> IssuedTokens:
        user_id, right = self._users.get(username, ("", ""))
        if not user_id or password != right:
            raise ProblemError(Code.INVALID_CREDENTIALS, "user name or password is wrong")
        session_id = f"session-{next(self._numbers)}"
        return IssuedTokens(
            access_token=self.token(username, session_id),
            refresh_token=f"{username}/{session_id}",
            expires_in_s=3600,
        )

    async def refresh(self, refresh_token: str) -> IssuedTokens:
        username, _, session_id = refresh_token.partition("/")
        if username not in self._users:
            raise ProblemError(Code.INVALID_CREDENTIALS, "log in")
        return IssuedTokens(access_token=self.token(username, session_id), refresh_token=None, expires_in_s=3600)

    def token(self, username: str, session_id: str, **changes: Any) -> str:
        groups = self.groups.get(username, [])
        return self._issuer.token(f"user-{username}", session_id, **{"cognito:groups": groups, **changes})


class Exchange:
    """Matcher and persister of all partitions in one step: what the queues hold becomes slots, rows and balances."""

    def __init__(self, cloud: SimCloud, clock: Clock) -> None:
        self._cloud = cloud
        self._clock = clock
        self.engines = [PartitionEngine(0), PartitionEngine(1)]
        self._slots = [0, 0]
        self.commands: list[Command] = []

    async def settle(self) -> int:
        """Work off all that is queued; how many commands that was."""
        return sum([await self._settle(partition) for partition in range(2)])

    async def _settle(self, partition: int) -> int:
        count = 0
        while deliveries := await self._cloud.queues.receive(partition, 0.0):
            commands = [command for delivery in deliveries for command in decode_commands(delivery.body)]
            await self._apply(partition, commands)
            await self._cloud.queues.delete(partition, [delivery.receipt for delivery in deliveries])
            self.commands += commands
            count += len(commands)
        return count

    async def beat(self) -> None:
        """An empty slot in each partition."""
        for partition in range(2):
            await self._apply(partition, [])

    async def _apply(self, partition: int, commands: list[Command]) -> None:
        engine, now_ms = self.engines[partition], self._clock.now_ms()
        events = engine.begin_slot(now_ms)
        for command in commands:
            events += engine.execute(command, now_ms)
        n = self._slots[partition] = self._slots[partition] + 1
        slot = Slot(
            partition=partition, n=n, at_ms=engine.at_ms, fed_through=n - 1, writer="exchange", events=tuple(events)
        )
        posted = itertools.chain.from_iterable(postings(event, engine.instruments, partition) for event in events)
        for (user_id, asset), delta in wallet_deltas(posted).items():
            await self._cloud.wallets.settle(
                user_id, asset, partition, first=n, last=n, available=delta.available, held=delta.held
            )
        await self._cloud.wallets.mark_seen(partition, [command.command_id for command in commands])
        async with self._cloud.projections.begin(partition) as projection:
            await projection.record([slot])
        for symbol, instrument in engine.instruments.items():
            await self._publish(engine, symbol, instrument)

    async def _publish(self, engine: PartitionEngine, symbol: str, instrument: Instrument) -> None:
        seq, (bids, asks) = engine.seq(symbol), engine.depth(symbol, 100)
        cache = {order_book_key(symbol): order_book_message(instrument, seq, engine.at_ms, bids, asks)}
        if last := engine.last_trade(symbol):
            cache[price_key(symbol)] = price_message(instrument, seq, engine.at_ms, last[0], last[1])
        await self._cloud.redis.publish(cache, [(INSTRUMENTS_CHANNEL, symbol.encode())])


@dataclass(frozen=True, slots=True)
class Answer:
    status: int
    body: Any
    text: str
    headers: Mapping[str, str]

    @property
    def code(self) -> str:
        assert self.headers["Content-Type"].startswith("application/problem+json"), self.text
        assert {"type", "title", "status", "detail", "code", "trace_id"} <= self.body.keys()
        assert self.body["status"] == self.status
        return str(self.body["code"])


@dataclass(slots=True, kw_only=True)
class Gateway:
    """A running gateway, and the other ends of what it is connected to."""

    url: str
    cloud: SimCloud
    faults: Faults
    clock: SimClock
    directory: FakeDirectory
    exchange: Exchange
    http: aiohttp.ClientSession
    stopping: asyncio.Event
    task: "asyncio.Task[None]"
    tokens: dict[str, str] = field(default_factory=dict)

    async def call(
        self, method: str, path: str, body: Any = None, *, user: str | None = None, headers: Any = None
    ) -> Answer:
        sent = dict(headers or {})
        if user is not None:
            sent["Authorization"] = f"Bearer {self.tokens[user]}"
        data = body if body is None or isinstance(body, bytes) else orjson.dumps(body)
        async with self.http.request(method, self.url + path, data=data, headers=sent) as response:
            text = await response.text()
            is_json = "json" in response.headers.get("Content-Type", "")
            answer = Answer(response.status, orjson.loads(text) if is_json else None, text, response.headers)
        assert_is_in_the_contract(method, path.partition("?")[0], answer.status, answer.headers, answer.body)
        return answer

    async def join(self, username: str, *, groups: tuple[str, ...] = ()) -> str:
        """Sign up and log in; the user's id."""
        self.directory.groups[username] = list(groups)
        credentials = {"username": username, "password": PASSWORD}
        assert (await self.call("POST", "/api/v1/users", credentials)).status == 201
        answer = await self.call("POST", "/api/v1/sessions", credentials)
        assert answer.status == 201
        self.tokens[username] = answer.body["access_token"]
        return str(answer.body["user_id"])

    async def open_market(self) -> None:
        """An operator, a listed BTCUSDT, and alice and bob with 10 BTC and 1,000,000 USDT each."""
        await self.join("operator", groups=("operators",))
        assert (await self.call("POST", "/api/v1/admin/instruments", dict(LISTING), user="operator")).status == 202
        await self.exchange.settle()
        await self.until_listed("BTCUSDT")
        for username in ("alice", "bob"):
            user_id = await self.join(username)
            for asset, amount in (("BTC", 10), ("USDT", 1_000_000)):
                await self.deposit(user_id, asset, amount)
        await self.exchange.settle()

    async def until_listed(self, symbol: str) -> None:
        async with asyncio.timeout(5):
            while (await self.call("GET", f"/api/v1/instruments/{symbol}")).status != 200:
                await asyncio.sleep(0.01)

    async def deposit(self, user_id: str, asset: str, amount: int) -> None:
        body = {"user_id": user_id, "asset": asset, "amount": amount, "transfer_id": f"first-{user_id}-{asset}"}
        assert (await self.call("POST", "/api/v1/admin/deposits", body, user="operator")).status == 202

    async def place(self, user: str, *, headers: Any = None, **changes: Any) -> Answer:
        order = {"symbol": "BTCUSDT", "side": "buy", "type": "limit", "price": "50000", "quantity": "0.1", **changes}
        order = {name: value for name, value in order.items() if value is not None}
        return await self.call("POST", "/api/v1/order", order, user=user, headers=headers)

    async def balances(self, user: str) -> dict[str, tuple[Decimal, Decimal]]:
        """Asset → (available, held)."""
        answer = await self.call("GET", "/api/v1/balances", user=user)
        assert answer.status == 200, answer.text
        return {
            balance["asset"]: (Decimal(str(balance["available"])), Decimal(str(balance["held"])))
            for balance in answer.body["balances"]
        }


@asynccontextmanager
async def running_gateway(*, is_ready: bool = True, **changes: Any) -> AsyncIterator[Gateway]:
    """The real app, its pipeline started and stopped as in a process; its clock may leap by days."""
    clock, faults = SimClock(), Faults()
    cloud = SimCloud.build(clock=clock)
    seen = cloud.seen_by(faults)
    directory = FakeDirectory(clock)
    ports = Ports(
        clock=clock,
        wallets=seen.wallets,
        commands=seen.queues,
        reader=seen.reader,
        leases=seen.leases,
        sessions=seen.sessions,
        api_keys=seen.api_keys,
        cache=seen.redis,
        publisher=seen.redis,
        messages=seen.redis,
        limiter=seen.redis,
        once=seen.redis,
        identity=directory,
        keys=directory,
        random=Random(),
    )
    config = gateway_config(**changes)
    stopping = asyncio.Event()
    task = asyncio.create_task(run(config, ports, stopping))
    async with aiohttp.ClientSession() as http:
        gateway = Gateway(
            url=f"http://127.0.0.1:{config.http_port}",
            cloud=cloud,
            faults=faults,
            clock=clock,
            directory=directory,
            exchange=Exchange(cloud, clock),
            http=http,
            stopping=stopping,
            task=task,
        )
        with patch.object(nodes, "LEASE_MS", 10 * 86_400_000):
            await until_serving(gateway, "/readyz" if is_ready else "/healthz")
            try:
                yield gateway
            finally:
                stopping.set()
                async with asyncio.timeout(10):
                    await task


def gateway_config(**changes: Any) -> Config:
    settings: dict[str, Any] = {
        "http_port": free_port(),
        "database_reader_url": SecretStr("postgresql://nowhere"),
        "redis_url": SecretStr("redis://nowhere"),
        "cognito_user_pool_id": "pool",
        "cognito_client_id": CLIENT_ID,
        "cognito_issuer": ISSUER,
        "cognito_jwks_url": "http://nowhere/keys",
        "rate_limit_scale": 1_000,
        "api_key_masters": {"1": SecretStr("5e" * 32)},
    }
    return Config(**(settings | changes))


async def until_serving(gateway: Gateway, path: str) -> None:
    async with asyncio.timeout(5):
        while not gateway.task.done():
            try:
                if (await gateway.call("GET", path)).status == 200:
                    return
            except aiohttp.ClientConnectionError:
                pass
            await asyncio.sleep(0.005)
    gateway.task.result()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
