"""Who overhears signed requests and sends them again as they are: a proxy's log, a debugging tool, a thief (ADR 9)."""

import asyncio
from random import Random
from typing import Final

from simulation.clients.desk import Desk

_HEARD_MAX: Final = 8
"""The last so many are sent again: soon enough for their timestamps to be good, and somewhat later."""


class Eavesdropper:
    """At work until `ending` is set."""

    def __init__(self, desk: Desk, random: Random, *, pause_s: float, ending: asyncio.Event) -> None:
        self._desk = desk
        self._random = random
        self._pause_s = pause_s
        self._ending = ending

    async def run(self) -> None:
        """Send again, pause, send again."""
        while not self._ending.is_set():
            if overheard := self._desk.signed[-_HEARD_MAX:]:
                host = self._random.choice(self._desk.gateways)
                await self._desk.send(self._random.choice(overheard), host=host)
            await asyncio.sleep(self._random.uniform(0, 2 * self._pause_s))
