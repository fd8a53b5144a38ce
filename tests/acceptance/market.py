"""One freshly listed instrument: what everybody sees of it, and what an operator does to it."""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final

from crossbook.clients.api_client import Account, ApiProblemError
from tests.acceptance.feed import Feed, connected
from tests.acceptance.trader import Trader
from tests.eventually import eventually

if TYPE_CHECKING:
    from tests.acceptance.exchange import Exchange

Number = Decimal | int | str
BASE_FUNDS: Final = 1_000
QUOTE_FUNDS: Final = 1_000_000
PATIENCE_S: Final = 30.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Trade:
    """A trade as everybody sees it."""

    trade_id: int
    seq: int
    price: Decimal
    quantity: Decimal
    taker_side: str
    at: datetime


class Market:
    """The market of one instrument, whose base and quote are traded nowhere else."""

    def __init__(self, exchange: "Exchange", listing: Mapping[str, Any]) -> None:
        self.exchange = exchange
        self.symbol: str = listing["symbol"]
        self.base: str = listing["base"]
        self.quote: str = listing["quote"]
        self._tick = Decimal(listing["tick_size"])

    async def admit(self, *accounts: Account, base: Number = BASE_FUNDS, quote: Number = QUOTE_FUNDS) -> list[Trader]:
        """Fund these users in the market's own assets, and let them trade."""
        funds = {self.base: base, self.quote: quote}
        wanted = {asset: amount for asset, amount in funds.items() if Decimal(amount)}
        await asyncio.gather(*[self.exchange.bring_in(account, **wanted) for account in accounts])
        return [Trader(account, self) for account in accounts]

    async def newcomer(self, name: str, *, base: Number = 0, quote: Number = 0) -> Trader:
        """Somebody new, with just these funds."""
        (trader,) = await self.admit(await self.exchange.sign_up(name), base=base, quote=quote)
        return trader

    def ticks_from(self, price: Number, ticks: int) -> Decimal:
        """A price so many ticks away."""
        return Decimal(price) + ticks * self._tick

    async def get(self, path: str, **query: Any) -> Any:
        """One of the public resources of the symbol."""
        text = "&".join(f"{name}={value}" for name, value in query.items())
        return await self.exchange.api.call("GET", f"/api/v1/{path}/{self.symbol}" + (f"?{text}" if text else ""))

    async def is_listed(self) -> bool:
        """Whether the gateway knows it."""
        try:
            await self.get("instruments")
        except ApiProblemError:
            return False
        return True

    async def status(self) -> str:
        """`trading`, `cancel_only` or `halted`, as the gateway has it."""
        return str((await self.get("instruments"))["status"])

    async def becomes(self, status: str) -> None:
        """By the operator's command; waits until the gateway knows."""
        path = f"/api/v1/admin/symbols/{self.symbol}/status"
        await self.exchange.operator.call("POST", path, {"status": status})
        await self.is_now(status)

    async def is_now(self, status: str) -> None:
        """Wait for a status that somebody else brings about."""

        async def is_so() -> bool:
            return await self.status() == status

        await eventually(is_so, timeout_s=PATIENCE_S)

    async def time_is_past(self, moment: datetime) -> None:
        """Wait until the exchange's clock is."""

        async def is_so() -> bool:
            answer = await self.exchange.api.call("GET", "/api/v1/time")
            return datetime.fromisoformat(answer["time"]) > moment

        await eventually(is_so, timeout_s=PATIENCE_S)

    async def book(self) -> dict[str, Any]:
        """The book as it is published: `seq`, `bids` and `asks`, best first."""
        book: dict[str, Any] = await self.get("orderbook")
        return book

    async def shows(self, **sides: Sequence[tuple[Number, Number]]) -> None:
        """Wait until the book shows exactly these `bids` or `asks` or both: (price, quantity), best first."""

        async def is_so() -> bool:
            book = await self.book()
            for side, levels in sides.items():
                shown = [(Decimal(price), Decimal(quantity)) for price, quantity in book[side]]
                assert shown == [(Decimal(price), Decimal(quantity)) for price, quantity in levels]
            return True

        await eventually(is_so, timeout_s=PATIENCE_S)

    async def trades(self) -> list[Trade]:
        """All trades, oldest first."""
        found = (await self.get("trades", limit=500))["trades"]
        return [
            Trade(
                trade_id=trade["trade_id"],
                seq=trade["seq"],
                price=Decimal(trade["price"]),
                quantity=Decimal(trade["quantity"]),
                taker_side=trade["taker_side"],
                at=datetime.fromisoformat(trade["timestamp"]),
            )
            for trade in reversed(found)
        ]

    async def has_traded(self, times: int) -> None:
        """Wait for so many trades in all."""

        async def is_so() -> bool:
            return len(await self.trades()) >= times

        await eventually(is_so, timeout_s=PATIENCE_S)

    @asynccontextmanager
    async def feed(self, *channels: str) -> AsyncIterator[Feed]:
        """A connection to the WebSocket that has subscribed to these channels of the symbol."""
        async with connected(self.exchange.api.session, self.exchange.websocket_url) as feed:
            await feed.says(action="subscribe", symbol=self.symbol, channels=list(channels))
            await feed.hears("subscribed")
            yield feed
