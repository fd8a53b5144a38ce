"""Who ends log-ins and API keys, and goes on using them: what was ended must be good for nothing soon, everywhere."""

import asyncio
from random import Random
from typing import Final

from simulation.clients.credentials import Credential, Key, LogIn
from simulation.clients.desk import RETRIES_MAX, Desk, now_ms
from simulation.market import LEAVER

LEFT_MAX: Final = 6
"""Sessions and keys that a world's leaver has, beside the first of each."""
_STAYS_MS: Final = 3_000
_LINGERS_MS: Final = 8_000


class Leaver:
    """At work until `ending` is set, or until all are ended: of log-ins, or of keys."""

    def __init__(self, desk: Desk, random: Random, kind: type[LogIn] | type[Key], *, ending: asyncio.Event) -> None:
        self._desk = desk
        self._random = random
        self._kind = kind
        self._ending = ending

    async def run(self) -> None:
        """Use one, end it, go on using it; the next."""
        for number in range(1, LEFT_MAX + 1):
            credential = self._kind(LEAVER, number)
            await self._use(credential, self._random.randrange(_STAYS_MS))
            if self._ending.is_set() or not await self._end(credential):
                return
            await self._use(credential, _LINGERS_MS)

    async def _use(self, credential: Credential, for_ms: int) -> None:
        until_ms = now_ms() + for_ms
        while not self._ending.is_set() and now_ms() < until_ms:
            await self._desk.call(LEAVER, "visit", "GET", "/api/v1/balances", host=self._gateway(), by=credential)
            await asyncio.sleep(self._random.uniform(0, 1.0))

    async def _end(self, credential: Credential) -> bool:
        """Whether that is known to be done."""
        for _ in range(RETRIES_MAX):
            if isinstance(credential, LogIn):
                path, by = "/api/v1/sessions", credential
            else:
                path, by = f"/api/v1/api-keys/{credential.name}", LogIn(LEAVER)
            call = await self._desk.call(
                LEAVER, "leave", "DELETE", path, host=self._gateway(), target=credential.name, by=by
            )
            if call.is_leave:
                return True
            await asyncio.sleep(self._random.uniform(0, 1.0))
        return False

    def _gateway(self) -> str:
        return self._random.choice(self._desk.gateways)
