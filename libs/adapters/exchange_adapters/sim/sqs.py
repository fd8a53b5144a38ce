"""SQS FIFO queues in memory, one a partition, as `exchange_adapters.sqs` finds them in high-throughput mode.

Promised: order within a group; while a message of a group is in flight, none of that group is handed out; what was
not deleted comes again when its visibility has run out, or at once to who asks again after an answer that was lost;
the same dedup_id in a group within five minutes is taken once, even after it was deleted; after `max_receives` a
message goes to the dead letters. Time is the clock's.
"""

import asyncio
from collections import OrderedDict, deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final, Self

from exchange_adapters.sim.faults import Fault, Faults
from exchange_adapters.sim.store import SimStore
from exchange_adapters.sqs import received_again
from exchange_core.errors import Fatal, Unavailable
from exchange_core.ports import Clock, CommandMessage, Delivery
from exchange_core.topology import QueueSpec, Topology

DEDUP_MS: Final = 5 * 60 * 1000
MAX_BATCH: Final = 10
MAX_BODY_BYTES: Final = 256 * 1024
MAX_WAIT_S: Final = 20.0
MAX_IN_FLIGHT: Final = 20_000
MAX_KEPT: Final = 200_000
"""SQS keeps any number; a simulation that lets this many pile up has lost its consumer."""


@dataclass(slots=True)
class _Message:
    message_id: str
    group: str
    dedup_id: str
    body: str
    sent_at_ms: int
    receive_count: int = 0
    receipt: str = ""
    visible_at_ms: int = 0


@dataclass(slots=True)
class _Queue:
    spec: QueueSpec
    groups: "OrderedDict[str, deque[_Message]]" = field(default_factory=OrderedDict)
    dead: list[_Message] = field(default_factory=list)
    dedup: "OrderedDict[tuple[str, str], int]" = field(default_factory=OrderedDict)
    in_flight: dict[str, _Message] = field(default_factory=dict)
    changed: asyncio.Event = field(default_factory=asyncio.Event)
    last_number: int = 0

    def next_number(self) -> int:
        self.last_number += 1
        return self.last_number

    def wake(self) -> None:
        """Let every long poll look again."""
        self.changed.set()
        self.changed = asyncio.Event()

    def put(self, message: CommandMessage, now_ms: int) -> None:
        key = (message.group, message.dedup_id)
        if key in self.dedup:
            return
        self.dedup[key] = now_ms
        number = self.next_number()
        kept = _Message(
            message_id=f"message-{number}",
            group=message.group,
            dedup_id=message.dedup_id,
            body=message.body,
            sent_at_ms=now_ms,
        )
        self.groups.setdefault(message.group, deque()).append(kept)

    def expire(self, now_ms: int) -> None:
        """Forget old dedup ids and messages past their retention; end the flights whose visibility ran out."""
        while self.dedup and next(iter(self.dedup.values())) <= now_ms - DEDUP_MS:
            self.dedup.popitem(last=False)
        for receipt, message in list(self.in_flight.items()):
            if message.visible_at_ms <= now_ms:
                del self.in_flight[receipt]
                message.receipt = ""
        oldest_ms = now_ms - self.spec.retention_s * 1000
        for group, messages in list(self.groups.items()):
            while messages and messages[0].sent_at_ms <= oldest_ms:
                self.in_flight.pop(messages.popleft().receipt, None)
            if not messages:
                del self.groups[group]

    def take(self, now_ms: int) -> list[Delivery]:
        """Up to ten messages of the groups with nothing in flight, oldest group first."""
        taken: list[Delivery] = []
        blocked = {message.group for message in self.in_flight.values()}
        free = [messages for group, messages in self.groups.items() if group not in blocked]
        for messages in sorted(free, key=lambda messages: messages[0].sent_at_ms):
            for message in self._living(messages):
                if len(taken) == MAX_BATCH or len(self.in_flight) >= MAX_IN_FLIGHT:
                    return taken
                taken.append(self._fly(message, now_ms))
        return taken

    def _living(self, messages: deque[_Message]) -> Iterator[_Message]:
        """The messages of a group in order; those received too often go to the dead letters instead."""
        for message in list(messages):
            if message.receive_count >= self.spec.max_receives:
                messages.remove(message)
                self.dead.append(message)
                continue
            yield message
        if not messages:
            self.groups.pop(self.dead[-1].group, None)

    def _fly(self, message: _Message, now_ms: int) -> Delivery:
        message.receive_count += 1
        message.receipt = f"{message.message_id}/{self.next_number()}"
        message.visible_at_ms = now_ms + self.spec.visibility_s * 1000
        self.in_flight[message.receipt] = message
        return Delivery(
            message_id=message.message_id,
            receipt=message.receipt,
            group=message.group,
            body=message.body,
            sent_at_ms=message.sent_at_ms,
            receive_count=message.receive_count,
        )

    def hand_out_again(self, deliveries: Sequence[Delivery], now_ms: int) -> list[Delivery]:
        """The same messages once more, if none of them was deleted or has become visible meanwhile; else nothing."""
        if not all(delivery.receipt in self.in_flight for delivery in deliveries):
            return []
        for delivery in deliveries:
            self.in_flight[delivery.receipt].visible_at_ms = now_ms + self.spec.visibility_s * 1000
        return [received_again(delivery) for delivery in deliveries]

    def remove(self, receipt: str) -> None:
        message = self.in_flight.pop(receipt, None)
        if message is None:
            return
        messages = self.groups[message.group]
        messages.remove(message)
        if not messages:
            del self.groups[message.group]

    def next_visible_ms(self) -> int | None:
        return min((message.visible_at_ms for message in self.in_flight.values()), default=None)

    @property
    def depth(self) -> int:
        return sum(map(len, self.groups.values()))


