"""Traders who go on whatever breaks, through any gateway that answers, and write down all they were told."""

import asyncio
import contextlib
import secrets
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from functools import partial
from itertools import pairwise
from random import Random
from types import TracebackType
from typing import Any, Final, Self, TypeVar

import aiohttp
import orjson

from crossbook.clients.api_client import Account, ApiClient, ApiError, ApiProblemError, ApiUnavailableError
from crossbook.clients.hearing import hear
from crossbook.errors import TwinError

PRICES: Final = {"BTCUSDT": Decimal(50_000), "ETHUSDT": Decimal(3_000)}
"""Symbols of different partitions, and around which price they are traded."""
CALL_TIMEOUT_S: Final = 8.0
PATIENCE_S: Final = 180.0
PAUSE_S: Final = (0.1, 0.5)
LOOK_EVERY_S: Final = 0.2
LOOKS_MAX: Final = 20
FINAL: Final = frozenset({"filled", "canceled", "expired", "rejected"})

Answer = TypeVar("Answer")


@dataclass(slots=True, kw_only=True)
class Sent:
    """One order as its trader knows it: `order_id` once it was accepted, `refusal` the code if it was refused instead,
    `status` as last seen."""

    account: Account
    client_order_id: str
    order_id: str = ""
    refusal: str = ""
    status: str = "accepted"


@dataclass(slots=True)
class Pulse:
    """The moments, in seconds of the loop's clock, at which something was seen to work."""

    beats_s: list[float] = field(default_factory=list)

    def beat(self) -> None:
        """It works now."""
        self.beats_s.append(asyncio.get_running_loop().time())

    def longest_gap_s(self, from_s: float, to_s: float) -> float:
        """The longest silence that touches this time."""
        inside = [at for at in self.beats_s if from_s <= at <= to_s]
        before = max((at for at in self.beats_s if at < from_s), default=from_s)
        after = min((at for at in self.beats_s if at > to_s), default=to_s)
        marks = [before, *inside, after]
        return max(later - earlier for earlier, later in pairwise(marks))


