"""One shard, read from its checkpoint to its end.

The reader reads ahead while a group is being settled; all that has arrived by then is the next group. What is stored as
the shard's checkpoint is always a record that is settled together with all before it: the end of the group before.

A partition that is halted by a gap is tried again by reading the shard anew, first from the checkpoint, then from the
oldest record kept; the other partitions of the shard go on meanwhile, and the checkpoint stands still.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import structlog

from exchange_adapters.group_commit import GroupCommit
from exchange_adapters.system import Readiness
from exchange_core.errors import Gone
from exchange_core.ports import ExecutionSource, StreamPage, StreamRecord
from exchange_persister.apply import Applier
from exchange_persister.faults import Outage, StoppedError, is_set_within, persist

_FIRST_REREAD_S: Final = 1.0
_LONGEST_REREAD_S: Final = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class ReaderSettings:
    """How a shard is read; see Config."""

    group_slots_max: int
    group_bytes_max: int
    poll_interval_s: float


class ShardReader:
    """Reads one shard to its end or until `stopping` is set; used once."""

    def __init__(
        self,
        shard_id: str,
        source: ExecutionSource,
        applier: Applier,
        readiness: Readiness,
        settings: ReaderSettings,
        stopping: asyncio.Event,
    ) -> None:
        self._shard_id = shard_id
        self._source = source
        self._applier = applier
        self._readiness = readiness
        self._settings = settings
        self._stopping = stopping
        self._commits: GroupCommit[StreamRecord, None] = GroupCommit(
            self._write,
            max_items=settings.group_slots_max,
            max_size=settings.group_bytes_max,
            max_waiting=2 * settings.group_slots_max,
            size_of=lambda record: len(record.data),
        )
        self._reading = Outage("stream", stopping, lambda is_up: readiness.set("stream", is_up), shard=shard_id)
        self._settling = Outage("settlement", stopping, self._tell_settlement, shard=shard_id)
        self._outstanding: list[asyncio.Future[None]] = []
        self._checkpoint: str | None = None
        self._is_halted = False
        self._is_failed = False
        self._reread_count = 0
        self._reread_at_s: float | None = None
        self._log = structlog.get_logger().bind(shard=shard_id)
        self.behind_ms = 0
        """How far the last page was from the newest record."""

    @property
    def depth(self) -> int:
        """How many slots were read and wait for their group."""
        return self._commits.depth

    async def run(self, checkpoint: str | None) -> bool:
        """Read on after the checkpoint. Returns whether the shard is settled to its end, so that its children may be
        read; raises Fatal."""
        self._checkpoint = checkpoint
        try:
            async with self._commits:
                return await self._read_on(checkpoint)
        except StoppedError:
            return False
        except Gone:
            self._log.warning("shard_gone")  # older than the stream's retention; what it held, the numbers tell
            return True
        finally:
            await asyncio.gather(*self._outstanding, return_exceptions=True)

    async def _read_on(self, after: str | None) -> bool:
        iterator: str | None = None
        while not self._stopping.is_set():
            iterator = iterator or await self._iterator(after)
            try:
                page = await self._read(iterator)
            except Gone:
                iterator = None
                continue
            if page.records:
                after = page.records[-1].sequence_number
                self._outstanding.extend(self._commits.submit(record) for record in page.records)
            iterator = page.next_iterator
            await self._collect(0 if iterator is None else self._settings.group_slots_max)
            if iterator is None and not self._is_halted:
                return True
            if self._is_at_tip(page):
                if await self._must_reread():
                    after, iterator = self._reread_from(), None
                await is_set_within(self._stopping, self._settings.poll_interval_s)
        return False

    async def _iterator(self, after: str | None) -> str:
        return await persist(lambda: self._source.iterator(self._shard_id, after), self._reading)

    async def _read(self, iterator: str) -> StreamPage:
        page = await persist(lambda: self._source.read(iterator, self._settings.group_slots_max), self._reading)
        self.behind_ms = page.behind_ms
        return page

    def _is_at_tip(self, page: StreamPage) -> bool:
        return page.next_iterator is None or (
            page.behind_ms == 0 and len(page.records) < self._settings.group_slots_max
        )

    async def _collect(self, left: int) -> None:
        """Wait until at most `left` records are neither settled nor halted; raises what their group raised."""
        done = 0
        while len(self._outstanding) - done > left or (
            done < len(self._outstanding) and self._outstanding[done].done()
        ):
            await self._outstanding[done]
            done += 1
        del self._outstanding[:done]

    async def _must_reread(self) -> bool:
        """At the newest record: whether it is time to try a halted partition again."""
        now_s = asyncio.get_running_loop().time()
        if not self._is_halted:
            if not self._outstanding:
                self._reread_count, self._reread_at_s = 0, None
            return False
        if self._reread_at_s is None:
            pause_s = min(_FIRST_REREAD_S * 2 ** min(self._reread_count, 10), _LONGEST_REREAD_S)
            self._reread_at_s = now_s + pause_s
        if now_s < self._reread_at_s:
            return False
        await self._collect(0)
        return True

    def _reread_from(self) -> str | None:
        """The record after which the shard is read anew: the checkpoint, or None for the oldest one."""
        after = self._checkpoint if self._reread_count == 0 else None
        self._log.error("shard_read_again", after=after, halts=len(self._applier.halts))
        self._reread_count += 1
        self._reread_at_s, self._is_halted = None, False
        return after

    async def _write(self, records: Sequence[StreamRecord]) -> Sequence[None]:
        """Settle one group, however long that takes. After a failure nothing more is written: it would be a gap."""
        if self._is_failed:
            raise StoppedError
        self._is_failed = True
        await self._settle(records)
        self._is_failed = False
        return [None] * len(records)

    async def _settle(self, records: Sequence[StreamRecord]) -> None:
        checkpoint = None if self._checkpoint is None else (self._shard_id, self._checkpoint)
        while True:
            outcome = await self._applier.apply(records, checkpoint=checkpoint)
            if not outcome.errors:
                break
            await self._settling.pause(outcome.errors[0])
        self._is_halted = self._is_halted or bool(outcome.unsettled)
        if not self._is_halted:
            self._checkpoint = records[-1].sequence_number
        self._settling.over()

    def _tell_settlement(self, is_up: bool) -> None:
        self._readiness.set("settlement", is_up and not self._applier.halts)
