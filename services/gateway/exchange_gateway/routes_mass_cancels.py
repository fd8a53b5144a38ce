"""Cancel all, and the timer that cancels all."""

from aiohttp import web

from exchange_core.market_data import timestamp_text
from exchange_gateway.mass_cancels import MassCancelDesk
from exchange_gateway.requests import authenticate, carrier_of, json_answer, query_of, read_body, stages_of
from exchange_gateway.sessions import Authenticator


class MassCancelRoutes:
    """Only the caller's own orders are touched. Every answer is 202: the matcher has yet to act."""

    def __init__(self, *, authenticator: Authenticator, desk: MassCancelDesk) -> None:
        self._authenticator = authenticator
        self._desk = desk

    def routes(self) -> list[web.RouteDef]:
        """For the application's router."""
        return [
            web.delete("/api/v1/orders", self.cancel_all),
            web.post("/api/v1/orders/cancel-all-after", self.cancel_all_after),
        ]

    async def cancel_all(self, request: web.Request) -> web.Response:
        """By `symbol`, or everywhere without it."""
        principal = await authenticate(self._authenticator, request)
        with stages_of(request).measure("enqueue"):
            commands = await self._desk.cancel_all(principal, query_of(request).get("symbol"), carrier_of(request))
        answer = [{"symbol": symbol, "command_id": str(command_id)} for symbol, command_id in commands.items()]
        return json_answer({"commands": answer, "status": "cancel_requested"}, status=202)

    async def cancel_all_after(self, request: web.Request) -> web.Response:
        """Cancel all in `timeout_s` seconds unless renewed; 0 disarms."""
        principal = await authenticate(self._authenticator, request)
        body = await read_body(request)
        with stages_of(request).measure("enqueue"):
            command = await self._desk.set_timer(principal, body, carrier_of(request))
        cancels_at = None if command.deadline_ms is None else timestamp_text(command.deadline_ms)
        answer = {
            "command_id": str(command.command_id),
            "symbol": command.symbol,
            "cancels_at": cancels_at,
            "status": "accepted",
        }
        return json_answer(answer, status=202)
