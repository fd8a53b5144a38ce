"""A private exchange under load: how fast orders are accepted, how soon a trade is seen, and what an order costs.

Every order of the load trades: sells and buys of one price alternate, on two symbols, by sixteen users. Meanwhile a
probe on a third symbol measures from the POST of a buy to its trade on the WebSocket.
"""

import asyncio
import contextlib
import dataclasses
import socket
import sys
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import aiohttp
import orjson

from bench.counting_proxy import CountingProxy
from bench.open_loop import LoadResult, milliseconds, run_open_loop
from crossbook.clients.api_client import Account, ApiClient
from crossbook.clients.hearing import hear
from crossbook.site import Site
from crossbook.twin import Twin, TwinOptions
from exchange_adapters.dynamodb_journal import DynamoJournal

USERS: Final = 16
PASSWORD: Final = "Bench-of-crossbook-1"
FUNDS: Final = {"BTC": "1000", "ETH": "1000", "USDT": "10000000", "USD": "10000000"}
LOAD: Final = (("BTCUSDT", "50000", "0.001"), ("BTCUSD", "235", "0.01"))
PROBE_SYMBOL: Final = "ETHUSDT"
PROBE_PRICE: Final = "3000"
PROBE_PAUSE_S: Final = 0.1
PATIENCE_S: Final = 30.0
WARM_UP_RATE_PER_S: Final = 50.0
WARM_UP_S: Final = 2.0
IDLE_S: Final = 3.0
SETTLE_S: Final = 0.5

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class ProbeResult:
    """From the POST of an order to its trade on the WebSocket, in milliseconds."""

    name: str
    trades: int
    p50_ms: float
    p99_ms: float


@dataclass(frozen=True, slots=True, kw_only=True)
class CostResult:
    """What the emulated cloud was asked for, by operation, all told and beside what an idle exchange asks for."""

    name: str
    orders: int
    calls: dict[str, int]
    calls_per_order: float
    idle_calls_per_s: float
    journal_bytes_per_order: float
    slots: int


@dataclass(slots=True, kw_only=True)
class ExchangeResult:
    """All of it."""

    loads: list[LoadResult] = field(default_factory=list)
    probes: list[ProbeResult] = field(default_factory=list)
    costs: list[CostResult] = field(default_factory=list)


class CountedTwin(Twin):
    """A twin whose services find the cloud behind a counting proxy."""

    def __init__(self, directory: Path, options: TwinOptions) -> None:
        super().__init__(directory, options)
        self.proxy: CountingProxy | None = None

    async def _build_site(self) -> Site:
        site = await super()._build_site()
        self.proxy = CountingProxy(self.backing.ports["aws"])
        await self.proxy.__aenter__()
        return dataclasses.replace(site, aws=site.aws | {"AWS_ENDPOINT_URL": self.proxy.url})

    async def stop(self) -> None:
        await super().stop()
        if self.proxy is not None:
            await self.proxy.__aexit__(None, None, None)
            self.proxy = None


async def measure_exchange(directory: Path, *, rates_per_s: list[float], duration_s: float, say: Say) -> ExchangeResult:
    """Start the exchange, measure its speed; start it again behind the proxy, count its calls."""
    result = ExchangeResult()
    options = TwinOptions(gateway_port=0, fanout_port=0, aws_port=0)
    say("starting a private exchange")
    async with Twin(directory, options) as twin:
        async with _market(twin, "speed") as market:
            say("warming up")
            await _load(market, "warm-up", WARM_UP_RATE_PER_S, WARM_UP_S)
            say("POST to WebSocket, idle")
            result.probes.append(await _probe_for(market, "idle", duration_s / 2))
            for rate_per_s in rates_per_s:
                say(f"{rate_per_s:.0f} orders a second")
                async with _probing(market, f"at {rate_per_s:.0f} orders a second", result.probes):
                    result.loads.append(await _load(market, "crossbook", rate_per_s, duration_s))
        await _measure_bare(result, rates_per_s, duration_s / 2, say)
    say("starting it again behind a counting proxy")
    counted = CountedTwin(directory, options)
    async with counted, _market(counted, "cost") as market:
        await _load(market, "warm-up", WARM_UP_RATE_PER_S, WARM_UP_S)
        await _measure_costs(result, counted, market, rates_per_s, duration_s / 2, say)
    return result


