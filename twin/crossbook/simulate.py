"""`crossbook simulate`: market makers and takers through the public API, so that there is a market to look at."""

import asyncio
import contextlib
import os
import random
import secrets
import signal
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from crossbook import control
from crossbook.clients.accounts import fund, make_accounts
from crossbook.clients.api_client import Account, ApiClient, ApiError, ApiProblemError
from crossbook.clients.patience import Patience
from crossbook.clients.quotes import SIZES, FairPrice, Market, Resting, gap_ticks, next_move, quotes, take
from crossbook.clients.trades import TradeWatch
from crossbook.demo import OPERATOR, PASSWORD
from crossbook.errors import TwinError
from crossbook.state import StateDirectory
from crossbook.terminal import console, report
from exchange_core.money import steps_text, to_steps
from exchange_core.orders import Side

BOTS_A_TAKER: Final = 4
TAKER_SHARE: Final = 0.2
"""Of all orders."""
TICKER_POLL_S: Final = 1.0
PATIENCE_S: Final = 120.0
STOP_TIMEOUT_S: Final = 20.0
"""For what is on its way when the bots are stopped; then again for their orders to be gone."""
OPEN_POLL_S: Final = 0.2
OPEN_POLLS: Final = 15
"""Before everything is canceled again."""
TIMER_S: Final = 120
"""Bots that die without a word leave their orders for as long: the exchange cancels them then."""
TIMER_RENEWED_S: Final = 30.0
FATAL_STATUSES: Final = frozenset({401, 403, 404})


@dataclass(frozen=True, slots=True, kw_only=True)
class SimulationOptions:
    """How the bots trade. `rate` is in orders a second, of all of them; `seconds` 0: until they are stopped."""

    gateway_url: str
    websocket_url: str | None
    operator_password: str
    symbol: str = "BTCUSDT"
    bot_count: int = 4
    rate: float = 5.0
    seconds: float = 0.0
    seed: int | None = None


@dataclass(slots=True, kw_only=True)
class SimulationTally:
    """What the bots did. `trade_count` is of everybody's trades, None when nothing watched them; `unsure_count` of the
    bots that did not see the end of all their orders."""

    order_count: int = 0
    cancel_count: int = 0
    refusals: Counter[str] = field(default_factory=Counter)
    trade_count: int | None = None
    unsure_count: int = 0

    def lines(self) -> list[str]:
        """For the person at the terminal."""
        trades = "not watched" if self.trade_count is None else f"{self.trade_count:,}"
        refusals = ", ".join(f"{code} {count:,}" for code, count in self.refusals.most_common()) or "none"
        return [
            f"orders       {self.order_count:,}",
            f"cancels      {self.cancel_count:,}",
            f"trades seen  {trades}",
            f"refusals     {refusals}",
        ]


def simulate_command(
    symbol: Annotated[str, typer.Option(help="What to trade.")] = "BTCUSDT",
    bots: Annotated[int, typer.Option(min=2, max=100, help="One in four takes, the others make the market.")] = 4,
    rate: Annotated[float, typer.Option(min=0.1, max=1_000, help="Orders a second, of all bots.")] = 5.0,
    seconds: Annotated[float, typer.Option(min=0, help="0 goes on until Ctrl-C.")] = 0.0,
    seed: Annotated[int | None, typer.Option(help="The same decisions again, as far as time allows.")] = None,
    state_dir: Annotated[Path, typer.Option("--state-dir", help="Of the running twin.")] = Path(".twin"),
) -> None:
    """Make a market: bots quote around a fair price that wanders, and trade. At the end they cancel all they have.

    The operator's password is read from CROSSBOOK_OPERATOR_PASSWORD; without it, the twin's is used.
    """
    environment = control.exchange(StateDirectory(state_dir))
    options = SimulationOptions(
        gateway_url=environment[control.GATEWAY_VARIABLE],
        websocket_url=environment.get("CROSSBOOK_WEBSOCKET_URL"),
        operator_password=os.environ.get("CROSSBOOK_OPERATOR_PASSWORD", PASSWORD),
        symbol=symbol,
        bot_count=bots,
        rate=rate,
        seconds=seconds,
        seed=seed,
    )
    try:
        tally = asyncio.run(_simulate_until_signal(options))
    except ApiError as error:
        raise TwinError(f"the simulation broke off: {error}") from error
    for line in tally.lines():
        console.print(line, markup=False)
    if tally.unsure_count:
        raise TwinError(f"orders of {tally.unsure_count} bots may still be open: their timers end them in {TIMER_S} s")


async def _simulate_until_signal(options: SimulationOptions) -> SimulationTally:
    stopping = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stopping.set)
    return await simulate(options, stopping, say=report)


