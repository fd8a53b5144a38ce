"""What only scripted faults and virtual time can show of the database; the rest is in tests/conformance."""

import asyncio
from collections.abc import Callable

import pytest

from exchange_adapters.sim import Faults, SimDatabaseReader, SimProjections
from exchange_adapters.sim.virtual_time import in_virtual_time
from exchange_core.codec import Slot
from exchange_core.errors import Ambiguous, Conflict, Fatal, PortError, Unavailable
from exchange_core.events import Event, OrderTriggered


def slot(n: int, *events: Event) -> Slot:
    return Slot(partition=0, n=n, at_ms=n, fed_through=n - 1, writer="test", events=events)


async def record(projections: SimProjections, make: Callable[[int], Slot] = slot) -> None:
    async with projections.begin(0) as projection:
        await projection.record([make(projection.position + 1)])


@in_virtual_time
async def test_a_commit_that_broke_off_may_or_may_not_have_happened():
    faults = Faults()
    projections = SimProjections(faults=faults)
    faults.script("database.commit", ["lost", "after"])
    for position in (0, 1):
        with pytest.raises(Ambiguous):
            await record(projections)
        assert len(projections.recorded(0)) == position
    await record(projections)
    assert [one.n for one in projections.recorded(0)] == [1, 2]


@in_virtual_time
async def test_a_database_that_is_down_is_unavailable():
    faults = Faults()
    projections = SimProjections(faults=faults)
    reader = SimDatabaseReader(projections, faults=faults)
    faults.down("database", "reader")
    for call in (record(projections), projections.checkpoints(), reader.positions()):
        with pytest.raises(Unavailable):
            await call
    faults.up()
    await record(projections)
    assert (await reader.positions())[0].slot == 1


@in_virtual_time
async def test_who_waits_too_long_for_a_locked_partition_gets_a_conflict():
    projections = SimProjections()

    async def holds_the_lock() -> None:
        async with projections.begin(0):
            await asyncio.sleep(15)

    holder = asyncio.create_task(holds_the_lock())
    await asyncio.sleep(0.1)
    with pytest.raises(Conflict):
        await record(projections)
    await holder
    await record(projections)


@in_virtual_time
async def test_a_reader_lags_by_as_much_as_it_is_told():
    projections = SimProjections()
    reader = SimDatabaseReader(projections, lag_ms=500)
    await record(projections)
    await asyncio.sleep(0.4)
    await record(projections)
    assert list(await reader.positions()) == []
    await asyncio.sleep(0.1)
    assert (await reader.positions())[0].slot == 1
    await asyncio.sleep(0.4)
    assert (await reader.positions())[0].slot == 2


@in_virtual_time
async def test_events_that_do_not_follow_from_the_recorded_ones_are_refused():
    projections = SimProjections()
    triggered = OrderTriggered(seq=1, symbol="BTCUSDT", cause=1, order_id=1, user_id="alice")
    with pytest.raises(Fatal):
        await record(projections, lambda n: slot(n, triggered))
    assert projections.recorded(0) == ()
    assert issubclass(Fatal, PortError)
