"""Simulated time: it moves with the event loop, so a virtual-time loop and a real one give the same behaviour."""

import asyncio
from typing import Final

START_MS: Final = 1_771_322_400_000
"""2026-02-17T10:00:00Z, the moment of the example in DESIGN.md."""


class SimClock:
    """A wall clock that starts at `start_ms` and moves with the running loop's time, plus what it was advanced by.

    Clocks of different hosts differ by `skew_ms`. `origin_s` is the loop time that corresponds to `start_ms`; without
    it, the loop time of the first reading.
    """

    def __init__(self, start_ms: int = START_MS, *, skew_ms: int = 0, origin_s: float | None = None) -> None:
        self._start_ms = start_ms
        self._origin_s = origin_s
        self._last_ms = 0
        self.skew_ms = skew_ms

    def now_ms(self) -> int:
        """Milliseconds since the Unix epoch. Outside a running loop time stands still."""
        try:
            loop_s = asyncio.get_running_loop().time()
        except RuntimeError:
            return self._start_ms + self.skew_ms + self._last_ms
        if self._origin_s is None:
            self._origin_s = loop_s
        self._last_ms = round((loop_s - self._origin_s) * 1000)
        return self._start_ms + self.skew_ms + self._last_ms

    def advance(self, by_ms: int) -> None:
        """Jump ahead. What waits on the loop's timers does not notice until its timer is due."""
        assert by_ms >= 0, "time does not go back"
        self._start_ms += by_ms
