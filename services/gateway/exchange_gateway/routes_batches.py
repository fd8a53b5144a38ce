"""Many commands in one request: cancels first, then amendments, then new orders; each item answers for itself.

Within a kind the items go on together, so they share transactions and messages. With `Prefer: wait=N` what a cancel or
an amendment sets free is waited for before the next kind begins, and so can be used there; without it only what was
available before can.
"""

import asyncio
from collections.abc import Callable, Mapping
from typing import Any, Final

from aiohttp import web

from exchange_adapters.tokens import Principal
from exchange_core.ports import OrderView
from exchange_gateway.amends import AMEND_FIELDS, AmendDesk
from exchange_gateway.fields import invalid
from exchange_gateway.forms import body_form
from exchange_gateway.limits import RouteClass
from exchange_gateway.middleware import problem_of
from exchange_gateway.order_form import read_order
from exchange_gateway.orders import OrderDesk
from exchange_gateway.problems import problem_document
from exchange_gateway.requests import (
    admission_of,
    authenticate,
    carrier_of,
    client_order_id_of,
    json_answer,
    order_id_of,
    read_body,
    stages_of,
    trace_id_of,
    wait_s_of,
)
from exchange_gateway.sessions import Authenticator
from exchange_gateway.views import ids_json, placed_json

KINDS: Final = ("cancel", "amend", "place")
"""In the order in which they are carried out."""


class BatchRoutes:
    """The same desks as for single commands, so the same rules and the same codes."""

    def __init__(self, *, authenticator: Authenticator, desk: OrderDesk, amends: AmendDesk) -> None:
        self._authenticator = authenticator
        self._desk = desk
        self._amends = amends

    def routes(self) -> list[web.RouteDef]:
        """For the application's router."""
        return [web.post("/api/v1/orders/batch", self.batch)]

    async def batch(self, request: web.Request) -> web.Response:
        """200 with one result an item, in the order of the items."""
        principal = await authenticate(self._authenticator, request)
        items = (await read_body(request))["items"]
        cancels = sum(_kind(item) == "cancel" for item in items)
        with stages_of(request).measure("ratelimit"):
            await admission_of(request).charge({RouteClass.ORDERS: len(items) - cancels, RouteClass.CANCELS: cancels})
        deadline_s = asyncio.get_running_loop().time() + wait_s_of(request)
        results: list[dict[str, Any]] = [{} for _ in items]
        for kind in (*KINDS, None):
            indices = [index for index, item in enumerate(items) if _kind(item) == kind]
            answers = await asyncio.gather(
                *[self._carry_out(kind, items[index], index, principal, request, deadline_s) for index in indices]
            )
            for index, answer in zip(indices, answers, strict=True):
                results[index] = {"op": kind, **answer}
        return json_answer({"results": results})

    async def _carry_out(
        self, kind: str | None, item: Any, index: int, principal: Principal, request: web.Request, deadline_s: float
    ) -> dict[str, Any]:
        """What the same command would be answered alone: `http_status` with `answer` or `problem`."""
        try:
            if kind is None:
                raise invalid("op", f"an item is an object, its op one of {', '.join(KINDS)}")
            body = {name: value for name, value in item.items() if name != "op"}
            answer = await self._act(kind, body, index, principal, request, deadline_s)
        except Exception as error:  # one item's failure does not stop the others; each is told by its code
            problem = problem_of(error, request)
            return {"http_status": problem.status, "problem": problem_document(problem, trace_id_of(request))}
        return {"http_status": 202, "answer": answer}

    async def _act(
        self, kind: str, body: dict[str, Any], index: int, principal: Principal, request: web.Request, deadline_s: float
    ) -> dict[str, Any]:
        stages, carrier = stages_of(request), carrier_of(request)
        if kind == "place":
            body_form("NewOrder").check(body)
            order = read_order(body, client_order_id_of(request, index))
            return placed_json(await self._desk.place(principal, order, stages, carrier))
        changes: dict[str, Any] = {name: body.pop(name) for name in AMEND_FIELDS if kind == "amend" and name in body}
        if kind == "amend":
            body_form("Amendment").check(changes)
        order_id = await self._order_id(principal, body)
        if kind == "cancel":
            found = await self._desk.cancel(principal, order_id, stages, carrier)
            await self._wait(principal, order_id, deadline_s, lambda order: order.status.is_final)
            return {**ids_json(found), "status": "cancel_requested"}
        amended = await self._amends.amend(principal, order_id, changes, stages, carrier)
        await self._wait(principal, order_id, deadline_s, amended.is_done)
        return {"amend_id": str(amended.amend_id), **ids_json(amended.found), "status": "amend_requested"}

    async def _order_id(self, principal: Principal, body: Mapping[str, Any]) -> int:
        body_form("OrderReference").check(body)
        if "order_id" in body:
            return order_id_of(body["order_id"])
        found = await self._desk.find_by_client_id(principal.user_id, body["client_order_id"])
        return int(ids_json(found)["order_id"])

    async def _wait(
        self, principal: Principal, order_id: int, deadline_s: float, is_awaited: Callable[[OrderView], bool]
    ) -> None:
        wait_s = deadline_s - asyncio.get_running_loop().time()
        await self._desk.wait_for(principal.user_id, order_id, wait_s, is_awaited)


def _kind(item: Any) -> str | None:
    kind = item.get("op") if isinstance(item, dict) else None
    return kind if isinstance(kind, str) and kind in KINDS else None
