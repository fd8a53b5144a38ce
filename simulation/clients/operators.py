"""What the operator of a world does: moves funds, and halts symbols and opens them again."""

import asyncio
from random import Random
from typing import Any, Final

from simulation.clients.desk import RETRIES_MAX, Desk
from simulation.machines.directory import OPERATOR
from simulation.market import SYMBOLS, USERS

_HALTED_MAX_S: Final = 3.0


def status_path(symbol: str) -> str:
    """Where the status of a symbol is set."""
    return f"/api/v1/admin/symbols/{symbol}/status"


class Operator:
    """At work until `ending` is set: transfers, whose ids are used again, and with `has_halts` halts too."""

    def __init__(self, desk: Desk, random: Random, *, has_halts: bool, ending: asyncio.Event) -> None:
        self._desk = desk
        self._random = random
        self._has_halts = has_halts
        self._ending = ending

    async def run(self) -> None:
        """Act, pause, act."""
        while not self._ending.is_set():
            await asyncio.sleep(self._random.uniform(0.5, 6.0))
            if self._has_halts and self._random.random() < 0.5:
                await self._halt_a_while()
            else:
                await self._transfer()

    async def _transfer(self) -> None:
        kind = self._random.choice(("deposits", "withdrawals"))
        body = {
            "user_id": self._random.choice(USERS),
            "asset": self._random.choice(("BTC", "ETH", "USDT")),
            "amount": "1.5",
            "transfer_id": f"transfer-{self._random.randrange(6)}",
        }
        await self._persist(kind, f"/api/v1/admin/{kind}", body)

    async def _halt_a_while(self) -> None:
        """What could not be opened again stays closed until the world heals."""
        symbol = self._random.choice(SYMBOLS)
        await self._persist("status", status_path(symbol), {"status": self._random.choice(("halted", "cancel_only"))})
        await asyncio.sleep(self._random.uniform(0.1, _HALTED_MAX_S))
        await self._persist("status", status_path(symbol), {"status": "trading"})

    async def _persist(self, kind: str, path: str, body: dict[str, Any]) -> None:
        for _ in range(RETRIES_MAX):
            host = self._random.choice(self._desk.gateways)
            call = await self._desk.call(OPERATOR, kind, "POST", path, host=host, body=body)
            if call.is_promise or call.is_conclusive_refusal:
                return
            await asyncio.sleep(self._random.uniform(0, 1.0))
