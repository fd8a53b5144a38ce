"""The gate that every request passes first. Redis counts for all gateways; while it is away, each counts for itself.

Requests that arrive while Redis is being asked are asked about together next.
"""

import asyncio
import math
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from typing import Final, Self

from aiohttp import web

from exchange_adapters.group_commit import GroupCommit, QueueFullError
from exchange_core.addresses import client_address
from exchange_core.ports import RateLimiter
from exchange_core.rate_limits import Charge, RateLimit, Standing, judge
from exchange_core.topology import rate_limit_key
from exchange_gateway.access.limits import GLOBAL, RouteClass, route_class
from exchange_gateway.access.redis_patience import RedisPatience
from exchange_gateway.problems import Code, ProblemError

_ASKED_MAX: Final = 100
_WAITING_MAX: Final = 20_000
_SUBJECTS_MAX: Final = 100_000


class LocalRateLimiter:
    """RateLimiter in this process only. Remembers SUBJECTS_MAX stores and forgets the one least lately charged."""

    def __init__(self, subjects_max: int = _SUBJECTS_MAX) -> None:
        self._subjects_max = subjects_max
        self._full_at_us: OrderedDict[str, int] = OrderedDict()

    async def take(self, asked: Sequence[Sequence[Charge]]) -> list[list[Standing]]:
        """See RateLimiter."""
        now_us = round(asyncio.get_running_loop().time() * 1_000_000)
        return [self._take(charges, now_us) for charges in asked]

    def _take(self, charges: Sequence[Charge], now_us: int) -> list[Standing]:
        standings = judge(charges, [self._full_at_us.get(charge.key, now_us) for charge in charges], now_us)
        if all(standing.is_allowed for standing in standings):
            for charge, standing in zip(charges, standings, strict=True):
                self._full_at_us[charge.key] = now_us + standing.full_in_us
                self._full_at_us.move_to_end(charge.key)
            while len(self._full_at_us) > self._subjects_max:
                self._full_at_us.popitem(last=False)
        return standings


class RateGate:
    """One a process. Lifecycle: `async with`."""

    def __init__(self, limiter: RateLimiter, limits: Mapping[str, RateLimit], trusted_proxies: int) -> None:
        self.limits = limits
        self._limiter = limiter
        self._local = LocalRateLimiter()
        self._trusted_proxies = trusted_proxies
        self._patience = RedisPatience("rate limits")
        self._group: GroupCommit[Sequence[Charge], list[Standing]] = GroupCommit(
            self._take_together,
            max_items=_ASKED_MAX,
            max_size=_ASKED_MAX,
            max_waiting=_WAITING_MAX,
            size_of=lambda _: 1,
        )

    async def __aenter__(self) -> Self:
        await self._group.__aenter__()
        return self

    async def __aexit__(self, *error: object) -> None:
        await self._group.__aexit__(*error)

    def admission(self, request: web.Request) -> "Admission":
        """Of one request, nothing asked yet."""
        address = client_address(request.remote, request.headers.getall("X-Forwarded-For", ()), self._trusted_proxies)
        return Admission(self, route_class(request.method, request.path), address)

    async def take(self, charges: Sequence[Charge], *, is_local: bool) -> list[Standing]:
        """Judge one request by the shared limits, or by this process's own."""
        if is_local or self._patience.is_away:
            return (await self._local.take([charges]))[0]
        try:
            return await self._group.submit(charges)
        except QueueFullError:
            return (await self._local.take([charges]))[0]

    async def _take_together(self, asked: Sequence[Sequence[Charge]]) -> list[list[Standing]]:
        answer = await self._patience.ask(lambda: self._limiter.take(asked))
        return await self._local.take(asked) if answer is None else answer


class Admission:
    """How one request stands with the limits it was judged by; the tightest of them is what the client is told."""

    __slots__ = ("_address", "_class", "_gate", "_tightest", "_user_id")

    def __init__(self, gate: RateGate, asked: RouteClass, address: str) -> None:
        self._gate = gate
        self._class = asked
        self._address = address
        self._user_id: str | None = None
        self._tightest: Standing | None = None

    async def enter(self, user_id: str | None) -> None:
        """Before all else: global, address, and the user if the token was seen before. Raises `too_many_requests`."""
        wanted = [(f"{self._class}.address", self._address, 1)]
        if self._class is not RouteClass.HEALTH:
            wanted.append((GLOBAL, "all", 1))
        if user_id is not None:
            wanted += self._of_user(user_id, {self._class: 1})
        await self._charge(wanted)
        self._user_id = user_id

    async def recognise(self, user_id: str) -> None:
        """Once it is known who asks: the user's own limit, unless it was asked at the door."""
        if user_id != self._user_id:
            self._user_id = user_id
            await self._charge(self._of_user(user_id, {self._class: 1}))

    async def charge(self, requests: Mapping[RouteClass, int]) -> None:
        """What one request does many times over: on top of the one that it was counted as."""
        assert self._user_id is not None, "it is known who asks"
        counts = {asked: count - (asked is self._class) for asked, count in requests.items()}
        await self._charge(self._of_user(self._user_id, counts))

    def headers(self) -> dict[str, str]:
        """Limit and remaining requests, and the seconds until all of them would pass again."""
        standing = self._tightest
        assert standing is not None, "every request enters first"
        return {
            "X-RateLimit-Limit": str(standing.limit.requests),
            "X-RateLimit-Remaining": str(standing.remaining),
            "X-RateLimit-Reset": str(math.ceil(standing.full_in_us / 1_000_000)),
        }

    def _of_user(self, user_id: str, counts: Mapping[RouteClass, int]) -> list[tuple[str, str, int]]:
        named = [(f"{asked}.user", user_id, count) for asked, count in counts.items() if count > 0]
        return [wanted for wanted in named if wanted[0] in self._gate.limits]

    async def _charge(self, wanted: Sequence[tuple[str, str, int]]) -> None:
        """(limit, subject, requests) each; raises ProblemError."""
        charges = [
            Charge(key=rate_limit_key(name, subject), limit=self._gate.limits[name], requests=count)
            for name, subject, count in wanted
        ]
        if not charges:
            return
        standings = await self._gate.take(charges, is_local=self._class is RouteClass.HEALTH)
        known = [] if self._tightest is None else [self._tightest]
        self._tightest = min([*known, *standings], key=lambda standing: (standing.is_allowed, standing.remaining))
        refused = [(standing.wait_us, name) for standing, (name, _, _) in zip(standings, wanted, strict=True)]
        wait_us, name = max(refused)
        if wait_us:
            raise ProblemError(
                Code.TOO_MANY_REQUESTS,
                f"the limit {name} is {_text(self._gate.limits[name])}",
                headers={"Retry-After": str(math.ceil(wait_us / 1_000_000))},
                limit=name,
                retry_after_ms=math.ceil(wait_us / 1_000),
            )


def _text(limit: RateLimit) -> str:
    return f"{limit.requests} requests in {limit.window_ms / 1_000:g} s"