class Load:
    """Lifecycle: `async with`, then `finish`. `accepted`, `traded` (as the WebSockets tell) and `settled` (as queries
    show) are the pulses; `history` is every order sent."""

    def __init__(
        self,
        *,
        gateway_urls: Sequence[str],
        websocket_urls: Sequence[str],
        usernames: Sequence[str],
        password: str,
        random: Random,
    ) -> None:
        self.accepted, self.traded, self.settled = Pulse(), Pulse(), Pulse()
        self.history: list[Sent] = []
        self._apis = [ApiClient(url) for url in gateway_urls]
        self._websocket_urls = websocket_urls
        self._usernames = usernames
        self._password = password
        self._random = random
        self._unseen: dict[str, Sent] = {}
        self._open = contextlib.AsyncExitStack()
        self._accounts: list[Account] = []
        self._tasks: list[asyncio.Task[None]] = []

    async def __aenter__(self) -> Self:
        for api in self._apis:
            await self._open.enter_async_context(api)
        self._accounts = [await self._apis[0].log_in(name, self._password) for name in self._usernames]
        self._tasks = [
            *(asyncio.create_task(self._trade(account)) for account in self._accounts),
            *(asyncio.create_task(self._watch(url)) for url in self._websocket_urls),
            asyncio.create_task(self._look()),
        ]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._stop()
        await self._open.aclose()

    @property
    def pulses(self) -> dict[str, Pulse]:
        """All three, by name."""
        return {"accepted": self.accepted, "traded": self.traded, "settled": self.settled}

    def check(self) -> None:
        """Raise what a trader died of."""
        for task in self._tasks:
            if task.done():
                task.result()

    async def finish(self) -> list[str]:
        """Stop trading, cancel what rests, and find every order again; returns what contradicts what was told."""
        await self._stop()
        for account in self._accounts:
            for symbol in PRICES:
                await self._insist(account, partial(account.call, "DELETE", f"/api/v1/orders?symbol={symbol}"))
        wrong = []
        for sent in self.history:
            if sent.refusal:
                if await self._exists(sent):
                    wrong.append(f"{sent.client_order_id} was refused as {sent.refusal}, and exists")
            elif not await self._has_ended(sent):
                wrong.append(f"{sent.order_id} was accepted, and is {sent.status} for ever")
        return wrong

    async def _stop(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _trade(self, account: Account) -> None:
        mine: list[str] = []
        for order in self._orders():
            sent = Sent(account=account, client_order_id=order["client_order_id"])
            try:
                answer = await self._insist(account, partial(account.place, **order))
            except ApiProblemError as problem:
                sent.refusal = problem.code
            else:
                sent.order_id = answer["order_id"]
                self.accepted.beat()
                self._unseen[sent.order_id] = sent
                mine.append(sent.order_id)
            self.history.append(sent)
            if len(mine) > 10:
                with contextlib.suppress(ApiProblemError):  # it has traded, or an attempt before has canceled it
                    await self._insist(account, partial(account.cancel, mine.pop(0)))
            await asyncio.sleep(self._random.uniform(0.1, 0.4))

    def _orders(self) -> Iterator[dict[str, str]]:
        while True:
            symbol = self._random.choice(list(PRICES))
            yield {
                "symbol": symbol,
                "side": self._random.choice(("buy", "sell")),
                "type": "limit",
                "price": str(PRICES[symbol] + self._random.randrange(-3, 4)),
                "quantity": str(Decimal(self._random.randrange(1, 50)) / 1000),
                "client_order_id": secrets.token_hex(8),
            }

    async def _insist(self, account: Account, call: Callable[[], Awaitable[Answer]]) -> Answer:
        """Through one gateway after the other until one answers; raises ApiProblemError as it comes.

        The account's trader and whoever looks after its orders call at the same time: only the first of them to be let
        down turns to the next gateway, or the second would turn back to the one that is dead.
        """
        until_s = asyncio.get_running_loop().time() + PATIENCE_S
        while True:
            asked = account.api
            try:
                async with asyncio.timeout(CALL_TIMEOUT_S):
                    return await call()
            except (ApiUnavailableError, TimeoutError) as error:
                if asyncio.get_running_loop().time() > until_s:
                    raise TwinError(
                        f"no gateway has answered for {PATIENCE_S:.0f} s; the last error: {error}"
                    ) from error
            if account.api is asked:
                account.api = self._apis[(self._apis.index(asked) + 1) % len(self._apis)]
            await asyncio.sleep(self._random.uniform(*PAUSE_S))

    async def _watch(self, url: str) -> None:
        """Hear the trades of one fanout, again and again when it breaks off."""
        while True:
            with contextlib.suppress(aiohttp.ClientError, OSError, TimeoutError):
                async with self._apis[0].session.ws_connect(url, heartbeat=2.0) as socket:
                    for symbol in PRICES:
                        await socket.send_json({"action": "subscribe", "symbol": symbol})
                    async for message in hear(socket):
                        if orjson.loads(message)["event"] == "trade":
                            self.traded.beat()
            await asyncio.sleep(LOOK_EVERY_S)

    async def _look(self) -> None:
        """Ask for accepted orders until the database shows them."""
        while True:
            for sent in list(self._unseen.values())[:LOOKS_MAX]:
                with contextlib.suppress(ApiError):
                    await self._refresh(sent)
                if sent.status != "accepted":
                    self._unseen.pop(sent.order_id, None)
                    self.settled.beat()
            await asyncio.sleep(LOOK_EVERY_S)

    async def _refresh(self, sent: Sent) -> None:
        answer = await self._insist(sent.account, partial(sent.account.order, sent.order_id))
        sent.status = answer["status"]

    async def _has_ended(self, sent: Sent) -> bool:
        until_s = asyncio.get_running_loop().time() + PATIENCE_S
        while sent.status not in FINAL and asyncio.get_running_loop().time() < until_s:
            try:
                await self._refresh(sent)
            except ApiProblemError as problem:
                sent.status = problem.code
                return False
            if sent.status not in FINAL:
                await asyncio.sleep(LOOK_EVERY_S)
        return sent.status in FINAL

    async def _exists(self, sent: Sent) -> bool:
        path = f"/api/v1/order/by-client-id/{sent.client_order_id}"
        try:
            answer: dict[str, Any] = await self._insist(sent.account, partial(sent.account.call, "GET", path))
        except ApiProblemError:
            return False
        return bool(answer["status"] != "rejected")