class SimCommandQueues(SimStore):
    """The orders queues: CommandSink and CommandSource in one."""

    def __init__(
        self, topology: Topology | None = None, *, clock: Clock | None = None, faults: Faults | None = None
    ) -> None:
        super().__init__(clock=clock, faults=faults)
        self._queues = [_Queue(spec) for spec in (topology or Topology()).queues]
        self._unanswered: dict[int, list[Delivery]] = {}

    def seen_by(self, faults: Faults) -> Self:
        """The same queues as another host sees them, to whom no answer is owed."""
        view = super().seen_by(faults)
        view._unanswered = {}
        return view

    async def send(self, partition: int, messages: Sequence[CommandMessage]) -> None:
        """As CommandSink.send. Operation `sqs.send`; knows Fault.PARTIAL."""
        queue = self._queues[partition]
        _check_batch(partition, messages)
        if not messages:
            return
        async with self._faults.call("sqs.send") as fault:
            now_ms = self._clock.now_ms()
            queue.expire(now_ms)
            taken = messages[: len(messages) // 2] if fault is Fault.PARTIAL else messages
            for message in taken:
                queue.put(message, now_ms)
            assert queue.depth <= MAX_KEPT, "nobody receives from this queue"
            queue.wake()
            if fault is Fault.PARTIAL:
                raise Unavailable("sqs.send: some of the messages were not taken")

    async def receive(self, partition: int, wait_s: float) -> Sequence[Delivery]:
        """As CommandSource.receive. Operation `sqs.receive`; a lost answer leaves its messages in flight, and this
        host's next call gets them, as by the attempt id in `exchange_adapters.sqs`."""
        queue = self._queues[partition]
        taken = self._unanswered.pop(partition, [])
        try:
            async with self._faults.call("sqs.receive", is_read=True):
                taken = self._again(queue, taken) or await self._poll(queue, min(wait_s, MAX_WAIT_S))
        except (Unavailable, asyncio.CancelledError):
            self._unanswered[partition] = taken
            raise
        return taken

    async def delete(self, partition: int, receipts: Sequence[str]) -> None:
        """As CommandSource.delete. Operation `sqs.delete`."""
        assert len(receipts) <= MAX_BATCH, "SQS deletes at most ten in a call"
        queue = self._queues[partition]
        if not receipts:
            return
        async with self._faults.call("sqs.delete"):
            queue.expire(self._clock.now_ms())
            for receipt in receipts:
                queue.remove(receipt)
            queue.wake()

    def depth(self, partition: int) -> int:
        """How many messages the queue keeps, in flight or not."""
        return self._queues[partition].depth

    def in_flight(self, partition: int) -> int:
        """How many of them are in flight."""
        self._queues[partition].expire(self._clock.now_ms())
        return len(self._queues[partition].in_flight)

    def dead_letters(self, partition: int) -> Sequence[str]:
        """The bodies that were received too often, oldest first."""
        return [message.body for message in self._queues[partition].dead]

    def _again(self, queue: _Queue, unanswered: Sequence[Delivery]) -> list[Delivery]:
        if not unanswered:
            return []
        now_ms = self._clock.now_ms()
        queue.expire(now_ms)
        return queue.hand_out_again(unanswered, now_ms)

    async def _poll(self, queue: _Queue, wait_s: float) -> list[Delivery]:
        loop = asyncio.get_running_loop()
        end_s = loop.time() + wait_s
        while True:
            now_ms = self._clock.now_ms()
            queue.expire(now_ms)
            taken = queue.take(now_ms)
            rest_s = end_s - loop.time()
            if taken or rest_s <= 0:
                return taken
            due_ms = queue.next_visible_ms()
            if due_ms is not None:
                rest_s = min(rest_s, max(due_ms - now_ms, 1) / 1000)
            try:
                async with asyncio.timeout(rest_s):
                    await queue.changed.wait()
            except TimeoutError:
                pass


def _check_batch(partition: int, messages: Sequence[CommandMessage]) -> None:
    assert len(messages) <= MAX_BATCH, "SQS takes ten in a call"
    assert all(message.partition == partition for message in messages), "each to its own queue"
    assert len({message.group for message in messages}) == len(messages), "each of another group"
    if sum(len(message.body.encode()) for message in messages) > MAX_BODY_BYTES:
        raise Fatal("more than 256 KiB in a call")
