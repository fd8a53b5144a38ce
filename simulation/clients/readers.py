"""Who reads what the exchange says, for any user, while the others trade: lists, fills, balances, verdicts."""

import asyncio
from random import Random
from typing import Final

from simulation.clients.desk import Desk
from simulation.clients.history import Call, History
from simulation.market import SYMBOLS, USERS

LIMIT: Final = 500
"""A page's most: what a world of a minute brings fits into it."""


class Reader:
    """At work until `ending` is set. What it asks verdicts of is what `history` has promises of."""

    def __init__(self, desk: Desk, random: Random, history: History, *, pause_s: float, ending: asyncio.Event) -> None:
        self._desk = desk
        self._random = random
        self._history = history
        self._pause_s = pause_s
        self._ending = ending

    async def run(self) -> None:
        """Ask, pause, ask."""
        while not self._ending.is_set():
            user_id = self._random.choice(USERS)
            match self._random.randrange(6):
                case 0:
                    await self._get(user_id, "orders", f"/api/v1/orders?limit={LIMIT}")
                case 1:
                    await self._get(user_id, "open_orders", f"/api/v1/orders?status=open&limit={LIMIT}")
                case 2:
                    await self._get(user_id, "fills", f"/api/v1/fills?limit={LIMIT}")
                case 3:
                    await self._get(user_id, "balances", "/api/v1/balances")
                case 4:
                    symbol = self._random.choice(SYMBOLS)
                    await self._get(user_id, "trades", f"/api/v1/trades/{symbol}?limit=20", target=symbol)
                case 5:
                    await self._ask_for_a_verdict()
            await asyncio.sleep(self._random.uniform(0, 2 * self._pause_s))

    async def _ask_for_a_verdict(self) -> None:
        """Of one of the last promises: those it asked of before come again, and must be told the same."""
        promised = [(call, one) for call in self._history.calls[-60:] for one in promised_commands(call)]
        if promised:
            call, command_id = self._random.choice(promised)
            path = f"/api/v1/commands/{command_id}"
            await self._get(call.user_id, "verdict", path, target=str(command_id))

    async def _get(self, user_id: str, kind: str, path: str, *, target: str | None = None) -> None:
        host = self._random.choice(self._desk.gateways)
        await self._desk.call(user_id, kind, "GET", path, host=host, target=target)


def promised_commands(call: Call) -> list[int]:
    """The ids of all commands that the answer promises; none where it promises nothing, or tells what became of it."""
    if not call.is_promise or (call.kind in ("cancel", "amend") and call.status == 200):
        return []
    match call.kind:
        case "place":
            answers = [{"command_id": call.answer["order_id"]}]
        case "amend":
            answers = [{"command_id": call.answer["amend_id"]}]
        case "cancel" | "cancel_after" | "status" | "deposits" | "withdrawals":
            answers = [call.answer]
        case "cancel_all":
            answers = call.answer["commands"]
        case "batch":
            items = [(one["op"], one["answer"]) for one in call.answer["results"] if "answer" in one]
            answers = [{"command_id": one["order_id"]} if op == "place" else one for op, one in items]
        case _:
            answers = []
    return [int(answer["command_id"]) for answer in answers]