async def simulate(
    options: SimulationOptions, stopping: asyncio.Event, *, say: Callable[[str], None] = lambda _: None
) -> SimulationTally:
    """Trade until the time is over or `stopping` is set, then leave no order open. Raises ApiError and TwinError."""
    tally = SimulationTally()
    async with ApiClient(options.gateway_url) as api:
        bots = await _unless_stopped(_start(api, options, Patience(PATIENCE_S), tally), stopping)
        if bots is None:
            return tally
        watch = TradeWatch(options.websocket_url, options.symbol) if options.websocket_url else None
        watching = asyncio.create_task(watch.watch()) if watch else None
        price = steps_text(bots[0].state.fair.ticks, bots[0].state.market.tick_size)
        say(f"{len(bots)} bots trade {options.symbol} around {price}")
        try:
            await _trade(bots, options, stopping)
        finally:
            is_clean = await asyncio.gather(*(bot.cancel_all() for bot in bots))
            tally.unsure_count = is_clean.count(False)
            if watch is not None and watching is not None:
                tally.trade_count = watch.trade_count
                watching.cancel()
                await asyncio.wait([watching])
    return tally


async def _unless_stopped(starting: "Coroutine[Any, Any, list[Bot]]", stopping: asyncio.Event) -> "list[Bot] | None":
    """What it returns or raises, or None when the stop came first, which ends it."""
    start, stop = asyncio.create_task(starting), asyncio.create_task(stopping.wait())
    try:
        await asyncio.wait([start, stop], return_when=asyncio.FIRST_COMPLETED)
        return start.result() if start.done() else None
    finally:
        for task in (start, stop):
            task.cancel()
        await asyncio.wait([start, stop])


@dataclass(slots=True, kw_only=True)
class MarketState:
    """What all bots know."""

    api: ApiClient
    market: Market
    patience: Patience
    tally: SimulationTally
    fair: FairPrice
    last_ticks: int


