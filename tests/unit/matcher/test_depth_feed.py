"""The depth feed as one who only follows it sees it: never silently wrong, whatever is lost on the way."""

import asyncio
import itertools
import json
from collections.abc import Callable
from random import Random
from typing import Any

from exchange_adapters.sim import Faults
from exchange_adapters.sim.virtual_time import in_virtual_time
from exchange_core.orders import Side
from exchange_core.topology import depth_channel, order_book_key
from tests.eventually import eventually
from tests.unit.matcher.support import SYMBOL, World, cancel, listing, order

Book = dict[str, dict[str, str]]


class Follower:
    """Applies diffs by the strict rule, and reads the cache only where the chain is broken."""

    def __init__(self, world: World) -> None:
        self.faults = Faults()
        self._redis = world.cloud.redis.connect(self.faults)
        self.seq = -1
        self.book: Book = {}
        self.reads = self.diffs = 0

    async def follow(self) -> None:
        await self._redis.subscribe(depth_channel(SYMBOL))
        async for _, message in self._redis.messages():
            await self._take(json.loads(message, parse_float=str, parse_int=str))

    async def _take(self, diff: Any) -> None:
        seq, prev_seq = int(diff["seq"]), int(diff["prev_seq"])
        self.diffs += 1
        if prev_seq == self.seq:
            for side in ("bids", "asks"):
                for price, quantity in diff[side]:
                    if quantity == "0":
                        del self.book[side][price]
                    else:
                        self.book[side][price] = quantity
            self.seq = seq
        elif seq > self.seq:
            self.reads += 1
            self.seq, self.book = parsed(await self._redis.get(order_book_key(SYMBOL)))


def parsed(data: bytes | None) -> tuple[int, Book]:
    assert data is not None
    cached = json.loads(data, parse_float=str, parse_int=str)
    return int(cached["seq"]), {side: dict(cached[side]) for side in ("bids", "asks")}


async def check(follower: Follower, world: World) -> None:
    """As soon as the follower stands at the cache's seq, it has the cache's book."""
    seq, book = parsed(await world.cached_book())
    assert follower.seq == seq
    assert follower.book == book


class Flow:
    """Orders of both sides around one price, some of which are canceled later."""

    def __init__(self, world: World, seed: int) -> None:
        self._world = world
        self._random = Random(seed)
        self._ids = itertools.count(1000)
        self._placed: list[int] = []

    async def send(self, count: int) -> None:
        for _ in range(count):
            command_id = next(self._ids)
            if self._placed and self._random.random() < 0.4:
                await self._world.send(cancel(command_id, self._placed.pop(self._random.randrange(len(self._placed)))))
                continue
            side = self._random.choice((Side.BUY, Side.SELL))
            price = 5_000_000 + self._random.randint(-150, 100) * (1 if side is Side.BUY else -1)
            await self._world.send(
                order(command_id, side, price=price, quantity=100, entered_at_ms=self._world.clock.now_ms())
            )
            self._placed.append(command_id)
        await self._world.until_drained()


async def following(world: World, scenario: Callable[[Follower, Flow], Any], seed: int = 1) -> Follower:
    await world.send(listing())
    follower = Follower(world)
    task = asyncio.create_task(follower.follow())
    try:
        await scenario(follower, Flow(world, seed))
    finally:
        task.cancel()
        await asyncio.wait([task])
    if not task.cancelled():
        task.result()
    return follower


@in_virtual_time
async def test_diffs_alone_keep_a_follower_at_the_cached_book():
    world = World()

    async def scenario(follower: Follower, flow: Flow) -> None:
        host = world.start()
        await eventually(lambda: follower.seq >= 1)
        for _ in range(60):
            await flow.send(7)
            await eventually(lambda: check_now(follower, world))
        await host.stop()

    follower = await following(world, scenario)
    assert follower.reads == 1, "only the first book was read"
    assert follower.diffs > 60 and follower.book["bids"]


@in_virtual_time
async def test_a_new_matcher_goes_on_where_the_last_one_stopped_and_a_gap_shows_where_it_did_not():
    world = World()

    async def scenario(follower: Follower, flow: Flow) -> None:
        for number in range(6):
            host = world.start(f"matcher-{number}")
            await flow.send(20)
            await eventually(lambda: check_now(follower, world))
            if number % 2:
                await host.stop()
            else:
                await host.kill()

    follower = await following(world, scenario)
    assert 1 <= follower.reads <= 6


@in_virtual_time
async def test_what_redis_lost_is_in_the_next_diff_or_shows_as_a_gap_and_silence_hides_nothing():
    world = World()

    async def scenario(follower: Follower, flow: Flow) -> None:
        host = world.start()
        await flow.send(20)
        await eventually(lambda: check_now(follower, world))
        reads = follower.reads
        host.faults.down("redis")
        await flow.send(20)
        host.faults.up("redis")
        await eventually(lambda: at_journal(follower, world))
        await check(follower, world)
        assert follower.reads == reads, "nothing had arrived, so one diff led on"
        # A writing that seemed to fail and took place after all; then diffs that nobody heard, and silence.
        host.faults.script("redis.publish", ["after"])
        await flow.send(5)
        await eventually(lambda: check_now(follower, world))
        follower.faults.down("redis")
        await flow.send(5)
        follower.faults.up("redis")
        await eventually(lambda: at_journal(follower, world))
        await check(follower, world)
        await host.stop()

    await following(world, scenario)


async def check_now(follower: Follower, world: World) -> bool:
    if not await at_journal(follower, world):
        return False
    await check(follower, world)
    return True


async def at_journal(follower: Follower, world: World) -> bool:
    events = [event for slot in await world.slots() for event in slot.events if event.symbol == SYMBOL]
    return follower.seq == events[-1].seq
