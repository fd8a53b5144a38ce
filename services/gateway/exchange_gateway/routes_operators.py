"""What only operators may do. Every answer is 202 with the id of the command."""

from aiohttp import web

from exchange_gateway.operators import OperatorDesk
from exchange_gateway.requests import authenticate_operator, carrier_of, json_answer, read_body
from exchange_gateway.sessions import Authenticator


class OperatorRoutes:
    """The role is in the token; who ordered what is in the journal and in the log."""

    def __init__(self, *, authenticator: Authenticator, desk: OperatorDesk) -> None:
        self._authenticator = authenticator
        self._desk = desk

    def routes(self) -> list[web.RouteDef]:
        """For the application's router."""
        return [
            web.post("/api/v1/admin/instruments", self.list_instrument),
            web.post("/api/v1/admin/deposits", self.deposit),
            web.post("/api/v1/admin/withdrawals", self.withdraw),
            web.post("/api/v1/admin/symbols/{symbol}/status", self.set_status),
        ]

    async def list_instrument(self, request: web.Request) -> web.Response:
        """List a new instrument."""
        operator = await authenticate_operator(self._authenticator, request)
        body = await read_body(request)
        return _accepted(await self._desk.list_instrument(operator, body, carrier_of(request)))

    async def deposit(self, request: web.Request) -> web.Response:
        """Credit an account."""
        operator = await authenticate_operator(self._authenticator, request)
        body = await read_body(request)
        return _accepted(await self._desk.deposit(operator, body, carrier_of(request)))

    async def withdraw(self, request: web.Request) -> web.Response:
        """Debit an account."""
        operator = await authenticate_operator(self._authenticator, request)
        body = await read_body(request)
        return _accepted(await self._desk.withdraw(operator, body, carrier_of(request)))

    async def set_status(self, request: web.Request) -> web.Response:
        """Open, restrict or halt a symbol."""
        operator = await authenticate_operator(self._authenticator, request)
        body = await read_body(request)
        symbol = request.match_info["symbol"]
        return _accepted(await self._desk.set_status(operator, symbol, body, carrier_of(request)))


def _accepted(command_id: int | None) -> web.Response:
    text = None if command_id is None else str(command_id)
    return json_answer({"command_id": text, "status": "accepted"}, status=202)
