"""A trader, and what he says: `await alice.sells(1, at=100)`. All of it is HTTP, each step awaited to its outcome."""

from collections.abc import Awaitable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final

from crossbook.clients.api_client import Account, ApiProblemError
from tests.eventually import eventually

if TYPE_CHECKING:
    from tests.acceptance.market import Market

Number = Decimal | int | str
WAIT_S: Final = 10
PATIENCE_S: Final = 60.0
OPEN: Final = ("open", "partially_filled")


@dataclass(frozen=True, slots=True, kw_only=True)
class Fill:
    """One side of a trade."""

    trade_id: int
    seq: int
    price: Decimal
    quantity: Decimal
    fee: Decimal
    fee_asset: str
    is_maker: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """An order as its owner was told last; `fills` oldest first, `terms` all that was said of it."""

    order_id: str
    client_order_id: str
    status: str
    reason: str | None
    filled: Decimal
    seq: int
    fills: Sequence[Fill]
    terms: Mapping[str, Any] = field(repr=False)

    @property
    def is_open(self) -> bool:
        """Whether it may still trade."""
        return self.status in OPEN

    @property
    def ending(self) -> tuple[str, str | None]:
        """How it ended, and why."""
        return self.status, self.reason

    @property
    def price(self) -> Decimal:
        """Its limit."""
        return Decimal(self.terms["price"])

    @property
    def quantity(self) -> Decimal:
        """Its total quantity."""
        return Decimal(self.terms["quantity"])

    @property
    def traded(self) -> list[tuple[Decimal, Decimal]]:
        """(price, quantity) of each fill, oldest first."""
        return [(fill.price, fill.quantity) for fill in self.fills]

    @property
    def fee(self) -> Decimal:
        """What was charged for it."""
        return sum((fill.fee for fill in self.fills), Decimal(0))


@dataclass(frozen=True, slots=True, kw_only=True)
class Balance:
    """What a user has of an asset."""

    available: Decimal | int
    held: Decimal | int

    @property
    def total(self) -> Decimal:
        """Both together."""
        return Decimal(self.available + self.held)


