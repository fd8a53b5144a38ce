"""The persister's part of a traced order's way: through the stream, into wallets, archive and rows."""

import time
from collections.abc import Sequence

from exchange_adapters.tracing import Attributes, Part, record_span
from exchange_core.codec import Slot
from exchange_core.events import OrderAccepted, OrderRejected


class Timeline:
    """When each step of one settlement ended."""

    def __init__(self) -> None:
        self._started_ns = time.time_ns()
        self._steps: list[tuple[str, int]] = []

    def note(self, step: str) -> None:
        """The step is over."""
        self._steps.append((step, time.time_ns()))

    def parts(self, slot: Slot) -> list[Part]:
        """The steps, with the slot's way through the stream before them."""
        journaled_ns = min(slot.at_ms * 1_000_000, self._started_ns)
        parts = [Part(name="executions stream", start_ns=journaled_ns, end_ns=self._started_ns)]
        for step, end_ns in self._steps:
            parts.append(Part(name=step, start_ns=parts[-1].end_ns, end_ns=end_ns))
        return parts


def trace_settlement(slots: Sequence[Slot], timeline: Timeline) -> None:
    """A span for each traced order that entered in these slots."""
    for slot in slots:
        for event in slot.events:
            if isinstance(event, OrderAccepted | OrderRejected) and event.trace_id:
                attributes: Attributes = {
                    "symbol": event.symbol,
                    "order_id": str(event.order_id),
                    "seq": event.seq,
                    "partition": slot.partition,
                    "slot": slot.n,
                }
                record_span("persister", "settlement", event.trace_id, timeline.parts(slot), attributes=attributes)
