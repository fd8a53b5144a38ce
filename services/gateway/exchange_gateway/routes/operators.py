"""What only operators may do, and the log of what they did.

Every command is answered by 202 with its id; with `Prefer: wait=N` by 200 once it is carried out, or by its refusal.
"""

from aiohttp import web

from exchange_core.ports import DatabaseReader
from exchange_gateway.access.sessions import Authenticator
from exchange_gateway.market.catalogue import InstrumentCatalogue
from exchange_gateway.rest.requests import (
    authenticate_operator,
    carrier_of,
    cursor_of,
    json_answer,
    limit_of,
    query_of,
    read_body,
    stages_of,
    wait_s_of,
    whole_number,
)
from exchange_gateway.rest.views import operator_command_json
from exchange_gateway.trading.operators import OperatorDesk
from exchange_gateway.trading.verdicts import VerdictDesk


class OperatorRoutes:
    """The role is in the token; who ordered what is in the journal and in the log."""

    def __init__(
        self,
        *,
        authenticator: Authenticator,
        desk: OperatorDesk,
        verdicts: VerdictDesk,
        catalogue: InstrumentCatalogue,
        reader: DatabaseReader,
    ) -> None:
        self._authenticator = authenticator
        self._desk = desk
        self._verdicts = verdicts
        self._catalogue = catalogue
        self._reader = reader

    def routes(self) -> list[web.RouteDef]:
        """For the application's router."""
        return [
            web.post("/api/v1/admin/instruments", self.list_instrument),
            web.post("/api/v1/admin/deposits", self.deposit),
            web.post("/api/v1/admin/withdrawals", self.withdraw),
            web.post("/api/v1/admin/symbols/{symbol}/status", self.set_status),
            web.get("/api/v1/admin/audit", self.audit),
        ]

    async def list_instrument(self, request: web.Request) -> web.Response:
        """List a new instrument."""
        operator = await authenticate_operator(self._authenticator, request)
        body = await read_body(request)
        return await self._answer(request, await self._desk.list_instrument(operator, body, carrier_of(request)))

    async def deposit(self, request: web.Request) -> web.Response:
        """Credit an account."""
        operator = await authenticate_operator(self._authenticator, request)
        body = await read_body(request)
        return await self._answer(request, await self._desk.deposit(operator, body, carrier_of(request)))

    async def withdraw(self, request: web.Request) -> web.Response:
        """Debit an account."""
        operator = await authenticate_operator(self._authenticator, request)
        body = await read_body(request)
        return await self._answer(request, await self._desk.withdraw(operator, body, carrier_of(request)))

    async def set_status(self, request: web.Request) -> web.Response:
        """Open, restrict or halt a symbol."""
        operator = await authenticate_operator(self._authenticator, request)
        body = await read_body(request)
        symbol = request.match_info["symbol"]
        return await self._answer(request, await self._desk.set_status(operator, symbol, body, carrier_of(request)))

    async def audit(self, request: web.Request) -> web.Response:
        """Every operator's command that the journal has, newest first."""
        await authenticate_operator(self._authenticator, request)
        cursor = cursor_of(request, 2)
        limit = limit_of(request)
        commands = await self._reader.operator_commands(
            operator_id=query_of(request).get("operator_id"),
            before=None if cursor is None else (whole_number("cursor", cursor[0]), whole_number("cursor", cursor[1])),
            limit=limit,
        )
        last = commands[-1] if len(commands) == limit else None
        return json_answer(
            {
                "commands": [operator_command_json(command, self._catalogue) for command in commands],
                "next_cursor": f"{last.at_ms}~{last.command_id}" if last else None,
            }
        )

    async def _answer(self, request: web.Request, command_id: int | None) -> web.Response:
        """`command_id` is None for a listing whose command is forgotten: the symbol is listed."""
        is_done = command_id is None
        if command_id is not None:
            with stages_of(request).measure("wait"):
                is_done = await self._verdicts.outcome(command_id, wait_s_of(request)) is not None
        status = "done" if is_done and wait_s_of(request) else "accepted"
        text = None if command_id is None else str(command_id)
        return json_answer({"command_id": text, "status": status}, status=200 if status == "done" else 202)
