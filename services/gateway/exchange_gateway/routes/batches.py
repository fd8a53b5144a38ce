"""Many commands in one request: cancels first, then amendments, then new orders; each item answers for itself.

Within a kind the items go on together, so they share transactions and messages. What a cancel or an amendment sets
free can be used by the kinds after it: with `Prefer: wait=N` all verdicts are waited for before the next kind begins;
without it only an item that lacks funds waits for them.
"""

import asyncio
from collections.abc import Mapping
from typing import Any, Final

from aiohttp import web

from exchange_adapters.tokens import Principal
from exchange_gateway.access.limits import RouteClass
from exchange_gateway.access.sessions import Authenticator
from exchange_gateway.fields import invalid
from exchange_gateway.problems import Code, ProblemError, problem_document
from exchange_gateway.rest.forms import body_form
from exchange_gateway.rest.middleware import problem_of
from exchange_gateway.rest.requests import (
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
from exchange_gateway.rest.views import ids_json, placed_json
from exchange_gateway.trading.amends import AMEND_FIELDS, AmendDesk
from exchange_gateway.trading.order_form import read_order
from exchange_gateway.trading.orders import OrderDesk
from exchange_gateway.trading.verdicts import VerdictDesk

FREED_WAIT_S: Final = 2.0
"""How long an item that lacks funds waits for what earlier ones set free."""
KINDS: Final = ("cancel", "amend", "place")
"""In the order in which they are carried out."""


class BatchRoutes:
    """The same desks as for single commands, so the same rules and the same codes."""

    def __init__(
        self, *, authenticator: Authenticator, desk: OrderDesk, amends: AmendDesk, verdicts: VerdictDesk
    ) -> None:
        self._authenticator = authenticator
        self._desk = desk
        self._amends = amends
        self._verdicts = verdicts

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
        batch = _Batch(principal, request, Freed(self._verdicts))
        results: list[dict[str, Any]] = [{} for _ in items]
        for kind in (*KINDS, None):
            indices = [index for index, item in enumerate(items) if _kind(item) == kind]
            answers = await asyncio.gather(*[self._carry_out(kind, items[index], index, batch) for index in indices])
            for index, answer in zip(indices, answers, strict=True):
                results[index] = {"op": kind, **answer}
            batch.freed.close_kind()
        return json_answer({"results": results})

    async def _carry_out(self, kind: str | None, item: Any, index: int, batch: "_Batch") -> dict[str, Any]:
        """`http_status` with `answer` or `problem`."""
        try:
            if kind is None:
                raise invalid("op", f"an item is an object, its op one of {', '.join(KINDS)}")
            body = {name: value for name, value in item.items() if name != "op"}
            try:
                return await self._act(kind, dict(body), index, batch)
            except ProblemError as refusal:
                if refusal.code is not Code.INSUFFICIENT_FUNDS or not await batch.freed.is_there():
                    raise
                return await self._act(kind, body, index, batch)
        except Exception as error:  # one item's failure does not stop the others; each is told by its code
            problem = problem_of(error, batch.request)
            return {"http_status": problem.status, "problem": problem_document(problem, trace_id_of(batch.request))}

    async def _act(self, kind: str, body: dict[str, Any], index: int, batch: "_Batch") -> dict[str, Any]:
        stages, carrier = stages_of(batch.request), carrier_of(batch.request)
        if kind == "place":
            body_form("NewOrder").check(body)
            order = read_order(body, client_order_id_of(batch.request, index))
            placed = await self._desk.place(batch.principal, order, stages, carrier)
            return {"http_status": 202, "answer": placed_json(placed)}
        changes: dict[str, Any] = {name: body.pop(name) for name in AMEND_FIELDS if kind == "amend" and name in body}
        if kind == "amend":
            body_form("Amendment").check(changes)
        order_id = await self._order_id(batch.principal, body)
        if kind == "cancel":
            sent = await self._desk.cancel(batch.principal, order_id, stages, carrier)
            command_id, answer = sent.command_id, {"command_id": str(sent.command_id), **ids_json(sent.found)}
            statuses = ("cancel_requested", "canceled")
        else:
            amended = await self._amends.amend(batch.principal, order_id, changes, stages, carrier)
            command_id, answer = amended.amend_id, {"amend_id": str(amended.amend_id), **ids_json(amended.found)}
            statuses = ("amend_requested", "amended")
        batch.freed.expect(command_id)
        wait_s = batch.deadline_s - asyncio.get_running_loop().time()
        is_done = await self._verdicts.outcome(command_id, wait_s) is not None
        return {"http_status": 200 if is_done else 202, "answer": {**answer, "status": statuses[is_done]}}

    async def _order_id(self, principal: Principal, body: Mapping[str, Any]) -> int:
        body_form("OrderReference").check(body)
        if "order_id" in body:
            return order_id_of(body["order_id"])
        found = await self._desk.find_by_client_id(principal.user_id, body["client_order_id"])
        return int(ids_json(found)["order_id"])


class Freed:
    """What the cancels and amendments of a batch set free, for the kinds that come after them.

    Funds are free once the matcher has decided and that is settled, which no answer waits for unless asked to. So only
    an item that lacks funds waits, and is then tried again once (ADR 14).
    """

    def __init__(self, verdicts: VerdictDesk) -> None:
        self._verdicts = verdicts
        self._expected: list[int] = []
        self._of_this_kind: list[int] = []
        self._is_waited_for = False
        self._waiting = asyncio.Lock()

    def expect(self, command_id: int) -> None:
        """This command may set funds free."""
        self._of_this_kind.append(command_id)

    def close_kind(self) -> None:
        """From here on, what was expected may be waited for."""
        self._expected += self._of_this_kind
        self._of_this_kind = []
        self._is_waited_for = False

    async def is_there(self) -> bool:
        """Whether anything was expected: then it was waited for, by the first who asks, and all that came is there."""
        if not self._expected:
            return False
        async with self._waiting:
            if not self._is_waited_for:
                await self._verdicts.all_outcomes(self._expected, FREED_WAIT_S)
                self._is_waited_for = True
        return True


class _Batch:
    """One request: who sent it, how long it may wait for verdicts, and what its commands set free."""

    def __init__(self, principal: Principal, request: web.Request, freed: Freed) -> None:
        self.principal = principal
        self.request = request
        self.deadline_s = asyncio.get_running_loop().time() + wait_s_of(request)
        self.freed = freed


def _kind(item: Any) -> str | None:
    kind = item.get("op") if isinstance(item, dict) else None
    return kind if isinstance(kind, str) and kind in KINDS else None
