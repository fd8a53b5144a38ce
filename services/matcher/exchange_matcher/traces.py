"""The matcher's part of a traced command's way: in the queue, matched, journaled, fed."""

from collections.abc import Sequence
from dataclasses import dataclass

from exchange_adapters.tracing import Attributes, Part, record_span
from exchange_matcher.slots import EncodedSlot


@dataclass(frozen=True, slots=True, kw_only=True)
class TracedCommand:
    """A command of a sampled request: what it carries, and when its message was sent (ms since the epoch)."""

    command_id: int
    carrier: str
    symbol: str
    sent_at_ms: int


def trace_slot(
    traced: Sequence[TracedCommand],
    encoded: EncodedSlot,
    *,
    received_ns: int,
    put_ns: int,
    journaled_ns: int,
    fed_ns: int,
) -> None:
    """A span for each traced command whose events stand in the slot."""
    slot = encoded.slot
    causes = {event.cause for event in slot.events}
    for command in traced:
        if command.command_id in causes:
            sent_ns = min(command.sent_at_ms * 1_000_000, received_ns)
            parts = (
                Part(name="orders queue", start_ns=sent_ns, end_ns=received_ns),
                Part(name="match", start_ns=received_ns, end_ns=put_ns),
                Part(name="journal", start_ns=put_ns, end_ns=journaled_ns),
                Part(name="stream", start_ns=journaled_ns, end_ns=fed_ns),
            )
            attributes: Attributes = {
                "symbol": command.symbol,
                "command_id": str(command.command_id),
                "partition": slot.partition,
                "slot": slot.n,
            }
            record_span("matcher", "slot", command.carrier, parts, attributes=attributes)
