"""The public API as replay sees it, in one small program: matches with a plain book, and fails as it is told to."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import orjson
from aiohttp import web

from crossbook.replay.model import ReplayModel
from crossbook.replay.recording import price_text, volume_text
from exchange_core.orders import Side

Fault = Callable[[web.Request], str | None]
"""What goes wrong with a request: "before" (503, nothing done), "after" (done, but the connection breaks), or None."""


@dataclass(slots=True)
class FakeExchange:
    """Orders by id, as placed; `requests` counts (method, path)."""

    fault: Fault = lambda _: None
    refuse_above: int = 10**9
    model: ReplayModel = field(default_factory=ReplayModel)
    orders: dict[str, dict[str, Any]] = field(default_factory=dict)
    by_client_id: dict[str, str] = field(default_factory=dict)
    arrivals: list[tuple[str, str]] = field(default_factory=list)
    delay_s: Callable[[], float] = lambda: 0.0

    def app(self) -> web.Application:
        app = web.Application()
        app.router.add_post("/api/v1/users", self._user)
        app.router.add_post("/api/v1/sessions", self._session)
        app.router.add_get("/api/v1/instruments", self._instruments)
        app.router.add_get("/api/v1/orderbook/{symbol}", self._book)
        app.router.add_post("/api/v1/admin/deposits", self._deposit)
        app.router.add_get("/api/v1/balances", self._balances)
        app.router.add_post("/api/v1/order", self._failing(self._place))
        app.router.add_get("/api/v1/order/{order_id}", self._failing(self._order))
        app.router.add_delete("/api/v1/order/{order_id}", self._failing(self._cancel))
        return app

    def _failing(self, handler: Callable[[web.Request], Any]) -> Callable[[web.Request], Any]:
        async def handle(request: web.Request) -> web.Response:
            fault = self.fault(request)
            if fault == "before":
                return _problem(503, "service_unavailable")
            await asyncio.sleep(self.delay_s())
            response: web.Response = await handler(request)
            if fault == "after" and request.transport is not None:
                request.transport.abort()
            return response

        return handle

    async def _user(self, _: web.Request) -> web.Response:
        return _json({}, status=201)

    async def _session(self, request: web.Request) -> web.Response:
        username = (await request.json())["username"]
        return _json({"access_token": username, "user_id": username})

    async def _instruments(self, _: web.Request) -> web.Response:
        return _json({"instruments": [{"symbol": "BTCUSD", "base": "BTC", "quote": "USD"}]})

    async def _book(self, _: web.Request) -> web.Response:
        return _json({"bids": [], "asks": []})

    async def _deposit(self, _: web.Request) -> web.Response:
        return _json({}, status=202)

    async def _balances(self, _: web.Request) -> web.Response:
        return _json([{"asset": asset, "available": 10**12} for asset in ("BTC", "USD")])

    async def _place(self, request: web.Request) -> web.Response:
        body = await request.json()
        client_order_id = body["client_order_id"]
        if client_order_id in self.by_client_id:
            return _json({"order_id": self.by_client_id[client_order_id], "status": "accepted"}, status=202)
        price, volume = _steps(body["price"], 2), _steps(body["quantity"], 8)
        if price > self.refuse_above:
            return _problem(422, "price_out_of_band")
        number = len(self.orders) + 1
        self.by_client_id[client_order_id] = str(number)
        self.orders[str(number)] = {"user": request.headers["Authorization"], "is_canceled": False}
        self.arrivals.append(("place", client_order_id))
        self.model.place(number, Side(body["side"]), price, volume)
        return _json({"order_id": str(number), "client_order_id": client_order_id, "status": "accepted"}, status=202)

    async def _cancel(self, request: web.Request) -> web.Response:
        order_id = request.match_info["order_id"]
        if not self.model.orders[int(order_id)].remaining:
            return _problem(409, "order_closed")
        self.orders[order_id]["is_canceled"] = True
        self.model.cancel(int(order_id))
        self.arrivals.append(("cancel", order_id))
        return _json({"order_id": order_id, "status": "accepted"}, status=202)

    async def _order(self, request: web.Request) -> web.Response:
        order_id = request.match_info["order_id"]
        if order_id not in self.orders:
            return _problem(404, "order_not_found")
        order = self.model.orders[int(order_id)]
        status = "open"
        if not order.remaining:
            status = "filled"
        elif self.orders[order_id]["is_canceled"]:
            status = "canceled"
        found = {"order_id": order_id, "status": status, "reason": None}
        text = orjson.dumps(found)[:-1] + b',"filled_quantity":' + volume_text(order.filled).encode() + b"}"
        return web.Response(body=text, content_type="application/json")


def _steps(text: str, decimals: int) -> int:
    whole, _, fraction = text.partition(".")
    return int(whole + fraction.ljust(decimals, "0"))


def _json(value: Any, status: int = 200) -> web.Response:
    return web.Response(body=orjson.dumps(value), status=status, content_type="application/json")


def _problem(status: int, code: str) -> web.Response:
    body = orjson.dumps({"code": code, "detail": "", "status": status})
    return web.Response(body=body, status=status, content_type="application/problem+json")


@asynccontextmanager
async def serving(exchange: FakeExchange) -> AsyncIterator[str]:
    """The URL of the exchange, served on a free port of the loopback interface."""
    runner = web.AppRunner(exchange.app(), access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


def recording_lines(*lines: str) -> str:
    """The text of a recording from lines like "1 created bid 235.00 100"."""
    rows = ["id,timestamp,exchange.timestamp,price,volume,action,direction"]
    for number, line in enumerate(lines):
        identifier, action, direction, price, volume = line.split()
        rows.append(f"{identifier},{1000 + number},{1000 + number},{price},{volume},{action},{direction}")
    return "\n".join(rows) + "\n"


assert price_text(23500) == "235"
