"""`crossbook check`: two new users trade the least that can be traded, and all that should follow is looked at."""

import asyncio
import json
import os
import secrets
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Final

import aiohttp
import typer

from crossbook import control
from crossbook.clients.accounts import fund, make_accounts
from crossbook.clients.api_client import Account, ApiClient, ApiError
from crossbook.clients.hearing import hear
from crossbook.clients.patience import Patience
from crossbook.clients.quotes import Market
from crossbook.demo import OPERATOR, PASSWORD
from crossbook.errors import TwinError
from crossbook.state import StateDirectory
from crossbook.terminal import report
from exchange_core.checks import band
from exchange_core.money import to_steps
from exchange_core.orders import Side

POLL_S: Final = 0.1

Fill = Mapping[str, Any]


class CheckError(TwinError):
    """The exchange does not do what it should; the message says what."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckOptions:
    """Where the exchange is; `timeout_s` for each of its answers, and for each effect to show."""

    gateway_url: str
    websocket_url: str
    operator_password: str
    symbol: str = "BTCUSDT"
    timeout_s: float = 30.0


def check_command(
    symbol: Annotated[str, typer.Option(help="What to trade.")] = "BTCUSDT",
    timeout: Annotated[float, typer.Option(min=1, help="Seconds for each step.")] = 30.0,
    state_dir: Annotated[Path, typer.Option("--state-dir", help="Of the running twin.")] = Path(".twin"),
) -> None:
    """Sign up, trade, see the trade on the WebSocket and the balances to the last unit. Ends with 1 if any of it fails.

    The operator's password is read from CROSSBOOK_OPERATOR_PASSWORD; without it, the twin's is used.
    """
    environment = control.exchange(StateDirectory(state_dir))
    options = CheckOptions(
        gateway_url=environment[control.GATEWAY_VARIABLE],
        websocket_url=environment["CROSSBOOK_WEBSOCKET_URL"],
        operator_password=os.environ.get("CROSSBOOK_OPERATOR_PASSWORD", PASSWORD),
        symbol=symbol,
        timeout_s=timeout,
    )
    try:
        asyncio.run(check(options, say=report))
    except ApiError as error:
        raise CheckError(f"the exchange refused: {error}") from error


async def check(options: CheckOptions, *, say: Callable[[str], None] = lambda _: None) -> None:
    """All steps, each told when it is done. Raises CheckError, ApiError and TwinError."""
    async with ApiClient(options.gateway_url) as api, _watched_trades(options) as seen:
        say(f"the WebSocket sends what happens to {options.symbol}")
        patience = Patience(options.timeout_s)
        market = Market.of(await patience.insist(partial(api.instrument, options.symbol)))
        orders = await _matching_orders(api, patience, market)
        accounts = await make_accounts(api, patience, f"check-{secrets.token_hex(4)}", 2)
        operator = await patience.insist(partial(api.log_in, OPERATOR, options.operator_password))
        funds = market.funds(max(to_steps(Decimal(order["price"]), market.tick_size) for order in orders))
        await fund(patience, operator, accounts, funds)
        say("two new users have signed up, logged in and been funded")
        for account, order in zip(accounts, orders, strict=True):
            identified = order | {"client_order_id": account.username}
            await patience.insist(partial(account.place, **identified))
        try:
            for account, order in zip(accounts, orders, strict=True):
                fills = await _all_filled(patience, account, order, options.timeout_s)
                say(f"the {order['side']} order is filled: {order['quantity']} at {fills[0]['price']}")
                await _all_seen(seen, fills, options.timeout_s)
                say("the WebSocket has sent the trade")
                await _balances_agree(patience, account, expected_funds(funds, market, fills), options.timeout_s)
                say("the balances are right to the last unit")
        finally:
            for account in accounts:  # what did not fill must not rest for ever
                path = f"/api/v1/orders?symbol={market.symbol}"
                await patience.insist(partial(account.call, "DELETE", path))


async def _matching_orders(api: ApiClient, patience: Patience, market: Market) -> list[dict[str, str]]:
    book = await patience.insist(partial(api.call, "GET", f"/api/v1/orderbook/{market.symbol}?limit=1"))
    ticker = await patience.insist(partial(api.call, "GET", f"/api/v1/ticker/{market.symbol}"))

    def ticks(price: Any) -> int:
        return to_steps(Decimal(price), market.tick_size)

    return matching_orders(
        market,
        last_ticks=market.reference_ticks if ticker["price"] is None else ticks(ticker["price"]),
        bid_ticks=ticks(book["bids"][0][0]) if book["bids"] else None,
        ask_ticks=ticks(book["asks"][0][0]) if book["asks"] else None,
    )


def matching_orders(
    market: Market, *, last_ticks: int, bid_ticks: int | None, ask_ticks: int | None
) -> list[dict[str, str]]:
    """The least sale and the least purchase that both fill, in the order to place them, whatever rests in the book.

    In an empty book they meet each other at the last price. Else each reaches what it finds; where only bids rest, the
    purchase comes first, so that the sale finds something as well.
    """
    lowest, highest = band(last_ticks, market.band_bps)
    sale_ticks = max(lowest, min(last_ticks, bid_ticks or last_ticks))
    purchase_ticks = min(highest, max(last_ticks, ask_ticks or last_ticks))
    quantity_lots = market.quantity_lots(sale_ticks, 0)
    sale = market.order(Side.SELL, sale_ticks, quantity_lots)
    purchase = market.order(Side.BUY, purchase_ticks, quantity_lots)
    return [purchase, sale] if bid_ticks and not ask_ticks else [sale, purchase]


def expected_funds(funds: Mapping[str, Decimal], market: Market, fills: Iterable[Fill]) -> dict[str, Decimal]:
    """What an account with these funds has after these fills, fees paid."""
    expected = dict(funds)
    for fill in fills:
        sign = 1 if fill["side"] == Side.BUY else -1
        quantity, price = Decimal(fill["quantity"]), Decimal(fill["price"])
        expected[market.base] += sign * quantity
        expected[market.quote] -= sign * quantity * price
        expected[fill["fee_asset"]] -= Decimal(fill["fee"])
    return expected


async def _all_filled(patience: Patience, account: Account, order: Mapping[str, str], timeout_s: float) -> list[Fill]:
    fills: list[Fill] = []
    try:
        async with asyncio.timeout(timeout_s):
            while sum(Decimal(fill["quantity"]) for fill in fills) < Decimal(order["quantity"]):
                answer = await patience.insist(partial(account.call, "GET", f"/api/v1/fills?symbol={order['symbol']}"))
                fills = answer["fills"]
                await asyncio.sleep(POLL_S)
    except TimeoutError:
        raise CheckError(f"the {order['side']} order was not filled within {timeout_s:.0f} s") from None
    return fills


async def _all_seen(seen: "SeenTrades", fills: Iterable[Fill], timeout_s: float) -> None:
    for fill in fills:
        trade_id = int(fill["trade_id"])
        try:
            async with asyncio.timeout(timeout_s):
                while trade_id not in seen.trades:
                    await asyncio.sleep(POLL_S)
        except TimeoutError:
            raise CheckError(f"the WebSocket did not send trade {trade_id} within {timeout_s:.0f} s") from None
        for name in ("price", "quantity"):
            if Decimal(seen.trades[trade_id][name]) != Decimal(fill[name]):
                raise CheckError(f"the WebSocket sent trade {trade_id} with another {name} than its fill has")


async def _balances_agree(
    patience: Patience, account: Account, expected: Mapping[str, Decimal], timeout_s: float
) -> None:
    found: dict[str, Decimal] = {}
    try:
        async with asyncio.timeout(timeout_s):
            while found != expected:
                found = await patience.insist(account.available)
                await asyncio.sleep(POLL_S)
    except TimeoutError:
        raise CheckError(f"{account.username} has {_text(found)} and should have {_text(expected)}") from None


def _text(amounts: Mapping[str, Decimal]) -> str:
    return ", ".join(f"{amount:f} {asset}" for asset, amount in sorted(amounts.items())) or "nothing"


@dataclass(slots=True)
class SeenTrades:
    """What the WebSocket sent, by trade id."""

    trades: dict[int, Mapping[str, Any]] = field(default_factory=dict)
    is_subscribed: asyncio.Event = field(default_factory=asyncio.Event)


@asynccontextmanager
async def _watched_trades(options: CheckOptions) -> AsyncIterator[SeenTrades]:
    seen = SeenTrades()
    watching = asyncio.create_task(_watch(options, seen))
    subscribed = asyncio.create_task(seen.is_subscribed.wait())
    try:
        await asyncio.wait([watching, subscribed], timeout=options.timeout_s, return_when=asyncio.FIRST_COMPLETED)
        if not seen.is_subscribed.is_set():
            raise CheckError(f"the WebSocket at {options.websocket_url} confirmed no subscription")
        yield seen
    finally:
        for task in (watching, subscribed):
            task.cancel()
        await asyncio.gather(watching, subscribed, return_exceptions=True)


async def _watch(options: CheckOptions, seen: SeenTrades) -> None:
    async with (
        aiohttp.ClientSession() as session,
        session.ws_connect(options.websocket_url) as socket,
    ):
        await socket.send_json({"action": "subscribe", "symbol": options.symbol})
        async for text in hear(socket):
            message = json.loads(text, parse_float=Decimal)
            if message.get("event") == "subscribed":
                seen.is_subscribed.set()
            elif message.get("event") == "trade":
                seen.trades[int(message["trade_id"])] = message