@dataclass(frozen=True, slots=True, kw_only=True)
class Market:
    """Funded users of one exchange; `seen` completes with the arrival of the probe's trade, by its quantity."""

    twin: Twin
    users: list[Account]
    seen: dict[int, asyncio.Future[float]]


@contextlib.asynccontextmanager
async def _market(twin: Twin, name: str) -> AsyncIterator[Market]:
    async with ApiClient(twin.gateway_url, connections_max=0) as api:
        operator = await api.log_in(twin.operator, twin.password)
        users = [await _make_user(api, operator, f"bench-{name}-{number:02d}") for number in range(USERS)]
        for user in users:
            await _wait_funded(user)
        market = Market(twin=twin, users=users, seen={})
        subscribed = asyncio.Event()
        watching = asyncio.create_task(_watch(market, subscribed))
        try:
            async with asyncio.timeout(PATIENCE_S):
                await subscribed.wait()
            yield market
        finally:
            watching.cancel()
            await asyncio.wait([watching])


async def _make_user(api: ApiClient, operator: Account, username: str) -> Account:
    await api.sign_up(username, PASSWORD)
    user = await api.log_in(username, PASSWORD)
    for asset, amount in FUNDS.items():
        transfer_id = f"{username}-{asset}"
        await operator.deposit(user_id=user.user_id, asset=asset, amount=amount, transfer_id=transfer_id)
    return user


async def _wait_funded(user: Account) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while not FUNDS.keys() <= (await user.available()).keys():
            await asyncio.sleep(0.1)


async def _watch(market: Market, subscribed: asyncio.Event) -> None:
    async with aiohttp.ClientSession() as session, session.ws_connect(market.twin.websocket_url) as feed:
        await feed.send_json({"action": "subscribe", "symbol": PROBE_SYMBOL})
        async for message in hear(feed):
            arrived_s = time.perf_counter()
            content = orjson.loads(message)
            if content.get("event") == "subscribed":
                subscribed.set()
            elif content.get("event") == "trade":
                waiting = market.seen.pop(round(content["quantity"] * 10_000), None)
                if waiting is not None and not waiting.done():
                    waiting.set_result(arrived_s)


