"""Calls that are repeated until the exchange answers them, through the death of any of its parts."""

import asyncio
import random
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Final, TypeVar

from crossbook.clients.api_client import ApiProblemError, ApiUnavailableError
from crossbook.errors import TwinError

PAUSE_FIRST_S: Final = 0.05
PAUSE_LAST_S: Final = 2.0

Answer = TypeVar("Answer")


class ReplayStalledError(TwinError):
    """The exchange answered nothing for too long."""


class Patience:
    """Shared by all calls of a replay: while any of them is answered, the others go on trying.

    `retries` counts failed attempts by status and code, `retried_calls` the calls that took more than one.
    """

    def __init__(self, patience_s: float) -> None:
        self._patience_s = patience_s
        self._loop = asyncio.get_running_loop()
        self._answered_s = self._loop.time()
        self.retries: Counter[str] = Counter()
        self.retried_calls = 0
        self.longest_outage_s = 0.0

    async def insist(self, call: Callable[[], Awaitable[Answer]], latencies_s: list[float] | None = None) -> Answer:
        """Make the call until it is answered; `latencies_s` takes the time of one that succeeds at once.

        Raises ApiProblemError as it comes (a refusal is an answer), or ReplayStalledError.
        """
        first_s, attempts, pause_s = self._loop.time(), 1, PAUSE_FIRST_S
        while True:
            try:
                answer = await call()
            except ApiUnavailableError as error:
                self.retries[f"{error.status or ''} {error.code}".strip()] += 1
                await self._pause(max(pause_s, error.retry_after_s), error)
                attempts, pause_s = attempts + 1, min(2 * pause_s, PAUSE_LAST_S)
            except ApiProblemError:
                self._note(first_s, attempts)
                raise
            else:
                self._note(first_s, attempts)
                if attempts == 1 and latencies_s is not None:
                    latencies_s.append(self._answered_s - first_s)
                return answer

    def _note(self, first_s: float, attempts: int) -> None:
        self._answered_s = self._loop.time()
        if attempts > 1:
            self.retried_calls += 1
            self.longest_outage_s = max(self.longest_outage_s, self._answered_s - first_s)

    async def _pause(self, pause_s: float, error: ApiUnavailableError) -> None:
        if self._loop.time() - self._answered_s > self._patience_s:
            raise ReplayStalledError(f"no call was answered for {self._patience_s:.0f} s; the last error: {error}")
        await asyncio.sleep(random.uniform(pause_s / 2, pause_s))  # noqa: S311 - spreads load, guards nothing
