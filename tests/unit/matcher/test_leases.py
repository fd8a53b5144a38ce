"""Who works which partition: fair shares, quick take-over, orderly hand-over."""

import asyncio

from exchange_adapters.sim import SimClock, SimLeases
from exchange_adapters.sim.virtual_time import in_virtual_time
from exchange_matcher.leases import PartitionLeases, partition_lease
from tests.eventually import eventually
from tests.unit.matcher.support import PARTITIONS, Host, World, listing, order

TTL_MS = 3_000


def member(store: SimLeases, name: str, partitions: int) -> PartitionLeases:
    return PartitionLeases(store, store.clock, owner=name, partitions=partitions, ttl_ms=TTL_MS)


async def settle(*members: PartitionLeases) -> None:
    """A few rounds, with hand-over as the worker does it."""
    for _ in range(4):
        for one in members:
            await one.refresh()
            for partition in one.surplus:
                await one.release(partition)


@in_virtual_time
async def test_one_instance_holds_everything():
    alone = member(SimLeases(clock=SimClock()), "a", 5)
    await alone.refresh()
    assert alone.held == {0, 1, 2, 3, 4}


@in_virtual_time
async def test_instances_share_evenly_and_never_hold_one_partition_twice():
    store = SimLeases(clock=SimClock())
    members = [member(store, name, 5) for name in "abc"]
    await settle(*members)
    shares = [one.held for one in members]
    assert sorted(map(len, shares)) == [1, 2, 2]
    assert frozenset.union(*shares) == {0, 1, 2, 3, 4}


@in_virtual_time
async def test_an_instance_more_than_partitions_is_a_standby():
    store = SimLeases(clock=SimClock())
    members = [member(store, name, 2) for name in "abc"]
    await settle(*members)
    assert [len(one.held) for one in members] == [1, 1, 0]


@in_virtual_time
async def test_a_dead_instance_is_replaced_when_its_leases_run_out():
    store = SimLeases(clock=SimClock())
    dead, alive, standby = (member(store, name, 2) for name in "abc")
    await settle(dead, alive, standby)
    for _ in range(4):
        await asyncio.sleep(1)
        await alive.refresh()
        await standby.refresh()
    await settle(alive, standby)
    assert alive.held | standby.held == {0, 1}
    assert len(alive.held) == len(standby.held) == 1


@in_virtual_time
async def test_an_instance_that_slept_learns_that_its_lease_is_lost():
    store = SimLeases(clock=SimClock())
    sleeper, other = member(store, "a", 1), member(store, "b", 1)
    await sleeper.refresh()
    await asyncio.sleep(4)
    await other.refresh()
    await sleeper.refresh()
    assert (sleeper.held, other.held) == (frozenset(), {0})


async def holders(world: World) -> list[str]:
    found = [await world.cloud.leases.holder(partition_lease(partition)) for partition in range(PARTITIONS)]
    return [holder[0] for holder in found if holder is not None and holder[1] > world.clock.now_ms()]


async def all_ready(*hosts: Host) -> None:
    await eventually(lambda: all(host.is_ready for host in hosts), timeout_s=30)


@in_virtual_time
async def test_a_second_matcher_takes_its_share_over_and_a_third_stands_by():
    world = World()
    first = world.start("matcher-1")
    await eventually(lambda: first.is_ready)
    second = world.start("matcher-2")
    third = world.start("matcher-3")
    await asyncio.sleep(10)
    await all_ready(first, second, third)
    assert sorted(await holders(world)) == ["matcher-1", "matcher-2"]
    for host in (first, second, third):
        await host.stop()
    assert await holders(world) == []


@in_virtual_time
async def test_a_killed_matcher_is_replaced_within_seconds():
    world = World()
    await world.send(listing())
    first = world.start("matcher-1")
    await world.until_drained()
    standby = world.start("matcher-2")
    await asyncio.sleep(10)
    owner_of_0 = await world.cloud.leases.holder(partition_lease(0))
    assert owner_of_0 is not None
    victim, survivor = (first, standby) if owner_of_0[0] == "matcher-1" else (standby, first)
    await victim.kill()
    killed_at_s = asyncio.get_running_loop().time()
    await world.send(order(10, entered_at_ms=world.clock.now_ms()))
    await world.until_drained()
    assert asyncio.get_running_loop().time() - killed_at_s < 6
    await world.assert_sound([1, 10])
    await survivor.stop()


@in_virtual_time
async def test_a_clean_stop_hands_over_without_waiting_for_the_lease_to_run_out():
    world = World()
    await world.send(listing())
    first = world.start("matcher-1")
    second = world.start("matcher-2")
    await asyncio.sleep(10)
    await first.stop()
    stopped_at_s = asyncio.get_running_loop().time()
    await eventually(lambda: holders_are(world, {"matcher-2"}), timeout_s=10)
    assert asyncio.get_running_loop().time() - stopped_at_s < 2
    await world.send(order(10, entered_at_ms=world.clock.now_ms()))
    await world.until_drained()
    await world.assert_sound([1, 10])
    await second.stop()


async def holders_are(world: World, names: set[str]) -> bool:
    found = await holders(world)
    return len(found) == PARTITIONS and set(found) == names


@in_virtual_time
async def test_a_lease_table_that_is_away_stops_no_work():
    world = World()
    await world.send(listing())
    host = world.start()
    await world.until_drained()
    host.faults.down("leases")
    await asyncio.sleep(10)
    assert not host.is_ready
    await world.send(order(10, entered_at_ms=world.clock.now_ms()))
    await world.until_drained()
    await world.assert_sound([1, 10])
    host.faults.up()
    await all_ready(host)
    await host.stop()
