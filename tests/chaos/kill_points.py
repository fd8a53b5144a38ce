"""Every service dies at each of its kill points while it works: it comes back, and nothing that was accepted is lost.

    python -m tests.chaos.kill_points           every point at its first passing, an audit after each service
    python -m tests.chaos.kill_points --all     and at its tenth, an audit after each point

One twin serves for all of them. A small flow runs until the service has died where KILL_AT told it to, and comes to its
end with the next life of the service, which is the one that dies at the next point.
"""

import argparse
import asyncio
import hashlib
import hmac
import secrets
import signal
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import partial
from os import kill
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import aiohttp
from redis.asyncio import Redis

from crossbook.audit.run import audit_exchange
from crossbook.clients.api_client import Account, ApiClient, ApiProblemError
from crossbook.clients.patience import Patience
from crossbook.processes import Child
from crossbook.twin import Twin, TwinOptions
from exchange_adapters.kill_points import KILL_AT, kill_points
from exchange_core.topology import subscribers_key
from exchange_fanout.app import Ports as FanoutPorts
from exchange_gateway.app import Ports as GatewayPorts
from exchange_matcher.app import Ports as MatcherPorts
from exchange_persister.app import Ports as PersisterPorts
from tests.eventually import eventually

SERVICES = {"gateway": GatewayPorts, "matcher-1": MatcherPorts, "persister": PersisterPorts, "fanout": FanoutPorts}
ONLY_READ = {"fanout": "sessions."}
"""A port of which the service uses the reading half."""
POINTS = tuple(
    (service, point)
    for service, ports in SERVICES.items()
    for point in kill_points(ports)
    if not point.startswith(ONLY_READ.get(service, " "))
)
VARIABLES = {"snapshots.put": {"SNAPSHOT_SLOTS": "1"}}
"""What makes a service pass a point within the time of a test."""
WHEN_STARTED = "leases.acquire"
"""Is passed before the service is ready."""
WHEN_STOPPED = "leases.release"
"""Is passed when the service stops in good order, and not ten times."""
PATIENCE_S = 60.0
DIES_WITHIN_S = 60.0
SETTLED_WITHIN_S = 60.0
OPTIONS = replace(TwinOptions.private(), matchers=1)
"""One matcher, so that every order passes the points of the one that dies."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Death:
    """What became of one point. `back_s`: from the death until the service was ready again."""

    service: str
    point: str
    passing: int
    is_killed: bool
    back_s: float
    differences: tuple[str, ...] = ()


@dataclass(slots=True)
class Chronicle:
    """What the supervisor says, and when."""

    said: list[tuple[float, str]] = field(default_factory=list)

    def hear(self, text: str) -> None:
        self.said.append((time.monotonic(), text))

    def find(self, words: str, *, after: int) -> int | None:
        """Where they stand first, after so many others."""
        return next((at for at in range(after, len(self.said)) if self.said[at][1].startswith(words)), None)


@dataclass(slots=True)
class Flow:
    """Traders who repeat what is not answered, and remember what was accepted: order id → how it must end."""

    twin: Twin
    api: ApiClient
    patience: Patience
    alice: Account
    bob: Account
    operator: Account
    accepted: dict[str, str] = field(default_factory=dict)

    @classmethod
    async def begin(cls, twin: Twin, api: ApiClient) -> "Flow":
        patience = Patience(PATIENCE_S)
        alice, bob, operator = [
            await patience.insist(partial(api.log_in, name, twin.password)) for name in ("alice", "bob", twin.operator)
        ]
        return cls(twin, api, patience, alice, bob, operator)

    async def round(self, service: str) -> None:
        """A trade, an order that is canceled, a deposit; and what else the service does."""
        terms = {"symbol": "BTCUSDT", "type": "limit", "price": "50000", "quantity": "0.001"}
        sold = await self.place(self.alice, "filled", **terms, side="sell")
        await self.place(self.bob, "filled", **terms, side="buy")
        resting = await self.place(self.bob, "canceled", **terms | {"price": "45000"}, side="buy")
        with suppress(ApiProblemError):  # an attempt that was not answered may have canceled it already
            await self.patience.insist(partial(self.bob.cancel, resting))
        deposit = {
            "user_id": self.alice.user_id,
            "asset": "BTC",
            "amount": "0.001",
            "transfer_id": secrets.token_hex(8),
        }
        await self.patience.insist(partial(self.operator.deposit, **deposit))
        if service == "gateway":
            await self.log_in_and_out()
        if service == "fanout":
            await self.watch()
        await self.ended({sold: "filled"})

    async def place(self, account: Account, end: str, **terms: Any) -> str:
        identified = terms | {"client_order_id": secrets.token_hex(8)}
        answer = await self.patience.insist(partial(account.place, **identified))
        self.accepted[answer["order_id"]] = end
        return str(answer["order_id"])

    async def log_in_and_out(self) -> None:
        """A session with an API key that signs one request, both ended."""
        carol = await self.patience.insist(partial(self.api.log_in, "carol", self.twin.password))
        body = {"name": "chaos", "scopes": ["read"]}
        key = await self.patience.insist(partial(carol.call, "POST", "/api/v1/api-keys", body))
        await self.patience.insist(partial(self.signed, key))
        with suppress(ApiProblemError):
            await self.patience.insist(partial(carol.call, "DELETE", f"/api/v1/api-keys/{key['key_id']}"))
        with suppress(ApiProblemError):
            await self.patience.insist(partial(self.api.call, "DELETE", "/api/v1/sessions", token=carol.token))

    async def signed(self, key: dict[str, Any]) -> None:
        path, timestamp = "/api/v1/balances", str(time.time_ns() // 1_000_000)
        signature = hmac.new(key["secret"].encode(), f"{timestamp}\nGET\n{path}\n".encode(), hashlib.sha256)
        headers = {
            "X-Crossbook-Key": key["key_id"],
            "X-Crossbook-Timestamp": timestamp,
            "X-Crossbook-Signature": signature.hexdigest(),
        }
        with suppress(aiohttp.ClientError, TimeoutError):
            async with self.api.session.get(self.api.url + path, headers=headers):
                pass

    async def watch(self) -> None:
        """Subscribe until that is noted, and leave again; fanout may die meanwhile."""

        async def is_noted(redis: Redis) -> bool:
            before = await self.subscribers(redis)
            with suppress(aiohttp.ClientError, TimeoutError, TypeError):
                async with self.api.session.ws_connect(self.twin.websocket_url) as socket:
                    await socket.send_json({"action": "subscribe", "symbol": "BTCUSDT"})
                    answer = await socket.receive_json(timeout=5)
                    while not socket.closed and not await self.subscribers(redis) - before:
                        with suppress(TimeoutError):
                            await socket.receive(timeout=0.05)
                    await socket.send_json({"action": "unsubscribe", "symbol": "BTCUSDT"})
                    return bool(answer["event"] == "subscribed")
            return False

        async with Redis.from_url(self.twin.site.redis_url) as redis:
            await eventually(partial(is_noted, redis), timeout_s=PATIENCE_S)

    async def subscribers(self, redis: Redis) -> set[bytes]:
        """The connections of which fanout has noted that they watch: left at once, one may never be."""
        return set(await redis.smembers(subscribers_key("BTCUSDT")))

    async def ended(self, orders: dict[str, str]) -> None:
        """Every one of these orders is found, and has ended as it must."""
        for order_id, end in orders.items():
            await eventually(partial(self.is_over, order_id, end), timeout_s=SETTLED_WITHIN_S)

    async def is_over(self, order_id: str, end: str) -> bool:
        for owner in (self.alice, self.bob):
            with suppress(ApiProblemError):
                order = await self.patience.insist(partial(owner.order, order_id))
                return bool(order["status"] == end)
        raise AssertionError(f"{order_id} was accepted and is not known")


def arming(point: str, passing: int) -> dict[str, str]:
    """The variables with which a service dies there."""
    return {KILL_AT: f"{point}:{passing}", **VARIABLES.get(point.rpartition(".")[0], {})}


async def die(twin: Twin, chronicle: Chronicle, flow: Flow, service: str, point: str, passing: int) -> Death:
    """The service, started with this point, dies there and comes back. Raises AssertionError for what is lost."""
    begun, until_s = len(chronicle.said), time.monotonic() + DIES_WITHIN_S
    flow.accepted.clear()
    if point.startswith(WHEN_STOPPED):
        await twin.wait_ready()
        kill(twin.backing.supervisor.find(service).pid, signal.SIGTERM)
    while chronicle.find(f"{service} DIED", after=begun) is None and time.monotonic() < until_s:
        await flow.round(service)
    died = chronicle.find(f"{service} DIED", after=begun)
    if died is None:
        return Death(service=service, point=point, passing=passing, is_killed=False, back_s=0.0)
    back = await eventually(lambda: chronicle.find(f"{service} is back", after=died), timeout_s=PATIENCE_S)
    await flow.ended(flow.accepted)
    return Death(
        service=service,
        point=point,
        passing=passing,
        is_killed="SIGKILL" in chronicle.said[died][1],
        back_s=chronicle.said[back][0] - chronicle.said[died][0],
    )


async def until_up(child: Child) -> None:
    """Return once it runs, or runs again."""
    await eventually(lambda: child.pid, timeout_s=PATIENCE_S)


async def start_armed(twin: Twin, service: str, variables: dict[str, str]) -> None:
    """Kill the service; returns when it has started with these, which may be its end at once."""
    child = twin.backing.supervisor.find(service)
    await until_up(child)
    twin.backing.supervisor.arm(service, **variables)
    twin.kill(service)
    await eventually(lambda: child.variables == variables, timeout_s=PATIENCE_S)


async def audit(twin: Twin, *, patience_s: float = 60.0) -> tuple[str, ...]:
    """What the audit finds, as text, once the exchange is at rest or the patience is over; nothing is good."""
    async with asyncio.timeout(2 * patience_s + 60.0):
        results = await audit_exchange(twin.client_environment, patience_s)
    return tuple(f"{result.name}: {one}" for result in results for one in result.differences)


async def die_everywhere(
    twin: Twin,
    chronicle: Chronicle,
    points: Sequence[tuple[str, str, int]],
    *,
    report: Callable[[Death], None],
    audits_each: bool,
) -> list[Death]:
    """At one point after the other; with an audit after each, or after each service."""
    deaths: list[Death] = []
    async with ApiClient(twin.gateway_url) as api:
        flow = await Flow.begin(twin, api)
        for service in dict.fromkeys(service for service, _, _ in points):
            own = [(point, passing) for owner, point, passing in points if owner == service]
            child = twin.backing.supervisor.find(service)
            for at, (point, passing) in enumerate(own):
                is_last = at + 1 == len(own)
                await until_up(child)  # it may have died there already: then it is about to start without the point
                if child.variables != arming(point, passing):
                    await start_armed(twin, service, arming(point, passing))
                if not is_last and not own[at + 1][0].startswith(WHEN_STARTED):
                    twin.backing.supervisor.arm(service, **arming(*own[at + 1]))
                death = await die(twin, chronicle, flow, service, point, passing)
                if audits_each or is_last:
                    await twin.wait_ready()
                    death = replace(death, differences=await audit(twin))
                report(death)
                deaths.append(death)
    return deaths


def _line(death: Death) -> str:
    fate = "killed" if death.is_killed else "NOT REACHED"
    verdict = "; ".join(death.differences)
    return f"{death.service:<10} {death.point:<26} {death.passing:>2}  {fate}  back in {death.back_s:4.1f} s  {verdict}"


async def _run(services: Sequence[str], *, is_long: bool) -> bool:
    """Whether every point was reached and every audit clean."""
    began_s, chronicle = time.monotonic(), Chronicle()
    points = [(*where, 1) for where in POINTS if where[0] in services]
    if is_long:
        points += [(service, point, 10) for service, point, _ in points if not point.startswith(WHEN_STOPPED)]
    with TemporaryDirectory() as directory:
        async with Twin(Path(directory), OPTIONS, report=chronicle.hear) as twin:
            say: Callable[[Death], None] = lambda death: print(_line(death), flush=True)  # noqa: E731
            deaths = await die_everywhere(twin, chronicle, points, report=say, audits_each=is_long)
    killed = sum(death.is_killed for death in deaths)
    unclean = sum(bool(death.differences) for death in deaths)
    print(f"{killed} of {len(deaths)} points reached, {unclean} unclean, in {time.monotonic() - began_s:.0f} s")
    return killed == len(deaths) and not unclean


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--all", action="store_true", help="the tenth passing too")
    parser.add_argument("services", nargs="*", default=list(SERVICES), help="these only")
    told = parser.parse_args()
    sys.exit(not asyncio.run(_run(told.services, is_long=told.all)))
