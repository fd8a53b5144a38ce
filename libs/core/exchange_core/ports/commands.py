"""Commands on their way from gateway to matcher: SQS FIFO."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True, kw_only=True)
class CommandMessage:
    """One message to a partition's queue: commands of one group (symbol), encoded by `codec.encode_commands`.

    `trace` is the `trace_id` of its first traced command, for those who watch the queue; "" when none is.
    """

    partition: int
    group: str
    dedup_id: str
    body: str
    trace: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """One received message. It is invisible to others until deleted or until its visibility runs out."""

    message_id: str
    receipt: str
    group: str
    body: str
    sent_at_ms: int
    receive_count: int


class CommandSink(Protocol):
    """The gateway's half of the orders queues."""

    async def send(self, partition: int, messages: Sequence[CommandMessage]) -> None:
        """Send up to ten messages, each of another group, in one call.

        The same dedup_id within five minutes is taken once, so an Ambiguous send may be repeated as it is.
        Raises Unavailable or Throttled if any of them was not taken (some may have been): repeat all of them.
        """
        ...


class CommandSource(Protocol):
    """The matcher's half."""

    async def receive(self, partition: int, wait_s: float) -> Sequence[Delivery]:
        """Up to ten messages, in order within a group; waits up to `wait_s` for the first."""
        ...

    async def delete(self, partition: int, receipts: Sequence[str]) -> None:
        """Acknowledge up to ten. A receipt whose visibility ran out is passed over: the repeat is dropped later."""
        ...
