"""What gateways rely on to bound how often somebody asks, and to notice what is said twice."""

import asyncio

from exchange_core.rate_limits import Charge, RateLimit
from tests.eventually import eventually

A_DAY = 24 * 3_600_000


def charge(key: str, requests: int = 1, *, of: int = 3, window_ms: int = A_DAY) -> Charge:
    return Charge(key=key, limit=RateLimit(requests=of, window_ms=window_ms), requests=requests)


async def test_as_many_pass_as_the_limit_says_and_then_it_tells_how_long_to_wait(world):
    key = world.fresh("limit")
    remaining = []
    for _ in range(3):
        [[standing]] = await world.limiter.take([[charge(key)]])
        assert standing.is_allowed
        remaining.append(standing.remaining)
    assert remaining == [2, 1, 0]
    [[refused]] = await world.limiter.take([[charge(key)]])
    assert not refused.is_allowed and refused.remaining == 0
    third_us = A_DAY * 1000 // 3
    assert 0.9 * third_us < refused.wait_us <= third_us
    assert 0.9 * 3 * third_us < refused.full_in_us <= 3 * third_us
    [[other]] = await world.limiter.take([[charge(world.fresh("limit"))]])
    assert other.is_allowed, "each subject has its own"


async def test_what_one_limit_refuses_is_taken_from_none(world):
    empty, full = world.fresh("limit"), world.fresh("limit")
    await world.limiter.take([[charge(empty, 3)]])
    for _ in range(5):
        [refused] = await world.limiter.take([[charge(full), charge(empty)]])
        assert [standing.is_allowed for standing in refused] == [True, False]
    [[standing]] = await world.limiter.take([[charge(full)]])
    assert standing.remaining == 2


async def test_many_requests_are_judged_in_order_in_one_call(world):
    shared, own = world.fresh("limit"), world.fresh("limit")
    answers = await world.limiter.take([[charge(shared)], [charge(shared, 2), charge(own)], [charge(shared)], []])
    assert [[standing.is_allowed for standing in answer] for answer in answers] == [[True], [True, True], [False], []]
    assert [answer[0].remaining for answer in answers[:3]] == [2, 0, 0]
    assert await world.limiter.take([]) == []


async def test_many_at_once_take_no_more_than_there_is(world):
    key = world.fresh("limit")
    answers = await asyncio.gather(*(world.limiter.take([[charge(key, of=10)]] * 5) for _ in range(6)))
    assert sum(standing.is_allowed for answer in answers for [standing] in answer) == 10


async def test_a_charge_larger_than_the_limit_takes_all_of_it(world):
    key = world.fresh("limit")
    [[first]] = await world.limiter.take([[charge(key, 100)]])
    [[second]] = await world.limiter.take([[charge(key)]])
    assert first.is_allowed and first.remaining == 0 and not second.is_allowed


async def test_a_store_fills_with_time(world):
    key = world.fresh("limit")
    [[standing]] = await world.limiter.take([[charge(key, of=2, requests=2, window_ms=400)]])
    assert standing.is_allowed
    if world.advance is not None:
        world.advance(200)

    async def passes() -> bool:
        [[again]] = await world.limiter.take([[charge(key, of=2, window_ms=400)]])
        return again.is_allowed

    await eventually(passes)


async def test_a_mark_is_set_once_until_it_runs_out(world):
    mark, short = world.fresh("mark"), world.fresh("mark")
    claims = await asyncio.gather(*(world.once.claim(mark, A_DAY) for _ in range(5)))
    assert sorted(claims) == [False] * 4 + [True]
    assert await world.once.claim(short, 50)
    if world.advance is not None:
        world.advance(50)
    await eventually(lambda: world.once.claim(short, A_DAY))
    assert not await world.once.claim(short, A_DAY)
