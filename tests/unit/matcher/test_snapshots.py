"""When a matcher keeps its state, what it keeps, and what it makes of that when it comes to life."""

import asyncio

import pytest

from exchange_adapters.sim import Fault, Faults, Gate, SimSnapshots
from exchange_adapters.sim.virtual_time import in_virtual_time
from exchange_core import snapshot
from exchange_core.commands import CASH_DESK
from exchange_core.engine import PartitionEngine
from exchange_core.errors import Fatal
from exchange_core.orders import Side
from exchange_core.steps import Steps
from exchange_matcher.commit import SlotCommit
from exchange_matcher.recovery import recover
from exchange_matcher.retry import Outage
from exchange_matcher.snapshots import SnapshotSchedule
from exchange_matcher.turns import in_turns
from tests.unit.matcher.support import World, cancel, deposit, listed_world, order, reached


@in_virtual_time
async def test_a_batch_of_repeats_leaves_an_empty_slot_so_that_a_snapshot_is_what_the_journal_folds_to():
    """The simulation's seed 2: repeats had moved the engine's time, and the last snapshot with it."""
    world = await listed_world()
    host = world.start()
    await world.send(order(10, entered_at_ms=world.clock.now_ms()))
    await world.until_drained()
    await asyncio.sleep(1)
    await world.send(order(10, entered_at_ms=world.clock.now_ms()))
    await world.until_drained()
    await host.stop()
    folded = PartitionEngine(0)
    for slot in await world.slots():
        folded.apply_slot(slot)
    newest = await world.cloud.snapshots.latest(0)
    assert newest is not None
    assert PartitionEngine.restore(newest[1]).state_hash() == folded.state_hash()


@in_virtual_time
async def test_the_recovered_state_is_the_live_state():
    world = await listed_world()
    await world.send(deposit(2, "alice", "USDT", 10**15), group=CASH_DESK)
    host = world.start(snapshot_slots=5)
    for number in range(40):
        side = Side.BUY if number % 3 else Side.SELL
        command = order(
            10 + number,
            side,
            user_id=f"user-{number % 4}",
            price=5_000_000 + number % 5,
            quantity=50 + number,
            entered_at_ms=world.clock.now_ms(),
        )
        await world.send(command)
        if number % 4 == 0:
            await world.until_drained()
    await world.until_drained()
    await host.stop()
    slots = await world.slots()
    replayed = PartitionEngine(0)
    for slot in slots:
        replayed.apply_slot(slot)
    newest = await world.cloud.snapshots.latest(0)
    assert newest is not None
    n, data = newest
    assert n == slots[-1].n, "a graceful stop keeps the last state"
    assert PartitionEngine.restore(data).state_hash() == replayed.state_hash()
    assert newest[1] == replayed.snapshot()


@in_virtual_time
async def test_a_journal_that_was_lost_stops_the_process():
    world = await listed_world()
    host = world.start()
    await world.until_drained()
    await host.stop()
    state = PartitionEngine(0).snapshot()
    await world.cloud.snapshots.put(0, 1_000, state)
    broken = world.start()
    assert broken.task is not None
    await asyncio.wait([broken.task])
    error = broken.task.exception()
    assert isinstance(error, ExceptionGroup) and error.subgroup(Fatal) is not None


@in_virtual_time
async def test_recovery_does_without_a_snapshot_that_cannot_be_had_or_read():
    world = await listed_world()
    host = world.start()
    await world.until_drained()
    await host.stop()
    faults = Faults()
    faults.down("snapshots")
    blind = world.start(faults=faults)
    await world.send(order(10, entered_at_ms=world.clock.now_ms()))
    await world.until_drained()
    await blind.stop()
    await world.cloud.snapshots.put(0, len(await world.slots()), b"not a state")
    last = world.start()
    await world.send(order(11, entered_at_ms=world.clock.now_ms()))
    await world.until_drained()
    await world.assert_sound([1, 10, 11])
    await last.stop()


