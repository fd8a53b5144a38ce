"""What one round of a partition brings, gathered before it is journaled."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from exchange_core.events import Event
from exchange_matcher.slots import Unit
from exchange_matcher.traces import TracedCommand


@dataclass(slots=True, kw_only=True)
class Batch:
    """What one round brought: events by command, and what to acknowledge when they are journaled and fed.

    `oldest_ms` is when the oldest of its messages was sent.
    """

    at_ms: int
    oldest_ms: int
    units: list[Unit] = field(default_factory=list)
    receipts: list[str] = field(default_factory=list)
    traced: list[TracedCommand] = field(default_factory=list)
    command_count: int = 0
    stale_count: int = 0

    def add(self, events: Sequence[Event]) -> None:
        """Events that stand or fall together; none is a repeat."""
        if events:
            self.units.append(events)
