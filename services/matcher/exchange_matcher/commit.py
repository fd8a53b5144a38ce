"""Making a slot true and known: the conditional journal put, then the stream."""

import asyncio
import time
from collections.abc import Callable
from typing import Protocol

from exchange_core.errors import Ambiguous
from exchange_core.ports import ExecutionSink, JournalReader, JournalWriter, SlotTakenError
from exchange_matcher.retry import PASSING_FAULTS, Outage, persist
from exchange_matcher.slots import EncodedSlot


class Journal(JournalWriter, JournalReader, Protocol):
    """Both halves: the matcher alone has them."""


class SlotCommit:
    """Writes the slots of one partition in order, each fed to the stream before the next is put.

    `on_blocked` hears when the stream starts and stops failing: with it down nothing goes on.
    """

    def __init__(
        self,
        journal: Journal,
        stream: ExecutionSink,
        *,
        partition: int,
        stopping: asyncio.Event,
        on_blocked: Callable[[bool], None],
    ) -> None:
        self._journal = journal
        self._stream = stream
        self._partition = partition
        self._on_blocked = on_blocked
        self._journal_outage = Outage("journal", stopping, partition=partition)
        self._stream_outage = Outage("stream", stopping, partition=partition)

    async def commit(self, encoded: EncodedSlot) -> int:
        """Journal the slot and feed it; returns when it was journaled, in nanoseconds since the epoch. Raises
        SlotTakenError when another matcher's slot stands there: recover."""
        await self._put(encoded.slot.n, encoded.data)
        journaled_ns = time.time_ns()
        await self.feed(encoded.data)
        return journaled_ns

    async def look_beyond(self, n: int) -> None:
        """Raises SlotTakenError when another matcher has written after slot `n`: whoever writes no slot himself would
        not learn of it, and hold what he knows for the latest."""
        if await self._journal.read(self._partition, n, 1):
            raise SlotTakenError(f"slot {n + 1} of partition {self._partition} is another matcher's")

    async def feed(self, data: bytes) -> None:
        """Add a journaled slot to the stream, as often as it takes; readers pass over repeats."""

        async def append() -> None:
            try:
                await self._stream.append(self._partition, data)
            except PASSING_FAULTS:
                self._on_blocked(True)
                raise

        await persist(append, self._stream_outage)
        self._on_blocked(False)

    async def _put(self, n: int, data: bytes) -> None:
        """A refusal may be the echo of our own earlier attempt, so it is read back like an ambiguous one."""
        while True:
            try:
                await self._journal.put(self._partition, n, data)
                self._journal_outage.over()
                return
            except SlotTakenError:
                if await self._is_ours(n, data):
                    return
                raise
            except Ambiguous as error:
                if await self._is_ours(n, data):
                    return
                await self._journal_outage.pause(error)
            except PASSING_FAULTS as error:
                await self._journal_outage.pause(error)

    async def _is_ours(self, n: int, data: bytes) -> bool:
        """Whether slot n holds our bytes; False when it is empty. Raises SlotTakenError when it holds others'."""
        found = await persist(lambda: self._journal.read(self._partition, n - 1, 1), self._journal_outage)
        if not found:
            return False
        number, stored = found[0]
        if number == n and stored == data:
            return True
        raise SlotTakenError(f"slot {n} of partition {self._partition} is another matcher's")
