"""The node number: two gateways never make one id, whatever their clocks and their calls do."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from random import Random
from typing import Any, Final

import pytest

from exchange_adapters.sim import Faults, SimClock, SimLeases
from exchange_adapters.sim.clock import START_MS
from exchange_core.errors import Ambiguous
from exchange_core.ids import created_at_ms
from exchange_core.topology import node_lease
from exchange_gateway.problems import Code, ProblemError
from exchange_gateway.trading import nodes as module
from exchange_gateway.trading.nodes import LEASE_MS, NodeLease
from tests.eventually import eventually

STORIES: Final = 400
STEP_MS: Final = 1_000
"""Of all times in the stories, so that two processes often make ids of one millisecond."""


@asynccontextmanager
async def kept(lease: NodeLease) -> AsyncIterator[NodeLease]:
    task = asyncio.create_task(lease.keep())
    try:
        await eventually(lambda: lease.is_held)
        yield lease
    finally:
        task.cancel()
        await asyncio.wait([task])


def node_of(identifier: int) -> int:
    return (identifier >> 12) & 1023


async def test_two_gateways_have_two_numbers() -> None:
    clock = SimClock()
    leases = SimLeases(clock=clock)
    async with (
        kept(NodeLease(leases, clock, Random(7), "a")) as first,
        kept(NodeLease(leases, clock, Random(7), "b")) as second,
    ):
        ids = [first.next_id(), second.next_id()]
        assert node_of(ids[0]) != node_of(ids[1])
        assert created_at_ms(ids[0]) == pytest.approx(clock.now_ms(), abs=1000)
        await first.release()
        with pytest.raises(ProblemError) as refused:
            first.next_id()
    assert refused.value.code is Code.SERVICE_UNAVAILABLE


async def test_a_lease_that_cannot_be_renewed_stops_being_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "RENEW_S", 0.01)
    monkeypatch.setattr(module, "_RETRY_S", 0.01)
    clock, faults = SimClock(), Faults()
    async with kept(NodeLease(SimLeases(clock=clock, faults=faults), clock, Random(7), "a")) as lease:
        faults.down("leases")
        clock.advance(LEASE_MS)
        assert not lease.is_held
        with pytest.raises(ProblemError):
            lease.next_id()
        faults.up("leases")
        await eventually(lambda: lease.is_held)


async def test_a_clock_that_leaps_past_the_end_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_RETRY_S", 0.01)
    clock = SimClock()
    async with kept(NodeLease(SimLeases(clock=clock), clock, Random(7), "a")) as lease:
        clock.advance(LEASE_MS)
        await eventually(lambda: lease.is_held)


async def test_a_lease_taken_by_another_is_replaced(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "RENEW_S", 0.01)
    monkeypatch.setattr(module, "_RETRY_S", 0.01)
    clock = SimClock()
    leases = SimLeases(clock=clock)
    async with kept(NodeLease(leases, clock, Random(7), "a")) as lease:
        node = node_of(lease.next_id())
        assert await leases.acquire(f"node#{node}", "b", clock.now_ms() + 2 * LEASE_MS, LEASE_MS), "its clock is ahead"
        await eventually(lambda: lease.is_held and node_of(lease.next_id()) != node)


async def test_a_number_given_up_is_free_at_once() -> None:
    clock = SimClock()
    leases = SimLeases(clock=clock)
    first = NodeLease(leases, clock, Random(7), "a")
    assert await first.renew()
    node = node_of(first.next_id())
    await first.release()
    assert await leases.acquire(node_lease(node), "b", clock.now_ms() + 1, LEASE_MS)


class SlowLeases(SimLeases):
    """Calls break off, and then take effect at once, never, or after others."""

    def __init__(self, random: Random) -> None:
        super().__init__()
        self._random = random
        self._trouble = random.choice([0.0, 0.3, 0.6])
        self._under_way: list[tuple[Any, ...]] = []

    async def acquire(self, name: str, owner: str, now_ms: int, ttl_ms: int) -> bool:
        if self._random.random() >= self._trouble:
            return await super().acquire(name, owner, now_ms, ttl_ms)
        match self._random.choice(["late", "late", "lost", "at once"]):
            case "late":
                self._under_way.append((name, owner, now_ms, ttl_ms))
            case "at once":
                await super().acquire(name, owner, now_ms, ttl_ms)
        raise Ambiguous("the call broke off")

    async def arrive(self) -> None:
        """One of the late calls takes effect."""
        if self._under_way:
            late = self._under_way.pop(self._random.randrange(len(self._under_way)))
            await super().acquire(*late)


class SteppingClock:
    """Goes with the story's time, wrong by `skew_ms`."""

    def __init__(self, passed: Counter[str]) -> None:
        self._passed = passed
        self.skew_ms = 0

    def now_ms(self) -> int:
        return START_MS + self._passed["ms"] + self.skew_ms


