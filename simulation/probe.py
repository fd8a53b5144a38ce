"""The probe of a world that has come to rest: one symbol is poisoned, the others must trade on at once and be heard."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import count
from typing import Any, Final

import orjson

from exchange_adapters.sim import SimCloud
from exchange_core.topology import COMMAND_VISIBILITY_S, order_book_key
from exchange_persister.notices import PAUSE_AFTER_FAULT_S
from simulation.clients.desk import Desk
from simulation.clients.history import Call, History
from simulation.clients.listeners import Listener, Wants
from simulation.clients.traders import BOMB_PREFIX
from simulation.market import BUYER, SELLER, SYMBOLS, TICKS, steps_text, units_of
from simulation.trouble.storm import Storm

PROBE_S: Final = COMMAND_VISIBILITY_S + 2.0
"""How long an order may take to be settled while another symbol is poisoned: a matcher that has just handed its
partition over may still hold the message for as long as SQS keeps it invisible."""
LISTEN_S: Final = 15.0
"""How long a listener may take to hear all symbols once the exchange is at rest: it may have to connect again."""
TELL_S: Final = 7.0
"""How long a listener may wait for what has happened: fanout reads a book again within five seconds."""
_POLL_S: Final = 0.5
_QUANTITY: Final = "0.1"
_PASSING: Final = ("symbol_halted", "service_unavailable")
"""A circuit breaker's halt; a gateway that was suspended, and renews the lease that it makes ids by."""