class Trader:
    """One user in one market. Orders are placed with `Prefer: wait`: what is returned is what the matcher decided."""

    def __init__(self, account: Account, market: "Market") -> None:
        self.account = account
        self.market = market

    async def buys(self, quantity: Number | None = None, at: Number | None = None, **terms: Any) -> Order:
        """Place a buy: a limit at a price, else a market order, unless `type` says otherwise."""
        return await self.enters(self.order("buy", quantity, at, **terms))

    async def sells(self, quantity: Number | None = None, at: Number | None = None, **terms: Any) -> Order:
        """Place a sale, likewise."""
        return await self.enters(self.order("sell", quantity, at, **terms))

    async def cannot_buy(self, quantity: Number | None = None, at: Number | None = None, **terms: Any) -> str:
        """Try to; the code of the refusal."""
        return await self.refusal_of(self.enters(self.order("buy", quantity, at, **terms)))

    async def cannot_sell(self, quantity: Number | None = None, at: Number | None = None, **terms: Any) -> str:
        """Try to; the code of the refusal."""
        return await self.refusal_of(self.enters(self.order("sell", quantity, at, **terms)))

    async def cannot(self, **body: Any) -> str:
        """Try to place an order of just this body; the code of the refusal."""
        return await self.refusal_of(self.enters(body))

    def order(self, side: str, quantity: Number | None, at: Number | None, **terms: Any) -> dict[str, Any]:
        """The body of an order in this market."""
        body = {"symbol": self.market.symbol, "side": side, "type": "market" if at is None else "limit"}
        numbers = {"quantity": quantity, "price": at}
        given = {name: value for name, value in numbers.items() if value is not None} | terms
        return body | {name: written(value) for name, value in given.items()}

    async def enters(self, body: Mapping[str, Any]) -> Order:
        """Place it and wait for the matcher's word."""
        status, answer = await self.call("POST", "/order", body, wait_s=WAIT_S)
        return _order(answer) if status == 200 else await self.hears_of(answer["order_id"])

    async def hears_of(self, order_id: str) -> Order:
        """Wait until the order is more than accepted."""

        async def is_known() -> Order | None:
            order = await self.looks_up(order_id)
            return None if order.status == "accepted" else order

        known: Order = await eventually(is_known, timeout_s=PATIENCE_S)
        return known

    async def judges(self, body: Mapping[str, Any]) -> str:
        """Try to place it: `taken`, and canceled again, or the code of the refusal by the gateway or the matcher."""
        try:
            order = await self.enters(body)
        except ApiProblemError as problem:
            return problem.code
        if order.is_open:
            await self.cancels(order)
        return str(order.reason) if order.status == "rejected" else "taken"

    async def promises(self, body: Mapping[str, Any]) -> dict[str, Any]:
        """Place it and take the first answer, whatever the matcher will say."""
        _, answer = await self.call("POST", "/order", body)
        found: dict[str, Any] = answer
        return found

    async def looks_up(self, order: Order | str) -> Order:
        """The order as it is now."""
        _, answer = await self.call("GET", f"/order/{_id(order)}")
        return _order(answer)

    async def looks_up_by_client_id(self, client_order_id: str) -> Order:
        """The same by the client's id."""
        _, answer = await self.call("GET", f"/order/by-client-id/{client_order_id}")
        return _order(answer)

    async def cannot_look_up(self, order: Order | str) -> str:
        """Try to; the code of the refusal."""
        return await self.refusal_of(self.looks_up(order))

    async def cancels(self, order: Order | str) -> Order:
        """End it, and wait until it has ended."""
        status, answer = await self.call("DELETE", f"/order/{_id(order)}", wait_s=WAIT_S)
        return _order(answer) if status == 200 else await self.sees_the_end_of(order)

    async def cannot_cancel(self, order: Order | str) -> str:
        """Try to; the code of the refusal."""
        return await self.refusal_of(self.cancels(order))

    async def tries_to_cancel(self, order: Order | str) -> str:
        """The status in which it ended, or the code of the refusal."""
        try:
            return (await self.cancels(order)).status
        except ApiProblemError as problem:
            return problem.code

    async def refusal_text_of_cancel(self, order: Order | str) -> str:
        """All that is said about a cancel that is refused."""
        try:
            await self.cancels(order)
        except ApiProblemError as problem:
            return str(problem)
        raise AssertionError("that was not refused")

    async def cancels_all(self, symbol: str | None = "", *, orders: Sequence[Order] = ()) -> list[Order]:
        """End all orders in this market (None: everywhere), and wait until these have ended."""
        query = "" if symbol is None else f"?symbol={symbol or self.market.symbol}"
        await self.call("DELETE", f"/orders{query}")
        return [await self.sees_the_end_of(order) for order in orders]

    async def will_be_canceled_after(self, seconds: int) -> datetime | None:
        """Set the dead-man switch of this market; when it will go off. Zero disarms it: None."""
        timer = {"symbol": self.market.symbol, "timeout_s": seconds}
        _, answer = await self.call("POST", "/orders/cancel-all-after", timer)
        return datetime.fromisoformat(answer["cancels_at"]) if answer["cancels_at"] else None

    async def sees_the_end_of(self, order: Order | str) -> Order:
        """Wait until it has ended."""

        async def has_ended() -> Order | None:
            found = await self.looks_up(order)
            return None if found.is_open or found.status == "accepted" else found

        ended: Order = await eventually(has_ended, timeout_s=PATIENCE_S)
        return ended

    async def amends(self, order: Order | str, **changes: Number) -> Order:
        """Change price, quantity or both, and wait until the order shows it or has ended."""
        amended = {name: written(value) for name, value in changes.items()}
        status, answer = await self.call("PATCH", f"/order/{_id(order)}", amended, wait_s=WAIT_S)
        assert status == 200, f"the amendment was not carried out: {answer}"
        return _order(answer)

    async def cannot_amend(self, order: Order | str, **changes: Number) -> str:
        """Try to; the code of the refusal."""
        return await self.refusal_of(self.amends(order, **changes))

    async def batches(self, *items: Mapping[str, Any]) -> list[dict[str, Any]]:
        """Send many commands in one; one result an item."""
        _, answer = await self.call("POST", "/orders/batch", {"items": list(items)}, wait_s=WAIT_S)
        results: list[dict[str, Any]] = answer["results"]
        return results

    async def orders(self, *, open_only: bool = False) -> list[Order]:
        """Those in this market, newest first; without their fills."""
        status = "open" if open_only else "all"
        _, answer = await self.call("GET", f"/orders?symbol={self.market.symbol}&status={status}&limit=500")
        return [_order(order) for order in answer["orders"]]

    async def fills(self) -> list[Fill]:
        """All of them in this market, oldest first."""
        _, answer = await self.call("GET", f"/fills?symbol={self.market.symbol}&limit=500")
        return [_fill(fill) for fill in reversed(answer["fills"])]

    async def base(self) -> Balance:
        """What he has of the market's base."""
        return await self._balance(self.market.base)

    async def quote(self) -> Balance:
        """What he has of the market's quote."""
        return await self._balance(self.market.quote)

    async def holds_nothing(self) -> bool:
        """Whether nothing of this market's assets is held for him."""
        return (await self.base()).held == 0 and (await self.quote()).held == 0

    async def _balance(self, asset: str) -> Balance:
        _, answer = await self.call("GET", "/balances")
        for balance in answer["balances"]:
            if balance["asset"] == asset:
                return Balance(available=Decimal(balance["available"]), held=Decimal(balance["held"]))
        return Balance(available=Decimal(0), held=Decimal(0))

    async def call(self, method: str, path: str, body: Any = None, *, wait_s: float = 0.0) -> tuple[int, Any]:
        """One call; raises ApiProblemError for a refusal."""
        account = self.account
        return await account.api.request(method, f"/api/v1{path}", body, token=account.token, wait_s=wait_s)

    async def refusal_of(self, attempt: Awaitable[Any]) -> str:
        """The code of the refusal that an attempt must meet with."""
        try:
            outcome = await attempt
        except ApiProblemError as problem:
            return problem.code
        raise AssertionError(f"that was not refused: {outcome}")


def written(value: Any) -> Any:
    """A decimal as text, so that its digits arrive as they are."""
    return str(value) if isinstance(value, Decimal) else value


def _id(order: Order | str) -> str:
    return order if isinstance(order, str) else order.order_id


def _order(answer: Mapping[str, Any]) -> Order:
    return Order(
        order_id=answer["order_id"],
        client_order_id=answer["client_order_id"],
        status=answer["status"],
        reason=answer["reason"],
        filled=Decimal(answer["filled_quantity"]),
        seq=answer["seq"] or 0,
        fills=[_fill(fill) for fill in reversed(answer.get("fills", ()))],
        terms=answer,
    )


def _fill(fill: Mapping[str, Any]) -> Fill:
    return Fill(
        trade_id=fill["trade_id"],
        seq=fill["seq"],
        price=Decimal(fill["price"]),
        quantity=Decimal(fill["quantity"]),
        fee=Decimal(fill["fee"]),
        fee_asset=fill["fee_asset"],
        is_maker=fill["is_maker"],
    )
