"""Going on after the world's faults: again and again, slower each time, until it works or the process stops."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final, TypeVar

import structlog

from exchange_core.errors import Ambiguous, Conflict, Throttled, Unavailable

PASSING_FAULTS: Final = (Throttled, Unavailable, Ambiguous, Conflict)
"""What may go away by itself. Gone and Fatal do not."""
_FIRST_PAUSE_S: Final = 0.05
_LONGEST_PAUSE_S: Final = 2.0

Result = TypeVar("Result")


class StoppedError(Exception):
    """The partition is to be given up while something waits to be done; recovery does it, wherever that runs."""


class Outage:
    """The pauses between attempts at one thing, and one log line when it starts to fail and when it works again."""

    def __init__(self, fault: str, stopping: asyncio.Event, **facts: object) -> None:
        self._log = structlog.get_logger().bind(what=fault, **facts)
        self._stopping = stopping
        self._pause_s = 0.0

    @property
    def is_on(self) -> bool:
        """Whether the last attempt failed."""
        return self._pause_s > 0

    async def pause(self, error: Exception) -> None:
        """Wait before the next attempt, twice as long each time; raises StoppedError when told to stop."""
        if not self.is_on:
            self._log.warning("outage_began", error=f"{type(error).__name__}: {error}")
        self._pause_s = min(max(self._pause_s * 2, _FIRST_PAUSE_S), _LONGEST_PAUSE_S)
        if await is_set_within(self._stopping, self._pause_s):
            raise StoppedError

    def over(self) -> None:
        """The attempt worked."""
        if self.is_on:
            self._log.info("outage_ended")
        self._pause_s = 0.0


async def persist(attempt: Callable[[], Awaitable[Result]], outage: Outage) -> Result:
    """Attempt until it works; only for what may be repeated after an ambiguous outcome."""
    while True:
        try:
            result = await attempt()
        except PASSING_FAULTS as error:
            await outage.pause(error)
        else:
            outage.over()
            return result


async def is_set_within(event: asyncio.Event, seconds: float) -> bool:
    """Wait for the event, at most so long; whether it is set."""
    try:
        async with asyncio.timeout(seconds):
            await event.wait()
    except TimeoutError:
        return False
    return True