async def _load(market: Market, name: str, rate_per_s: float, duration_s: float) -> LoadResult:
    async def place(number: int) -> None:
        symbol, price, quantity = LOAD[number // 2 % len(LOAD)]
        user = market.users[number % USERS]
        side = "buy" if number % 2 else "sell"
        await user.place(symbol=symbol, side=side, type="limit", price=price, quantity=quantity)

    return await run_open_loop(name, place, rate_per_s=rate_per_s, duration_s=duration_s)


async def _probe(market: Market, quantity: int) -> float:
    """One sell that rests and one buy that meets it: seconds from the buy's POST to the trade on the WebSocket."""
    seller, buyer = market.users[0], market.users[1]
    seen: asyncio.Future[float] = asyncio.get_running_loop().create_future()
    market.seen[quantity] = seen
    order = {"symbol": PROBE_SYMBOL, "type": "limit", "price": PROBE_PRICE, "quantity": f"0.{quantity:04d}"}
    await seller.place(side="sell", **order)
    posted_s = time.perf_counter()
    buying = asyncio.create_task(buyer.place(side="buy", **order))
    async with asyncio.timeout(PATIENCE_S):
        arrived_s = await seen
    await buying
    return arrived_s - posted_s


async def _probe_repeatedly(market: Market, latencies_s: list[float]) -> None:
    for quantity in range(100, 10_000):
        latencies_s.append(await _probe(market, quantity))
        await asyncio.sleep(PROBE_PAUSE_S)


async def _probe_for(market: Market, name: str, duration_s: float) -> ProbeResult:
    results: list[ProbeResult] = []
    async with _probing(market, name, results):
        await asyncio.sleep(duration_s)
    return results[0]


@contextlib.asynccontextmanager
async def _probing(market: Market, name: str, results: list[ProbeResult]) -> AsyncIterator[None]:
    """Probe while the body runs; the pair that is under way when it ends is waited for."""
    latencies_s: list[float] = []
    probing = asyncio.create_task(_probe_repeatedly(market, latencies_s))
    yield
    while market.seen and not probing.done():
        await asyncio.sleep(0.01)
    probing.cancel()
    await asyncio.wait([probing])
    results.append(
        ProbeResult(
            name=name,
            trades=len(latencies_s),
            p50_ms=milliseconds(latencies_s, 0.50),
            p99_ms=milliseconds(latencies_s, 0.99),
        )
    )


async def _measure_bare(result: ExchangeResult, rates_per_s: list[float], duration_s: float, say: Say) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    server = await asyncio.create_subprocess_exec(sys.executable, "-m", "bench.bare_server", str(port))
    try:
        async with ApiClient(f"http://127.0.0.1:{port}", connections_max=0) as api:
            await _wait_ready(api)
            user = Account(api=api, username="", password="", user_id="", token="x" * 900)
            for rate_per_s in rates_per_s:
                say(f"{rate_per_s:.0f} POSTs a second to a bare server")
                result.loads.append(await _load_bare(user, rate_per_s, duration_s))
    finally:
        server.terminate()
        await server.wait()


async def _wait_ready(api: ApiClient) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while True:
            with contextlib.suppress(aiohttp.ClientError):
                async with api.session.get(f"{api.url}/readyz") as response:
                    if response.status == 200:
                        return
            await asyncio.sleep(0.05)


async def _load_bare(user: Account, rate_per_s: float, duration_s: float) -> LoadResult:
    async def place(number: int) -> None:
        symbol, price, quantity = LOAD[number // 2 % len(LOAD)]
        await user.place(symbol=symbol, side="sell", type="limit", price=price, quantity=quantity)

    return await run_open_loop("bare aiohttp", place, rate_per_s=rate_per_s, duration_s=duration_s)


async def _measure_costs(
    result: ExchangeResult, twin: CountedTwin, market: Market, rates_per_s: list[float], duration_s: float, say: Say
) -> None:
    proxy = twin.proxy
    assert proxy is not None
    say("calls of an idle exchange")
    before = proxy.calls.copy()
    await asyncio.sleep(IDLE_S)
    idle_calls_per_s = (proxy.calls.total() - before.total()) / IDLE_S
    for rate_per_s in rates_per_s:
        say(f"calls at {rate_per_s:.0f} orders a second")
        journal_before, before = await _settled_journal(twin), proxy.calls.copy()
        load = await _load(market, "cost", rate_per_s, duration_s)
        calls = proxy.calls - before
        journal = await _settled_journal(twin)
        result.costs.append(
            CostResult(
                name=f"at {rate_per_s:.0f} orders a second",
                orders=load.succeeded,
                calls=dict(calls.most_common()),
                calls_per_order=calls.total() / max(1, load.succeeded),
                idle_calls_per_s=idle_calls_per_s,
                journal_bytes_per_order=(journal[1] - journal_before[1]) / max(1, load.succeeded),
                slots=journal[0] - journal_before[0],
            )
        )


async def _settled_journal(twin: Twin) -> tuple[int, int]:
    """The same, once it has stopped growing (but for the slots that show that an idle partition lives)."""
    before, now = (0, 0), await _journal(twin)
    while before != now:
        await asyncio.sleep(SETTLE_S)
        before, now = now, await _journal(twin)
    return now


async def _journal(twin: Twin) -> tuple[int, int]:
    """(slots, bytes) of the whole journal, as it lies in the table."""
    journal = DynamoJournal(twin.backing.cloud.dynamodb, twin.site.topology)
    slots = size = 0
    for partition in range(twin.site.topology.partitions):
        after = 0
        while page := await journal.read(partition, after, 500):
            after = page[-1][0]
            slots += len(page)
            size += sum(len(data) for _, data in page)
    return slots, size