@dataclass(slots=True, kw_only=True)
class Probe:
    """`rest` waits until nothing is on its way and says what still was. Found are: what was `slow`, and which trades,
    books and notices to the buyer were `unheard`."""

    desk: Desk
    storm: Storm
    listeners: Sequence[Listener]
    cloud: SimCloud
    history: History
    rest: Callable[[], Awaitable[str]]
    slow: list[str] = field(default_factory=list)
    unheard: dict[Wants, list[str]] = field(default_factory=dict)
    _settled_before: dict[str, int] = field(default_factory=dict)

    async def run(self, sick: str, others: list[str]) -> None:
        """Poison one symbol and trade in the others."""
        await asyncio.sleep(PAUSE_AFTER_FAULT_S)  # a persister whose notices failed is silent for so long
        await self._until_listening()
        heard_before, traded_before = len(self.history.trades), trade_ids(self.cloud)
        self._settled_before = self._settled_marks()
        self.storm.poison(sick)
        await self._place(BUYER, sick, "buy", f"{BOMB_PREFIX}probe", gateway=0)
        for symbol in others:
            await self._is_prompt(symbol)
        for symbol in others:
            await self._trade(symbol, traded_before)
        if unrest := await self.rest():
            self.slow.append(f"after the poison: {unrest}")
        missing: dict[Wants, Callable[[], Iterator[str]]] = {
            "trades": lambda: self._trades_not_heard(traded_before, heard_before),
            "books": self._books_not_heard,
            "notices": self._notices_not_heard,
        }
        await _comes_true(lambda: not any(any(find()) for find in missing.values()), TELL_S)
        for what, find in missing.items():
            self.unheard.setdefault(what, []).extend(find())

    async def _until_listening(self) -> None:
        """A watcher that lost its connection needs a moment, like the caches, to be itself again."""
        await _comes_true(lambda: all(one.is_listening for one in self.listeners), LISTEN_S)
        for one in self.listeners:
            if not one.is_listening:
                self.unheard.setdefault(one.wants, []).append(f"a listener could not subscribe in {LISTEN_S} s")

    def _trades_not_heard(self, traded_before: set[tuple[str, int]], heard_before: int) -> Iterator[str]:
        heard = {(trade.message["symbol"], trade.message["trade_id"]) for trade in self.history.trades[heard_before:]}
        for symbol, trade_id in sorted(trade_ids(self.cloud) - traded_before - heard):
            yield f"trade {symbol} {trade_id} was not heard"

    def _books_not_heard(self) -> Iterator[str]:
        """Whose last book is not the one that the matcher has cached."""
        last = {heard.message["symbol"]: heard.message["seq"] for heard in self.history.books}
        for symbol in SYMBOLS:
            cached = self.cloud.redis._server.keys.get(order_book_key(symbol))
            seq = orjson.loads(cached)["seq"] if cached else None
            if last.get(symbol) != seq:
                yield f"the book of {symbol} was last heard at {last.get(symbol)}, and stands at {seq}"

    def _settled_marks(self) -> dict[str, int]:
        """Asset → how far the buyer's wallet is settled; the feed gives the same number."""
        wallets = self.cloud.wallets.all_wallets()
        return {wallet.asset: sum(wallet.applied.values()) for wallet in wallets if wallet.user_id == BUYER}

    def _notices_not_heard(self) -> Iterator[str]:
        """How the buyer's orders, and the wallets that they changed, ended, as far as he was not told so. What a wallet
        holds for an order that rests is not settled, and told with the next settlement only."""
        told = [heard.message for heard in self.history.notices if heard.listener == BUYER]
        orders = {(one["order_id"], one["seq"]) for one in told if one["event"] == "order"}
        for order in self.cloud.projections.database.fold.orders.values():
            if order.user_id == BUYER and (str(order.order_id), order.seq) not in orders:
                yield f"order {order.order_id} stands as after seq {order.seq}"
        balances = {(one["asset"], one["seq"]): one for one in told if one["event"] == "balance"}
        wallets = {wallet.asset: wallet for wallet in self.cloud.wallets.all_wallets() if wallet.user_id == BUYER}
        for asset, mark in self._settled_marks().items():
            if mark == self._settled_before.get(asset):
                continue
            wallet, balance = wallets[asset], balances.get((asset, mark))
            if balance is None or units_of(balance["total"]) != wallet.available + wallet.held:
                yield f"{asset} is {wallet}, told was {balance}"

    async def _is_prompt(self, symbol: str) -> None:
        """An order is journaled, settled and in the database at once."""
        call = await self._place(BUYER, symbol, "buy", f"probe-{symbol}")
        orders = self.cloud.projections.database.fold.orders
        if call.is_promise and not await _comes_true(lambda: call.order_id in orders, PROBE_S):
            self.slow.append(f"order {call.order_id} in {symbol} was not journaled in {PROBE_S} s")

    async def _trade(self, symbol: str, traded_before: set[tuple[str, int]]) -> None:
        """Sell and buy at one price; again where a circuit breaker that the gateways had not heard of refused it."""

        def has_traded() -> bool:
            return any(traded == symbol for traded, _ in trade_ids(self.cloud) - traded_before)

        deadline_s = _now_s() + PROBE_S
        for attempt in count():
            await self._place(SELLER, symbol, "sell", f"probe-{symbol}-sell-{attempt}")
            await self._place(BUYER, symbol, "buy", f"probe-{symbol}-buy-{attempt}")
            if await _comes_true(has_traded, 2.0):
                return
            if _now_s() > deadline_s:
                self.slow.append(f"there was no trade in {symbol} in {PROBE_S} s")
                return

    async def _place(self, user_id: str, symbol: str, side: str, client_order_id: str, *, gateway: int = 1) -> Call:
        """An order at the reference price, as soon as no circuit breaker is in its way and the gateway takes orders."""
        tick, reference = TICKS[symbol]
        body: dict[str, Any] = {
            "symbol": symbol,
            "side": side,
            "type": "limit",
            "price": steps_text(tick, reference),
            "quantity": _QUANTITY,
            "client_order_id": client_order_id,
        }
        host = self.desk.gateways[gateway]
        deadline_s = _now_s() + PROBE_S
        while True:
            call = await self.desk.call(user_id, "place", "POST", "/api/v1/order", host=host, body=body)
            if call.code not in _PASSING or _now_s() > deadline_s:
                break
            await asyncio.sleep(_POLL_S)
        if not call.is_promise:
            self.slow.append(f"order {client_order_id} in {symbol} got {call.fate} {call.status} {call.code}")
        return call


def trade_ids(cloud: SimCloud) -> set[tuple[str, int]]:
    """(symbol, trade id) of every trade in the database."""
    trades = cloud.projections.database.fold.trades
    return {(symbol, trade.trade_id) for symbol, told in trades.items() for trade in told}


async def _comes_true(is_true: Callable[[], bool], seconds: float) -> bool:
    deadline_s = _now_s() + seconds
    while not is_true():
        if _now_s() > deadline_s:
            return False
        await asyncio.sleep(0.05)
    return True


def _now_s() -> float:
    return asyncio.get_running_loop().time()
