"""The shard readers: order, reading ahead, resharding, expired iterators, gaps that heal, and an orderly stop."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from random import Random

import pytest

from exchange_adapters.sim import Faults, Gate, SimCloud
from exchange_adapters.sim.kinesis import SimStream
from exchange_adapters.sim.virtual_time import in_virtual_time
from exchange_adapters.system import Readiness
from exchange_core.codec import Slot, encode_slot
from exchange_core.errors import Fatal
from exchange_core.ports import StreamPage
from exchange_persister.reader import ReaderSettings
from exchange_persister.worker import StreamWorker
from tests.eventually import eventually
from tests.unit.persister.journals import RandomMarket
from tests.unit.persister.test_apply import applier, assert_exact

SETTINGS = ReaderSettings(group_slots_max=5, group_bytes_max=100_000, poll_interval_s=0.1)


@asynccontextmanager
async def working(cloud: SimCloud, settings: ReaderSettings = SETTINGS) -> AsyncIterator[Readiness]:
    """A persister at work on the cloud, stopped in good order on leaving."""
    stopping, readiness = asyncio.Event(), Readiness("database", "stream", "settlement")
    worker = StreamWorker(
        cloud.stream,
        cloud.projections,
        applier(cloud),
        readiness,
        settings,
        refresh_interval_s=5,
        stopping=stopping,
    )
    async with asyncio.TaskGroup() as group:
        group.create_task(worker.run())
        yield readiness
        stopping.set()


async def feed(stream: SimStream, *slots: Slot) -> None:
    for slot in slots:
        await stream.append(slot.partition, encode_slot(slot))


async def settled(cloud: SimCloud, partition: int, n: int) -> None:
    await eventually(lambda: len(cloud.projections.recorded(partition)) == n, timeout_s=600)


def journals(seed: int, count: int) -> list[list[Slot]]:
    random = Random(seed)
    return [RandomMarket(random, partition=p, symbol=f"BTCUSD{p}").slots(count) for p in range(2)]


@in_virtual_time
async def test_all_partitions_are_settled_and_a_restart_goes_on_from_the_checkpoint() -> None:
    first, second = journals(1, 30)
    counted = Faults()
    cloud = SimCloud.build(faults=counted)
    async with working(cloud) as readiness:
        await feed(cloud.stream, *first[:20], *second[:20])
        await settled(cloud, 0, 20)
        await settled(cloud, 1, 20)
        assert readiness.is_ready
    # it stored how far it was in each shard, at most one group behind
    reached = sorted(int(sequence) for sequence in cloud.projections.database.checkpoints.values())
    assert [last - own <= SETTINGS.group_slots_max for last, own in zip((20, 40), reached, strict=True)] == [True, True]
    reads = counted.calls["wallets.settle"]
    async with working(cloud):
        await feed(cloud.stream, *first[20:], *second[20:])
        await settled(cloud, 0, 30)
        await settled(cloud, 1, 30)
    assert counted.calls["wallets.settle"] > reads
    assert_exact(cloud, first, second)


@in_virtual_time
async def test_it_reads_on_while_a_group_is_being_settled_and_settles_the_rest_in_one_go() -> None:
    slots, _ = journals(2, 12)
    slow = Faults()
    gate = Gate()
    slow.script("history.put", [gate])
    cloud = SimCloud.build(faults=slow)
    async with working(cloud):
        await feed(cloud.stream, slots[0])
        await gate.reached.wait()
        await feed(cloud.stream, *slots[1:5])
        await asyncio.sleep(1)
        assert not cloud.projections.recorded(0)
        gate.open.set()
        await settled(cloud, 0, 5)
    assert [len(run) for _, run in cloud.projections.database.commits] == [1, 4]


@in_virtual_time
async def test_what_waits_is_bounded() -> None:
    slots, _ = journals(2, 60)
    slow = Faults()
    gate = Gate()
    slow.script("history.put", [gate])
    cloud = SimCloud.build(faults=slow)
    await feed(cloud.stream, *slots)
    read_on, taken = cloud.stream.read, [0]

    async def counting(iterator: str, limit: int) -> StreamPage:
        page = await read_on(iterator, limit)
        taken[0] += len(page.records)
        return page

    cloud.stream.read = counting  # type: ignore[method-assign]
    async with working(cloud):
        await gate.reached.wait()
        await asyncio.sleep(60)
        taken_early = taken[0]
        gate.open.set()
        await settled(cloud, 0, 60)
    assert 0 < taken_early <= 2 * SETTINGS.group_slots_max
    assert max(len(run) for _, run in cloud.projections.database.commits) <= SETTINGS.group_slots_max


@in_virtual_time
async def test_the_failure_of_one_reader_ends_the_others_even_in_an_outage() -> None:
    slots, _ = journals(2, 5)
    faults = Faults()
    faults.down("wallets")
    cloud = SimCloud.build(faults=faults)
    await feed(cloud.stream, *slots)
    read_on = cloud.stream.read

    async def read(iterator: str, limit: int) -> StreamPage:
        page = await read_on(iterator, limit)
        if not page.records and faults.calls["wallets.settle"] > 20:
            raise Fatal("the empty shard is gone for good")
        return page

    cloud.stream.read = read  # type: ignore[method-assign]
    with pytest.RaisesGroup(Fatal, flatten_subgroups=True):
        async with asyncio.timeout(60), working(cloud):
            await asyncio.sleep(50)
    assert not cloud.projections.recorded(0)


@in_virtual_time
async def test_a_resharded_stream_is_read_parents_first() -> None:
    first, second = journals(3, 40)
    slow = Faults(Random(1))
    slow.set_delay("wallets", 1, 20)
    cloud = SimCloud.build(faults=slow)
    await feed(cloud.stream, *first[:10], *second[:10])
    async with working(cloud) as readiness:
        for shard in await cloud.stream.shards():
            cloud.stream.split(shard.shard_id)
        await feed(cloud.stream, *first[10:], *second[10:])
        await settled(cloud, 0, 40)
        await settled(cloud, 1, 40)
        assert readiness.is_ready
    assert_exact(cloud, first, second)
    # and a restart finds its way through the drained parents
    more = [RandomMarket(Random(1), partition=5, symbol="XRPUSD").slot()]
    async with working(cloud):
        await feed(cloud.stream, *more)
        await settled(cloud, 5, 1)


@in_virtual_time
async def test_an_iterator_that_expires_is_replaced() -> None:
    slots, _ = journals(4, 20)
    faults = Faults()
    faults.script("kinesis.read", [None, None, None, None, "gone", None, "gone", "empty", "gone"])
    cloud = SimCloud.build(faults=faults)
    await feed(cloud.stream, *slots[:10])
    async with working(cloud):
        await settled(cloud, 0, 10)
        await feed(cloud.stream, *slots[10:])
        await settled(cloud, 0, 20)
        await eventually(lambda: not faults.unspent)
    assert_exact(cloud, slots)


@pytest.mark.parametrize("store", ["kinesis", "database", "wallets", "history"])
def test_an_outage_of_any_store_is_waited_out_and_shows_in_readiness(store: str) -> None:
    @in_virtual_time
    async def scenario() -> None:
        slots, others = journals(5, 20)
        faults = Faults()
        cloud = SimCloud.build(faults=faults)
        await feed(cloud.stream, *slots[:5])
        async with working(cloud) as readiness:
            await settled(cloud, 0, 5)
            faults.down(store)
            matcher = cloud.seen_by(Faults())
            await feed(matcher.stream, *slots[5:], *others)
            await eventually(lambda: not readiness.is_ready, timeout_s=60)
            await asyncio.sleep(120)
            faults.up()
            await settled(cloud, 0, 20)
            await settled(cloud, 1, 20)
            await eventually(lambda: readiness.is_ready, timeout_s=60)
        assert_exact(cloud, slots, others)

    scenario()


@in_virtual_time
async def test_a_gap_halts_loudly_and_heals_when_the_matcher_feeds_again() -> None:
    slots, others = journals(6, 20)
    cloud = SimCloud.build()
    # GIVEN slot 8 never reached the stream (both partitions share a shard)
    await feed(cloud.stream, *slots[:7], *slots[8:15], *others[:10])
    async with working(cloud) as readiness:
        await settled(cloud, 0, 7)
        # THEN the other partition goes on, and the process says it is not ready
        await settled(cloud, 1, 10)
        await eventually(lambda: not readiness.as_dict()["settlement"])
        await asyncio.sleep(300)
        await feed(cloud.stream, *others[10:])
        await settled(cloud, 1, 20)
        assert len(cloud.projections.recorded(0)) == 7
        # WHEN the missing slots are fed at last
        await feed(cloud.stream, *slots[7:])
        await settled(cloud, 0, 20)
        await eventually(lambda: readiness.is_ready, timeout_s=120)
    assert_exact(cloud, slots, others)


@in_virtual_time
async def test_a_checkpoint_that_is_too_far_on_heals_from_the_oldest_record() -> None:
    slots, _ = journals(7, 20)
    cloud = SimCloud.build()
    await feed(cloud.stream, *slots)
    (shard,) = [
        shard.shard_id
        for shard in await cloud.stream.shards()
        if (await cloud.stream.read(await cloud.stream.iterator(shard.shard_id, None), 1)).records
    ]
    cloud.projections.database.checkpoints[shard] = "12"
    async with working(cloud):
        await settled(cloud, 0, 20)
    assert_exact(cloud, slots)


@in_virtual_time
async def test_a_stop_during_an_outage_does_not_hang_and_loses_nothing() -> None:
    slots, _ = journals(8, 20)
    faults = Faults()
    cloud = SimCloud.build(faults=faults)
    async with asyncio.timeout(60):
        async with working(cloud):
            await feed(cloud.stream, *slots)
            faults.down("wallets")
            await eventually(lambda: faults.calls["wallets.settle"] > 3)
    faults.up()
    async with working(cloud):
        await settled(cloud, 0, 20)
    assert_exact(cloud, slots)


@in_virtual_time
async def test_a_store_that_refuses_for_good_ends_the_process() -> None:
    slots, _ = journals(9, 3)
    cloud = SimCloud.build()
    await feed(cloud.stream, *slots)
    cloud.wallets.settle = _refuse  # type: ignore[method-assign]
    with pytest.RaisesGroup(Fatal, flatten_subgroups=True):
        async with working(cloud):
            await asyncio.sleep(60)


async def _refuse(*_: object, **__: object) -> None:
    raise Fatal("no permission")
