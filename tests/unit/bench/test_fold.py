"""What the bench measures is the recovery: it arrives at the very state that the journal was written from."""

from collections.abc import Sequence

from bench.fold import measure_fold
from bench.long_journal import PARTITION, LongJournal
from exchange_adapters.sim import SimCloud
from exchange_core.topology import Topology
from exchange_matcher.slots import EncodedSlot

EVENTS = 1_500
SNAPSHOT_SLOTS = 20


async def test_with_any_snapshot_or_none_the_journals_end_is_reached() -> None:
    cloud = SimCloud.build(Topology(partitions=1))

    async def keep(slots: Sequence[EncodedSlot]) -> None:
        for one in slots:
            await cloud.journal.put(PARTITION, one.slot.n, one.data)

    grown = LongJournal(keep, snapshot_slots=SNAPSHOT_SLOTS)
    await grown.grow(EVENTS)
    whole = await measure_fold(cloud.journal, cloud.stream, cloud.snapshots)
    assert (whole.slots, whole.events) == (grown.slots, grown.events) and grown.events >= EVENTS

    await cloud.snapshots.put(PARTITION, *grown.due_snapshot())
    tail = await measure_fold(cloud.journal, cloud.stream, cloud.snapshots)
    assert tail.slots == SNAPSHOT_SLOTS - 1 and 0 < tail.events < whole.events

    await cloud.snapshots.put(PARTITION, *grown.snapshot())
    last = await measure_fold(cloud.journal, cloud.stream, cloud.snapshots)
    assert (last.slots, last.events) == (0, 0)
    assert {whole.state_hash, tail.state_hash, last.state_hash} == {grown.state_hash()}
