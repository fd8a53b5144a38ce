"""What matchers and gateways rely on to share the work. The caller's clock decides when a lease has run out."""

import asyncio

NOW_MS = 1_771_322_400_000


async def test_a_lease_is_held_by_one_owner_until_it_runs_out(world):
    name = world.fresh("lease")
    assert await world.leases.acquire(name, "one", NOW_MS, 5_000)
    assert not await world.leases.acquire(name, "two", NOW_MS + 4_999, 5_000)
    assert await world.leases.holder(name) == ("one", NOW_MS + 5_000)
    assert await world.leases.acquire(name, "two", NOW_MS + 5_000, 5_000)
    assert await world.leases.holder(name) == ("two", NOW_MS + 10_000)
    assert not await world.leases.acquire(name, "one", NOW_MS + 5_001, 5_000)


async def test_its_owner_renews_it_before_and_after_it_ran_out(world):
    name = world.fresh("lease")
    for at_ms in (NOW_MS, NOW_MS + 3_000, NOW_MS + 60_000):
        assert await world.leases.acquire(name, "one", at_ms, 5_000)
        assert await world.leases.holder(name) == ("one", at_ms + 5_000)


async def test_its_owner_may_end_it_sooner(world):
    name = world.fresh("lease")
    assert await world.leases.acquire(name, "one", NOW_MS, 5_000)
    assert await world.leases.acquire(name, "one", NOW_MS + 1_000, 0)
    assert not await world.leases.acquire(name, "two", NOW_MS + 999, 5_000)
    assert await world.leases.acquire(name, "two", NOW_MS + 1_000, 5_000)


async def test_only_its_owner_gives_it_up(world):
    name = world.fresh("lease")
    assert await world.leases.acquire(name, "one", NOW_MS, 5_000)
    await world.leases.release(name, "two")
    assert not await world.leases.acquire(name, "two", NOW_MS, 5_000)
    await world.leases.release(name, "one")
    await world.leases.release(name, "one")
    assert await world.leases.holder(name) is None
    assert await world.leases.acquire(name, "two", NOW_MS, 5_000)


async def test_a_lease_that_has_run_out_still_names_its_last_holder(world):
    name = world.fresh("lease")
    await world.leases.acquire(name, "one", 1_000, 1)
    assert await world.leases.holder(name) == ("one", 1_001)


async def test_of_many_who_want_a_free_lease_one_gets_it(world):
    name = world.fresh("lease")
    owners = [f"owner-{number}" for number in range(12)]
    gained = await asyncio.gather(*(world.leases.acquire(name, owner, NOW_MS, 5_000) for owner in owners))
    (winner,) = [owner for owner, is_ours in zip(owners, gained, strict=True) if is_ours]
    assert await world.leases.holder(name) == (winner, NOW_MS + 5_000)
