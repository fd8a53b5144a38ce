"""Cancel all, and the timer that cancels all."""

from aiohttp import web

from exchange_core.market_data import timestamp_text
from exchange_core.orders import Reason
from exchange_core.outcomes import CommandOutcome
from exchange_gateway.access.sessions import Authenticator
from exchange_gateway.rest.requests import (
    authenticate,
    carrier_of,
    json_answer,
    query_of,
    read_body,
    stages_of,
    wait_s_of,
)
from exchange_gateway.trading.mass_cancels import MassCancelDesk
from exchange_gateway.trading.verdicts import VerdictDesk, raise_refused


class MassCancelRoutes:
    """Only the caller's own orders are touched. 202: the matcher has yet to act; 200, with `Prefer: wait=N`: it has."""

    def __init__(self, *, authenticator: Authenticator, desk: MassCancelDesk, verdicts: VerdictDesk) -> None:
        self._authenticator = authenticator
        self._desk = desk
        self._verdicts = verdicts

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
        with stages_of(request).measure("wait"):
            outcomes = await self._verdicts.all_outcomes([*commands.values()], wait_s_of(request))
        answer = [
            {"symbol": symbol, "command_id": str(command_id), "canceled": _canceled(outcomes.get(command_id))}
            for symbol, command_id in commands.items()
        ]
        is_done = len(outcomes) == len(commands)
        status = "canceled" if is_done else "cancel_requested"
        return json_answer({"commands": answer, "status": status}, status=200 if is_done else 202)

    async def cancel_all_after(self, request: web.Request) -> web.Response:
        """Cancel all in `timeout_s` seconds unless renewed; 0 disarms."""
        principal = await authenticate(self._authenticator, request)
        body = await read_body(request)
        with stages_of(request).measure("enqueue"):
            command = await self._desk.set_timer(principal, body, carrier_of(request))
        with stages_of(request).measure("wait"):
            outcome = await self._verdicts.outcome(command.command_id, wait_s_of(request))
        cancels_at = None if command.deadline_ms is None else timestamp_text(command.deadline_ms)
        answer = {
            "command_id": str(command.command_id),
            "symbol": command.symbol,
            "cancels_at": cancels_at,
            "status": "accepted" if outcome is None else "done",
        }
        return json_answer(answer, status=202 if outcome is None else 200)


def _canceled(outcome: CommandOutcome | None) -> int | None:
    """How many orders the command ended; None while it is not known. That there were none is a refusal in the journal
    and none here; any other is raised as a ProblemError."""
    if outcome is None:
        return None
    if outcome.reason is not Reason.ORDER_NOT_FOUND:
        raise_refused(outcome)
    return outcome.order_count
