"""One run of the matcher's own `recover`, taken apart: what it read, restored, decoded and folded."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from bench.long_journal import PARTITION
from exchange_core.codec import decode_slot
from exchange_core.engine import PartitionEngine
from exchange_core.ports import ExecutionSink, JournalReader, SnapshotStore
from exchange_matcher.commit import Journal, SlotCommit
from exchange_matcher.recovery import recover
from exchange_matcher.retry import Outage

STALL_POLL_S: Final = 0.005


@dataclass(frozen=True, slots=True, kw_only=True)
class FoldResult:
    """Seconds. `total_s` is the whole run by the wall, `waiting_s` what of it journal and snapshots took to answer.
    `stall_s`: for how long at most nothing else in the process got a turn, its lease's renewal included. The others are
    CPU time of this process, which others' work on the machine leaves alone: `cpu_s` is all of it, `reading_s` that of
    the SDK, decoding and restoring were timed once more by themselves, and `folding_s` is what is left.
    `slots` and `events` are what was folded."""

    total_s: float
    waiting_s: float
    stall_s: float
    cpu_s: float
    reading_s: float
    restoring_s: float
    decoding_s: float
    folding_s: float
    slots: int
    events: int
    state_hash: str


async def measure_fold(journal: Journal, stream: ExecutionSink, snapshots: SnapshotStore) -> FoldResult:
    """Recover from these stores as a matcher does that has just got its lease."""
    timed_journal, timed_snapshots = _TimedJournal(journal), _TimedSnapshots(snapshots)
    stopping = asyncio.Event()
    commit = SlotCommit(journal, stream, partition=PARTITION, stopping=stopping, on_blocked=lambda _: None)
    clock = _Stopwatch()
    async with _watching_stalls() as stalls:
        with clock.running():
            recovered = await recover(
                PARTITION,
                snapshots=timed_snapshots,
                journal=timed_journal,
                commit=commit,
                outage=Outage("recovery", stopping, partition=PARTITION),
            )
    reading_s = timed_journal.clock.cpu_s + timed_snapshots.clock.cpu_s
    restoring_s = _time_restore(timed_snapshots.found)
    decoding_s, events = _time_decode(data for n, data in timed_journal.slots.items() if n > recovered.snapshot_n)
    return FoldResult(
        total_s=clock.wall_s,
        waiting_s=timed_journal.clock.wall_s + timed_snapshots.clock.wall_s,
        stall_s=max(stalls),
        cpu_s=clock.cpu_s,
        reading_s=reading_s,
        restoring_s=restoring_s,
        decoding_s=decoding_s,
        folding_s=max(0.0, clock.cpu_s - reading_s - restoring_s - decoding_s),
        slots=recovered.n - recovered.snapshot_n,
        events=events,
        state_hash=recovered.engine.state_hash(),
    )


class _Stopwatch:
    """Adds up, by the wall and in CPU time of this process, what ran under it; in seconds."""

    def __init__(self) -> None:
        self.wall_s = 0.0
        self.cpu_s = 0.0

    @contextlib.contextmanager
    def running(self) -> Iterator[None]:
        wall_s, cpu_s = time.perf_counter(), time.process_time()
        try:
            yield
        finally:
            self.wall_s += time.perf_counter() - wall_s
            self.cpu_s += time.process_time() - cpu_s


class _TimedJournal:
    """JournalReader that times its answers, and keeps them."""

    def __init__(self, journal: JournalReader) -> None:
        self.clock = _Stopwatch()
        self.slots: dict[int, bytes] = {}
        self._journal = journal

    async def read(self, partition: int, after: int, limit: int) -> Sequence[tuple[int, bytes]]:
        with self.clock.running():
            page = await self._journal.read(partition, after, limit)
        self.slots.update(page)
        return page


class _TimedSnapshots:
    """The same of a SnapshotStore."""

    def __init__(self, snapshots: SnapshotStore) -> None:
        self.clock = _Stopwatch()
        self.found: bytes | None = None
        self._snapshots = snapshots

    async def put(self, partition: int, n: int, data: bytes) -> None:
        await self._snapshots.put(partition, n, data)

    async def latest(self, partition: int) -> tuple[int, bytes] | None:
        with self.clock.running():
            newest = await self._snapshots.latest(partition)
        self.found = None if newest is None else newest[1]
        return newest


def _time_restore(snapshot: bytes | None) -> float:
    clock = _Stopwatch()
    if snapshot is not None:
        with clock.running():
            PartitionEngine.restore(snapshot)
    return clock.cpu_s


def _time_decode(slots: Iterable[bytes]) -> tuple[float, int]:
    """(seconds, events)"""
    clock, events = _Stopwatch(), 0
    with clock.running():
        for data in slots:
            events += len(decode_slot(data).events)
    return clock.cpu_s, events


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