async def _start(api: ApiClient, options: SimulationOptions, patience: Patience, tally: SimulationTally) -> "list[Bot]":
    """Look at the market, make and fund the accounts."""
    market = Market.of(await patience.insist(partial(api.instrument, options.symbol)))
    last_ticks = await _last_ticks(api, patience, market) or market.reference_ticks
    seed = secrets.randbits(32) if options.seed is None else options.seed
    fair = FairPrice(last_ticks, random.Random(seed))  # noqa: S311 - a market to look at, nothing to guard
    state = MarketState(api=api, market=market, patience=patience, tally=tally, fair=fair, last_ticks=last_ticks)
    run = f"bot-{secrets.token_hex(4)}"
    accounts = await make_accounts(api, patience, run, options.bot_count)
    operator = await patience.insist(partial(api.log_in, OPERATOR, options.operator_password))
    await fund(patience, operator, accounts, market.funds(last_ticks))
    taker_count = max(1, options.bot_count // BOTS_A_TAKER)
    maker_count = options.bot_count - taker_count
    bots: list[Bot] = []
    for number, account in enumerate(accounts):
        chance = random.Random(f"{seed}-{number}")  # noqa: S311 - as above
        if number < maker_count:
            pause_s = maker_count / (options.rate * (1 - TAKER_SHARE))
            bots.append(Maker(state, account, chance, pause_s, rank=number))
        else:
            bots.append(Taker(state, account, chance, taker_count / (options.rate * TAKER_SHARE)))
    return bots


async def _last_ticks(api: ApiClient, patience: Patience, market: Market) -> int | None:
    ticker = await patience.insist(partial(api.call, "GET", f"/api/v1/ticker/{market.symbol}"))
    return None if ticker["price"] is None else to_steps(Decimal(ticker["price"]), market.tick_size)


async def _trade(bots: "list[Bot]", options: SimulationOptions, stopping: asyncio.Event) -> None:
    """Returns when it is over and what was on its way is answered, or has had the time for it."""
    state = bots[0].state
    tasks = [asyncio.create_task(bot.run(stopping)) for bot in bots]
    tasks.append(asyncio.create_task(_follow(state, stopping)))
    stop = asyncio.create_task(stopping.wait())
    try:
        await asyncio.wait([*tasks, stop], timeout=options.seconds or None, return_when=asyncio.FIRST_COMPLETED)
        stopping.set()
        await asyncio.wait(tasks, timeout=STOP_TIMEOUT_S)
    finally:
        for task in (*tasks, stop):
            task.cancel()
        outcomes = await asyncio.gather(*tasks, return_exceptions=True)
    for outcome in outcomes:
        if isinstance(outcome, Exception):
            raise outcome


async def _follow(state: MarketState, stopping: asyncio.Event) -> None:
    """Know where the market trades."""
    while not await _is_set_within(stopping, TICKER_POLL_S):
        state.last_ticks = await _last_ticks(state.api, state.patience, state.market) or state.last_ticks


async def _is_set_within(stopping: asyncio.Event, seconds: float) -> bool:
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await stopping.wait()
    return stopping.is_set()


class Bot(ABC):
    """One account that acts every `pause_s` on average, at times of its own chance."""

    def __init__(self, state: MarketState, account: Account, chance: random.Random, pause_s: float) -> None:
        self.state = state
        self._account = account
        self._chance = chance
        self._pause_s = pause_s
        self._order_count = 0
        self._renew_timer_s = 0.0

    async def run(self, stopping: asyncio.Event) -> None:
        """Act until it is to stop. Raises ApiProblemError when the exchange knows this bot no more."""
        loop = asyncio.get_running_loop()
        due_s = loop.time()
        while True:
            due_s = max(due_s + self._pause_s * self._chance.uniform(0.5, 1.5), loop.time())
            if await _is_set_within(stopping, due_s - loop.time()):
                return
            if loop.time() >= self._renew_timer_s:
                self._renew_timer_s = loop.time() + TIMER_RENEWED_S
                await self._arm_timer()
            await self.act()

    @abstractmethod
    async def act(self) -> None:
        """One order, or none."""

    async def cancel_all(self) -> bool:
        """Cancel whatever is open, again until nothing is; whether that was seen in time."""
        path = f"/api/v1/orders?symbol={self.state.market.symbol}"
        insist = self.state.patience.insist
        with contextlib.suppress(TimeoutError, ApiProblemError):  # refused: the exchange knows this bot no more
            async with asyncio.timeout(STOP_TIMEOUT_S):
                while True:
                    await insist(partial(self._account.call, "DELETE", path))
                    for _ in range(OPEN_POLLS):
                        found = await insist(partial(self._account.call, "GET", f"{path}&status=open"))
                        if not found["orders"]:
                            return True
                        await asyncio.sleep(OPEN_POLL_S)
        return False

    async def _arm_timer(self) -> None:
        body = {"symbol": self.state.market.symbol, "timeout_s": TIMER_S}
        await self._asked(partial(self._account.call, "POST", "/api/v1/orders/cancel-all-after", body))

    async def _placed(self, order: dict[str, Any]) -> str | None:
        """The id of the order, None when it was refused."""
        self._order_count += 1
        self.state.tally.order_count += 1
        identified = order | {"client_order_id": f"{self._account.username}-{self._order_count}"}
        answer = await self._asked(partial(self._account.place, **identified))
        return None if answer is None else str(answer["order_id"])

    async def _asked(self, call: Callable[[], Any]) -> Any:
        """The answer, None for a refusal, which is counted."""
        try:
            return await self.state.patience.insist(call)
        except ApiProblemError as problem:
            if problem.status in FATAL_STATUSES and problem.code != "order_not_found":
                raise
            self.state.tally.refusals[problem.code] += 1
            return None


class Maker(Bot):
    """Keeps a few quotes on both sides of the fair price, and replaces them as it moves."""

    def __init__(
        self, state: MarketState, account: Account, chance: random.Random, pause_s: float, *, rank: int
    ) -> None:
        super().__init__(state, account, chance, pause_s)
        self._rank = rank
        self._resting: list[Resting] = []

    async def act(self) -> None:
        """Move the fair price, and one quote."""
        state = self.state
        fair_ticks = state.fair.step(state.market, state.last_ticks)
        wanted = quotes(state.market, fair_ticks, state.last_ticks, self._rank)
        move = next_move(wanted, self._resting, gap_ticks(fair_ticks) // 2)
        if move.cancel is not None:
            state.tally.cancel_count += 1
            await self._asked(partial(self._account.cancel, move.cancel.order_id))
            self._resting.remove(move.cancel)  # refused, it has ended already
        if move.place is not None:
            quantity_lots = state.market.quantity_lots(move.place.price_ticks, self._chance.randint(1, SIZES))
            order = state.market.order(move.place.side, move.place.price_ticks, quantity_lots)
            order_id = await self._placed(order | {"post_only": True})
            if order_id is not None:
                self._resting.append(Resting(order_id, move.place))


class Taker(Bot):
    """Takes from the book now and then, as much on one side as on the other in the long run."""

    def __init__(self, state: MarketState, account: Account, chance: random.Random, pause_s: float) -> None:
        super().__init__(state, account, chance, pause_s)
        self._net_lots = 0

    async def act(self) -> None:
        """One order that takes what it finds within its reach, and never rests."""
        state = self.state
        side, price, lots = take(state.market, state.fair.ticks, state.last_ticks, self._net_lots, self._chance)
        order = state.market.order(side, price, lots)
        if await self._placed(order | {"time_in_force": "ioc"}) is not None:
            self._net_lots += lots if side is Side.BUY else -lots
