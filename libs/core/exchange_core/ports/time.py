"""Wall time."""

from typing import Protocol


class Clock(Protocol):
    """Wall time. Intervals are measured by the event loop's own time."""

    def now_ms(self) -> int:
        """Milliseconds since the Unix epoch, UTC."""
        ...
