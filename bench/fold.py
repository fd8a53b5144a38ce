"""One run of the matcher's own `recover`, taken apart: what it read, restored, decoded and folded, in seconds."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from bench.long_journal import PARTITION
from exchange_core.codec import decode_slot
from exchange_core.engine import PartitionEngine
from exchange_core.ports import ExecutionSink, JournalReader, SnapshotStore
from exchange_matcher.collector import collector_paused
from exchange_matcher.commit import Journal, SlotCommit
from exchange_matcher.recovery import recover
from exchange_matcher.retry import Outage

STALL_POLL_S: Final = 0.005


@dataclass(frozen=True, slots=True, kw_only=True)
class FoldResult:
    """Seconds. `total_s` is the whole run; `reading_s` was spent waiting for journal and snapshots, and decoding and
    restoring were timed once more by themselves: `folding_s` is what is left. `stall_s`: for how long at most nothing
    else in the process got a turn, its lease's renewal included. `slots` and `events` are what was folded."""

    total_s: float
    reading_s: float
    restoring_s: float
    decoding_s: float
    folding_s: float
    stall_s: float
    slots: int
    events: int
    state_hash: str


async def measure_fold(journal: Journal, stream: ExecutionSink, snapshots: SnapshotStore) -> FoldResult:
    """Recover from these stores as a matcher does that has just got its lease."""
    timed_journal, timed_snapshots = _TimedJournal(journal), _TimedSnapshots(snapshots)
    stopping = asyncio.Event()
    commit = SlotCommit(journal, stream, partition=PARTITION, stopping=stopping, on_blocked=lambda _: None)
    started_s = time.perf_counter()
    async with _watching_stalls() as stalls:
        recovered = await recover(
            PARTITION,
            snapshots=timed_snapshots,
            journal=timed_journal,
            commit=commit,
            outage=Outage("recovery", stopping, partition=PARTITION),
        )
        total_s = time.perf_counter() - started_s
    after, slots = recovered.snapshot_n, timed_journal.slots
    reading_s = timed_journal.waited_s + timed_snapshots.waited_s
    restoring_s = _time_restore(timed_snapshots.found)
    decoding_s, events = _time_decode(data for n, data in slots.items() if n > after)
    return FoldResult(
        total_s=total_s,
        reading_s=reading_s,
        restoring_s=restoring_s,
        decoding_s=decoding_s,
        folding_s=max(0.0, total_s - reading_s - restoring_s - decoding_s),
        stall_s=max(stalls),
        slots=recovered.n - after,
        events=events,
        state_hash=recovered.engine.state_hash(),
    )


class _TimedJournal:
    """JournalReader that adds up how long its answers took, and keeps them."""

    def __init__(self, journal: JournalReader) -> None:
        self.waited_s = 0.0
        self.slots: dict[int, bytes] = {}
        self._journal = journal

    async def read(self, partition: int, after: int, limit: int) -> Sequence[tuple[int, bytes]]:
        started_s = time.perf_counter()
        page = await self._journal.read(partition, after, limit)
        self.waited_s += time.perf_counter() - started_s
        self.slots.update(page)
        return page


class _TimedSnapshots:
    """The same of a SnapshotStore."""

    def __init__(self, snapshots: SnapshotStore) -> None:
        self.waited_s = 0.0
        self.found: bytes | None = None
        self._snapshots = snapshots

    async def put(self, partition: int, n: int, data: bytes) -> None:
        await self._snapshots.put(partition, n, data)

    async def latest(self, partition: int) -> tuple[int, bytes] | None:
        started_s = time.perf_counter()
        newest = await self._snapshots.latest(partition)
        self.waited_s += time.perf_counter() - started_s
        self.found = None if newest is None else newest[1]
        return newest


def _time_restore(snapshot: bytes | None) -> float:
    started_s = time.perf_counter()
    if snapshot is not None:
        with collector_paused():
            PartitionEngine.restore(snapshot)
    return time.perf_counter() - started_s


def _time_decode(slots: Iterable[bytes]) -> tuple[float, int]:
    """(seconds, events)"""
    started_s, events = time.perf_counter(), 0
    for data in slots:
        events += len(decode_slot(data).events)
    return time.perf_counter() - started_s, events


@contextlib.asynccontextmanager
async def _watching_stalls() -> AsyncIterator[list[float]]:
    """How late a task was that wanted a turn every STALL_POLL_S, each time, in seconds."""
    late_s = [0.0]

    async def watch() -> None:
        while True:
            asked_s = time.perf_counter()
            await asyncio.sleep(STALL_POLL_S)
            late_s.append(time.perf_counter() - asked_s - STALL_POLL_S)

    watching = asyncio.create_task(watch())
    await asyncio.sleep(0)
    try:
        yield late_s
        await asyncio.sleep(STALL_POLL_S)
    finally:
        watching.cancel()
        await asyncio.wait([watching])