@in_virtual_time
async def test_recovery_waits_for_a_store_of_snapshots_that_falters():
    world = await listed_world()
    for number in range(10, 16):
        await world.send(order(number, entered_at_ms=world.clock.now_ms()))
    host = world.start()
    await world.until_drained()
    await host.stop()
    newest = await world.cloud.snapshots.latest(0)
    assert newest is not None
    faults, stopping = Faults(), asyncio.Event()
    faults.script("snapshots.latest", [Fault.BEFORE] * 6)
    cloud = world.cloud.seen_by(faults)
    outage = Outage("recovery", stopping)
    commit = SlotCommit(cloud.journal, cloud.stream, partition=0, stopping=stopping, on_blocked=lambda _: None)
    recovered = await recover(0, snapshots=cloud.snapshots, journal=cloud.journal, commit=commit, outage=outage)
    assert (recovered.snapshot_n, recovered.n) == (newest[0], newest[0])


@in_virtual_time
async def test_a_snapshot_upload_that_hangs_does_not_hold_matching_up():
    world = await listed_world()
    host = world.start(snapshot_slots=1)
    gate = Gate()
    host.faults.script("snapshots.put", [gate])
    await world.until_drained()
    await reached(gate)
    await world.send(order(10, entered_at_ms=world.clock.now_ms()))
    await world.until_drained()
    await world.assert_sound([1, 10])
    await host.stop()


async def test_whatever_is_ready_runs_between_two_steps():
    told: list[str] = []

    def work() -> Steps[str]:
        for step in "abc":
            told.append(step)
            yield
        return "done"

    async def others() -> None:
        while True:
            told.append("others")
            await asyncio.sleep(0)

    task = asyncio.create_task(others())
    assert await in_turns(work()) == "done"
    task.cancel()
    assert told == ["a", "others", "b", "others", "c", "others"]


@pytest.fixture
def large(monkeypatch: pytest.MonkeyPatch) -> PartitionEngine:
    """It remembers ten commands, each of them as much as a step takes."""
    monkeypatch.setattr(snapshot, "COMMANDS_A_STEP", 1)
    engine = PartitionEngine(0)
    for number in range(10):
        execute(engine, number + 1)
    return engine


def execute(engine: PartitionEngine, command_id: int) -> None:
    engine.begin_slot(1_000 * command_id)
    engine.execute(cancel(command_id, 10), engine.at_ms)


async def test_a_state_that_takes_long_to_encode_is_that_of_its_slot_though_matching_goes_on(large: PartitionEngine):
    store, expected = SimSnapshots(), large.snapshot()
    schedule = SnapshotSchedule(store, 0, every_slots=1, every_s=60, kept=0)
    schedule.note_slot(has_events=True)
    schedule.take_if_due(1, large.image)
    for command_id in range(11, 16):
        execute(large, command_id)
        await asyncio.sleep(0)
        assert await store.latest(0) is None, "it takes longer than that"
    await schedule.finish(2, large.image)
    assert await store.latest(0) == (1, expected)


async def test_a_state_that_cannot_be_encoded_is_told(large: PartitionEngine):
    schedule = SnapshotSchedule(SimSnapshots(), 0, every_slots=1, every_s=60, kept=0)
    large._state.cash_seq = 2**64
    schedule.note_slot(has_events=True)
    schedule.take_if_due(1, large.image)
    await asyncio.sleep(0)
    with pytest.raises(TypeError, match="64-bit"):
        schedule.take_if_due(2, large.image)


@in_virtual_time
async def test_recovery_restores_a_state_in_turns(large: PartitionEngine):
    world, turns = World(), 0
    await world.cloud.snapshots.put(0, 0, large.snapshot())
    stopping = asyncio.Event()
    commit = SlotCommit(
        world.cloud.journal, world.cloud.stream, partition=0, stopping=stopping, on_blocked=lambda _: None
    )

    async def others() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    task = asyncio.create_task(others())
    recovered = await recover(
        0,
        snapshots=world.cloud.snapshots,
        journal=world.cloud.journal,
        commit=commit,
        outage=Outage("recovery", stopping),
    )
    task.cancel()
    assert recovered.engine.state_hash() == large.state_hash()
    assert turns >= 10
