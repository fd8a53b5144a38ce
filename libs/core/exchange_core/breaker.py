"""The circuit breaker of a symbol: too far a move within too short a time."""

from collections import deque
from typing import TypeAlias

from exchange_core.instruments import Instrument

Quote: TypeAlias = tuple[int, int]
"""A traded price: (journal time in ms, price in ticks)."""


class Breaker:
    """Watches the prices traded within the window. Keeps of them what can still be its lowest or its highest price:
    each list is in order of time and of price, so that its first entry is the extreme.
    """

    __slots__ = ("_bps", "_window_ms", "highs", "lows")

    def __init__(self, instrument: Instrument) -> None:
        self._bps = instrument.breaker_bps
        self._window_ms = instrument.breaker_window_ms
        self.lows: deque[Quote] = deque()
        self.highs: deque[Quote] = deque()

    @property
    def is_on(self) -> bool:
        """Whether the instrument has one."""
        return self._bps > 0

    def note_trade(self, price: int, at_ms: int) -> bool:
        """Take in a trade; returns whether it lies further from another one in the window than is allowed."""
        lows, highs = self.lows, self.highs
        while lows and lows[0][0] + self._window_ms < at_ms:
            lows.popleft()
        while highs and highs[0][0] + self._window_ms < at_ms:
            highs.popleft()
        while lows and lows[-1][1] >= price:
            lows.pop()
        while highs and highs[-1][1] <= price:
            highs.pop()
        lows.append((at_ms, price))
        highs.append((at_ms, price))
        lowest, highest = lows[0][1], highs[0][1]
        return (price - lowest) * 10_000 > self._bps * lowest or (highest - price) * 10_000 > self._bps * highest

    def clear(self) -> None:
        """Start a new window: what led to a halt does not lead to the next one."""
        self.lows.clear()
        self.highs.clear()
