"""Going on after the world's faults: again and again, slower each time, until it works or the process stops."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final, TypeVar

import structlog

from exchange_core.errors import Fatal, Gone, PortError

_FIRST_PAUSE_S: Final = 0.05
_LONGEST_PAUSE_S: Final = 2.0

Result = TypeVar("Result")


class StoppedError(Exception):
    """The process is to end while something waits to be done: it is done after the next start."""


class Outage:
    """The pauses between attempts at one thing, and a log line when it begins to fail and when it works again.

    `tell` hears whether the thing works, at every change.
    """

    def __init__(self, what: str, stopping: asyncio.Event, tell: Callable[[bool], None], **facts: object) -> None:
        self._log = structlog.get_logger().bind(what=what, **facts)
        self._stopping = stopping
        self._tell = tell
        self._pause_s = 0.0

    async def pause(self, error: PortError) -> None:
        """Wait before the next attempt, twice as long each time; raises StoppedError when told to stop."""
        if not self._pause_s:
            self._log.warning("outage_began", error=f"{type(error).__name__}: {error}")
        self._tell(False)
        self._pause_s = min(max(self._pause_s * 2, _FIRST_PAUSE_S), _LONGEST_PAUSE_S)
        if await is_set_within(self._stopping, self._pause_s):
            raise StoppedError

    def over(self) -> None:
        """The attempt worked."""
        if self._pause_s:
            self._log.info("outage_ended")
        self._tell(True)
        self._pause_s = 0.0


async def persist(attempt: Callable[[], Awaitable[Result]], outage: Outage) -> Result:
    """Attempt until it works; Gone and Fatal, which do not go away by themselves, are raised."""
    while True:
        try:
            result = await attempt()
        except (Gone, Fatal):
            raise
        except PortError as error:
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