async def ids_of_a_story(seed: int, steps: int = 300) -> list[int]:
    """What two gateways make that share one number, with clocks that are set wrong, and are stopped and killed."""
    random, passed = Random(seed), Counter[str]()
    leases = SlowLeases(random)
    clocks = [SteppingClock(passed) for _ in range(2)]
    skew_max = random.choice([5, 40])
    happens = ["renew", "make", "set clock", "stop", "kill", "arrive", "pass"]
    weights = [random.choice([2, 4, 8]) for _ in range(2)] + [random.choice([0, 1, 2]) for _ in range(4)] + [4]
    started = 0

    def start(clock: SteppingClock) -> NodeLease:
        nonlocal started
        started += 1
        return NodeLease(leases, clock, random, f"gateway-{started}")

    gateways = [start(clock) for clock in clocks]
    made: list[int] = []
    for _ in range(steps):
        index = random.randrange(len(gateways))
        match random.choices(happens, weights)[0]:
            case "pass":
                passed["ms"] += STEP_MS * random.choice([1, 2, 5, 20])
            case "renew":
                await gateways[index].renew()
            case "make":
                made += [gateways[index].next_id() for _ in range(3) if gateways[index].is_held]
            case "set clock":
                clocks[index].skew_ms = STEP_MS * random.randint(-skew_max, skew_max)
            case "stop":
                await gateways[index].release()
                gateways[index] = start(clocks[index])
            case "kill":
                gateways[index] = start(clocks[index])
            case "arrive":
                await leases.arrive()
    return made


def is_repeated(ids: list[int]) -> bool:
    return len(set(ids)) < len(ids)


async def test_no_id_is_made_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "NODE_COUNT", 1)
    made = 0
    for seed in range(STORIES):
        ids = await ids_of_a_story(seed)
        assert not is_repeated(ids), f"story {seed}"
        made += len(ids)
    assert made > STORIES * 20, "the number is held and used"


async def release_at_once(self: Any) -> None:
    await self._leases.release(node_lease(self._node), self._term_owner)
    self._ids = None


async def release_from_the_last_id(self: Any) -> None:
    self._until_ms = 0
    await RELEASE(self)


async def renew_whatever_broke_off(self: Any) -> bool:
    could_renew = self._may_renew
    is_leased = await RENEW(self)
    self._may_renew = self._may_renew or could_renew
    return is_leased


RELEASE: Final = NodeLease.release
RENEW: Final = NodeLease.renew
BROKEN: Final[dict[str, tuple[str, Any]]] = {
    "ids are made for longer than leased": ("_is_leased", lambda self, _: self._ids is not None),
    "a number is free before its last millisecond": ("release", release_at_once),
    "a number that was not used is free from the beginning of time": ("release", release_from_the_last_id),
    "a renewal follows one that broke off": ("renew", renew_whatever_broke_off),
    "the clock is believed": ("_now_ms", lambda self: self._clock.now_ms()),
    "a call under way is forgotten": ("_term_owner", property(lambda self: self._owner)),
}


@pytest.mark.parametrize("what", BROKEN)
async def test_each_rule_is_needed(monkeypatch: pytest.MonkeyPatch, what: str) -> None:
    name, replacement = BROKEN[what]
    monkeypatch.setattr(module, "NODE_COUNT", 1)
    monkeypatch.setattr(NodeLease, name, replacement)
    for seed in range(STORIES):
        if is_repeated(await ids_of_a_story(seed)):
            return
    pytest.fail(f"no id was made twice in {STORIES} stories")
