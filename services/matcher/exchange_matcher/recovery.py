"""How a partition comes to life, after a deploy and after kill -9 alike: snapshot, journal, stream."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass
from functools import partial
from typing import Final

import structlog

from exchange_core.codec import Slot, decode_slot
from exchange_core.engine import PartitionEngine
from exchange_core.errors import Fatal, PortError
from exchange_core.ports import JournalReader, SnapshotStore
from exchange_core.wire import DecodeError
from exchange_matcher.commit import SlotCommit
from exchange_matcher.retry import PASSING_FAULTS, Outage, persist
from exchange_matcher.turns import in_turns

PAGE_SLOTS: Final = 100
_SNAPSHOT_PATIENCE_S: Final = 10.0
"""How long S3 is asked again: what is folded in place of a snapshot may be a journal of hours."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Recovered:
    """The partition as the journal says it is: the engine after slot `n`, which was written at `at_ms` (0: there is
    none); the newest snapshot is of slot `snapshot_n`."""

    engine: PartitionEngine
    n: int
    at_ms: int
    snapshot_n: int


async def recover(
    partition: int, *, snapshots: SnapshotStore, journal: JournalReader, commit: SlotCommit, outage: Outage
) -> Recovered:
    """The newest snapshot, the journal after it, and into the stream what may be missing there.

    The head slot says through which slot the stream was fed when it was written; all after that is fed again, for a
    matcher may have died between journal and stream. Raises Fatal when the journal contradicts itself or lacks what a
    snapshot has seen: then a store was lost, and going on would invent a past.
    """
    log = structlog.get_logger().bind(partition=partition)
    engine, base = await _newest_snapshot(partition, snapshots, outage)
    head: Slot | None = None
    async with aclosing(_slots(partition, journal, max(base - 1, 0), outage)) as slots:
        async for slot, _ in slots:
            if slot.n > base:
                engine.apply_slot(slot)
                await asyncio.sleep(0)  # a long journal must not keep the other partitions and the leases waiting
            head = slot
    if head is None:
        if base:
            raise Fatal(f"partition {partition} has a snapshot of slot {base} and no journal")
        log.info("partition_is_new")
        return Recovered(engine=engine, n=0, at_ms=0, snapshot_n=0)
    async with aclosing(_slots(partition, journal, head.fed_through, outage)) as unfed:
        async for _, data in unfed:
            await commit.feed(data)
    log.info("partition_recovered", slot=head.n, snapshot_slot=base, fed_again=head.n - head.fed_through)
    return Recovered(engine=engine, n=head.n, at_ms=head.at_ms, snapshot_n=base)


async def _newest_snapshot(partition: int, snapshots: SnapshotStore, outage: Outage) -> tuple[PartitionEngine, int]:
    """The journal alone is enough, so a snapshot that cannot be had or read costs time, nothing else."""
    log = structlog.get_logger().bind(partition=partition)
    newest = await _read_newest(partition, snapshots, outage)
    if newest is not None:
        n, data = newest
        try:
            return await in_turns(PartitionEngine.restoring(data)), n
        except DecodeError as error:
            log.warning("snapshot_unreadable", slot=n, error=str(error))
    return PartitionEngine(partition), 0


async def _read_newest(partition: int, snapshots: SnapshotStore, outage: Outage) -> tuple[int, bytes] | None:
    loop = asyncio.get_running_loop()
    patient_until_s = loop.time() + _SNAPSHOT_PATIENCE_S
    while True:
        try:
            return await snapshots.latest(partition)
        except PortError as error:
            if loop.time() >= patient_until_s or not isinstance(error, PASSING_FAULTS):
                structlog.get_logger().warning("snapshot_unavailable", partition=partition, error=str(error))
                return None
            await outage.pause(error)


async def _slots(
    partition: int, journal: JournalReader, after: int, outage: Outage
) -> AsyncGenerator[tuple[Slot, bytes], None]:
    """All slots behind `after`, each checked to be the next."""
    while True:
        page = await persist(partial(journal.read, partition, after, PAGE_SLOTS), outage)
        if not page:
            return
        for n, data in page:
            try:
                slot = decode_slot(data)
            except DecodeError as error:
                raise Fatal(f"slot {n} of partition {partition} cannot be read: {error}") from error
            if (slot.partition, slot.n) != (partition, n) or n != after + 1:
                raise Fatal(f"partition {partition}: slot {n} holds ({slot.partition}, {slot.n}) after {after}")
            yield slot, data
            after = n
