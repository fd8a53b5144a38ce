"""Times when the matchers are away: one for all scenarios that need one, since they are not short."""

import asyncio
from types import TracebackType
from typing import Self

from crossbook.twin import Twin


class Outage:
    """A time without matchers, entered by each of its `visits`: it begins when all are there, and ends when none is.

    The matchers are stopped in good order, so that they recover from the snapshots they leave; or killed, so that they
    recover from older ones and the journal.
    """

    def __init__(self, twin: Twin, visitors: int, *, is_kill: bool) -> None:
        self.visits = [Visit(self) for _ in range(visitors)]
        self.has_begun, self.is_over = asyncio.Event(), asyncio.Event()
        self._twin = twin
        self._is_kill = is_kill
        self._changed = asyncio.Condition()

    async def happen(self) -> None:
        """Take the matchers away when all have come, and bring them back when all have gone on."""
        matchers = [name for name in self._twin.service_names if name.startswith("matcher")]
        async with self._changed:
            await self._changed.wait_for(lambda: all(visit.has_come for visit in self.visits))
        if self._is_kill:
            for name in matchers:
                self._twin.kill(name)
        await self._twin.hold(*matchers)
        self.has_begun.set()
        async with self._changed:
            await self._changed.wait_for(lambda: all(visit.has_gone for visit in self.visits))
        await self._twin.resume(*matchers)
        self.is_over.set()

    async def note(self) -> None:
        """Somebody has come or gone."""
        async with self._changed:
            self._changed.notify_all()


class Visit:
    """A scenario's part in it: `async with outage:` waits for the others, and then the matchers are away; after it they
    are back.
    """

    def __init__(self, outage: Outage) -> None:
        self._outage = outage
        self.has_come = self.has_gone = False

    async def __aenter__(self) -> Self:
        self.has_come = True
        await self._outage.note()
        await self._outage.has_begun.wait()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.leave()
        await self._outage.is_over.wait()

    async def leave(self) -> None:
        """Go, or do not come at all."""
        self.has_come = self.has_gone = True
        await self._outage.note()
