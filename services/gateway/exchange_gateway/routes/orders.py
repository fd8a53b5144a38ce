"""Orders, fills and balances of the one who asks."""

from typing import Any

import structlog
from aiohttp import web

from exchange_adapters.tokens import Principal
from exchange_core.ports import DatabaseReader, OrderView, WalletHolds
from exchange_gateway.access.sessions import Authenticator
from exchange_gateway.fields import CLIENT_ID_PATTERN
from exchange_gateway.market.catalogue import InstrumentCatalogue
from exchange_gateway.problems import Code, ProblemError
from exchange_gateway.rest.requests import (
    authenticate,
    carrier_of,
    client_order_id_of,
    cursor_of,
    json_answer,
    limit_of,
    order_id_of,
    query_of,
    read_body,
    stages_of,
    wait_s_of,
    whole_number,
)
from exchange_gateway.rest.views import balances_json, fill_json, ids_json, order_json, placed_json
from exchange_gateway.trading.amends import AmendDesk
from exchange_gateway.trading.order_form import read_order
from exchange_gateway.trading.orders import OnItsWay, OrderDesk
from exchange_gateway.trading.verdicts import VerdictDesk


class OrderRoutes:
    """Every route answers for the token's user only; somebody else's order looks like none at all."""

    def __init__(
        self,
        *,
        authenticator: Authenticator,
        desk: OrderDesk,
        amends: AmendDesk,
        verdicts: VerdictDesk,
        catalogue: InstrumentCatalogue,
        reader: DatabaseReader,
        wallets: WalletHolds,
    ) -> None:
        self._authenticator = authenticator
        self._desk = desk
        self._amends = amends
        self._verdicts = verdicts
        self._catalogue = catalogue
        self._reader = reader
        self._wallets = wallets

    def routes(self) -> list[web.RouteDef]:
        """For the application's router."""
        return [
            web.post("/api/v1/order", self.place),
            web.get("/api/v1/order", self.order),
            web.delete("/api/v1/order", self.cancel),
            web.get("/api/v1/order/by-client-id/{client_order_id}", self.order),
            web.delete("/api/v1/order/by-client-id/{client_order_id}", self.cancel),
            web.get("/api/v1/order/{order_id}", self.order),
            web.delete("/api/v1/order/{order_id}", self.cancel),
            web.patch("/api/v1/order/by-client-id/{client_order_id}", self.amend),
            web.patch("/api/v1/order/{order_id}", self.amend),
            web.get("/api/v1/orders", self.orders),
            web.get("/api/v1/fills", self.fills),
            web.get("/api/v1/balances", self.balances),
        ]

    async def place(self, request: web.Request) -> web.Response:
        """202: promised. With `Prefer: wait=N`, 200 with status and fills if the matcher answers in time."""
        principal = await authenticate(self._authenticator, request)
        stages = stages_of(request)
        with stages.measure("validate"):
            order_request = read_order(await read_body(request), client_order_id_of(request))
        structlog.contextvars.bind_contextvars(symbol=order_request.symbol)
        placed = await self._desk.place(principal, order_request, stages, carrier_of(request))
        wait_s = wait_s_of(request)
        if wait_s:
            with stages.measure("wait"):
                view = await self._verdicts.until(
                    lambda: self._reader.order(principal.user_id, placed.order_id), wait_s
                )
            if view is not None:
                return await self._full_answer(view)
        return json_answer(placed_json(placed), status=202)

    async def order(self, request: web.Request) -> web.Response:
        """One order, by either of its ids."""
        principal = await authenticate(self._authenticator, request)
        return await self._full_answer(await self._find(principal, request))

    async def cancel(self, request: web.Request) -> web.Response:
        """202: the cancel is on its way. With `Prefer: wait=N`, 200 with the order once it is canceled, or the problem
        that the matcher had with it."""
        principal = await authenticate(self._authenticator, request)
        order_id = _path_order_id(request)
        if order_id is None:
            order_id = _id_of(await self._find(principal, request))
        structlog.contextvars.bind_contextvars(order_id=str(order_id))
        sent = await self._desk.cancel(principal, order_id, stages_of(request), carrier_of(request))
        if await self._is_done(request, sent.command_id):
            return await self._full_answer(await self._desk.find(principal.user_id, order_id))
        answer = {"command_id": str(sent.command_id), **ids_json(sent.found), "status": "cancel_requested"}
        return json_answer(answer, status=202)

    async def amend(self, request: web.Request) -> web.Response:
        """202: the amendment is promised. With `Prefer: wait=N`, 200 with the order once it is amended, or the problem
        that the matcher had with it, which leaves the order as it was."""
        principal = await authenticate(self._authenticator, request)
        body = await read_body(request)
        order_id = _path_order_id(request)
        if order_id is None:
            order_id = _id_of(await self._find(principal, request))
        structlog.contextvars.bind_contextvars(order_id=str(order_id))
        amended = await self._amends.amend(principal, order_id, body, stages_of(request), carrier_of(request))
        if await self._is_done(request, amended.amend_id):
            return await self._full_answer(await self._desk.find(principal.user_id, order_id))
        answer = {"amend_id": str(amended.amend_id), **ids_json(amended.found), "status": "amend_requested"}
        return json_answer(answer, status=202)

    async def _is_done(self, request: web.Request, command_id: int) -> bool:
        """Whether it is known in time that the command was carried out; raises ProblemError if it was refused."""
        with stages_of(request).measure("wait"):
            return await self._verdicts.outcome(command_id, wait_s_of(request)) is not None

    async def orders(self, request: web.Request) -> web.Response:
        """The user's orders, newest first; `status=open` for those in the book only."""
        principal = await authenticate(self._authenticator, request)
        query = query_of(request)
        cursor = cursor_of(request, 1)
        limit = limit_of(request)
        views = await self._reader.orders(
            principal.user_id,
            symbol=self._symbol(request),
            open_only=query["status"] == "open",
            before_order_id=None if cursor is None else whole_number("cursor", cursor[0]),
            limit=limit,
        )
        await self._know(view.symbol for view in views)
        return json_answer(
            {
                "orders": [order_json(view, self._catalogue.require(view.symbol)) for view in views],
                "next_cursor": str(views[-1].order_id) if len(views) == limit else None,
            }
        )

    async def fills(self, request: web.Request) -> web.Response:
        """The user's fills, newest first."""
        principal = await authenticate(self._authenticator, request)
        cursor = cursor_of(request, 3)
        limit = limit_of(request)
        order_id = query_of(request).get("order_id")
        fills = await self._reader.fills(
            principal.user_id,
            symbol=self._symbol(request),
            order_id=None if order_id is None else whole_number("order_id", order_id),
            before=None
            if cursor is None
            else (whole_number("cursor", cursor[0]), cursor[1], whole_number("cursor", cursor[2])),
            limit=limit,
        )
        await self._know(fill.symbol for fill in fills)
        last = fills[-1] if len(fills) == limit else None
        return json_answer(
            {
                "fills": [fill_json(fill, self._catalogue.require(fill.symbol)) for fill in fills],
                "next_cursor": f"{last.at_ms}~{last.symbol}~{last.trade_id}" if last else None,
            }
        )

    async def balances(self, request: web.Request) -> web.Response:
        """The user's balances, from the wallets themselves."""
        principal = await authenticate(self._authenticator, request)
        with stages_of(request).measure("wallet"):
            wallets = await self._wallets.balances(principal.user_id)
        decimals = {wallet.asset: self._catalogue.decimals_of(wallet.asset) for wallet in wallets}
        if None in decimals.values():
            await self._catalogue.refresh()
            decimals = {asset: self._catalogue.decimals_of(asset) for asset in decimals}
        known = {asset: count for asset, count in decimals.items() if count is not None}
        if len(known) < len(decimals):
            raise ProblemError(Code.SERVICE_UNAVAILABLE, "the instruments are not loaded yet")
        return json_answer({"balances": balances_json(wallets, known)})

    async def _find(self, principal: Principal, request: web.Request) -> OrderView | OnItsWay:
        with stages_of(request).measure("book"):
            order_id = _path_order_id(request)
            if order_id is not None:
                return await self._desk.find(principal.user_id, order_id)
            client_order_id = request.match_info.get("client_order_id") or query_of(request)["client_order_id"]
            if CLIENT_ID_PATTERN.fullmatch(client_order_id) is None:
                raise ProblemError(Code.ORDER_NOT_FOUND, "you have no such order")
            return await self._desk.find_by_client_id(principal.user_id, client_order_id)

    async def _full_answer(self, found: OrderView | OnItsWay) -> web.Response:
        fills = await self._desk.fills_of(found) if isinstance(found, OrderView) else []
        symbol = found.order.symbol if isinstance(found, OnItsWay) else found.symbol
        await self._know([symbol])
        instrument = self._catalogue.require(symbol)
        answer: dict[str, Any] = order_json(found, instrument)
        answer["fills"] = [fill_json(fill, instrument) for fill in fills]
        return json_answer(answer)

    async def _know(self, symbols: Any) -> None:
        """An order's instrument is in the database, even if it was listed since the catalogue was read."""
        if any(self._catalogue.get(symbol) is None for symbol in symbols):
            await self._catalogue.refresh()

    def _symbol(self, request: web.Request) -> str | None:
        symbol = query_of(request).get("symbol")
        return None if symbol is None else self._catalogue.require(symbol, status=404).symbol


def _path_order_id(request: web.Request) -> int | None:
    text = request.match_info.get("order_id")
    return None if text is None else order_id_of(text)


def _id_of(found: OrderView | OnItsWay) -> int:
    return found.order.order_id if isinstance(found, OnItsWay) else found.order_id
