"""A command at which the engine fails costs its owner an order, and nobody else anything."""

from typing import Any

import orjson
import pytest

from exchange_adapters.emf import Recorder
from exchange_adapters.metrics import COMMANDS_QUARANTINED
from exchange_adapters.sim import Faults
from exchange_adapters.sim.virtual_time import in_virtual_time
from exchange_core.commands import Command
from exchange_core.engine import PartitionEngine
from exchange_core.events import OrderAccepted, OrderDone, OrderRejected
from exchange_core.orders import Reason
from exchange_matcher import worker
from exchange_matcher.quarantine import CommandFailedError, Quarantine
from tests.eventually import eventually
from tests.unit.matcher.support import World, cancel, listing, order

BROKEN = 11


def break_engine(monkeypatch: pytest.MonkeyPatch, times: int) -> list[int]:
    """The engine does half of what the command says, then fails; `times` times."""
    execute: Any = PartitionEngine.execute
    failed: list[int] = []

    def fail(self: PartitionEngine, command: Command, at_ms: int) -> Any:
        events = execute(self, command, at_ms)
        if command.command_id == BROKEN and len(failed) < times:
            failed.append(BROKEN)
            raise AssertionError("a bug")
        return events

    monkeypatch.setattr(PartitionEngine, "execute", fail)
    return failed


async def world_with(*ids: int) -> World:
    world = World()
    await world.send(listing())
    now_ms = world.clock.now_ms()
    await world.send(*[order(number, entered_at_ms=now_ms) for number in ids])
    return world


def test_a_command_that_always_fails_is_refused_and_its_neighbours_are_not(monkeypatch: pytest.MonkeyPatch):
    failed = break_engine(monkeypatch, times=1_000)
    lines: list[bytes] = []
    recorder = Recorder(lines.append)
    monkeypatch.setattr(worker, "recorder", recorder)

    @in_virtual_time
    async def scenario() -> None:
        world = await world_with(10, BROKEN, 12)
        host = world.start()
        await world.until_drained()
        await world.assert_sound([1, 10, BROKEN, 12])
        events = {event.cause: event for slot in await world.slots() for event in slot.events}
        refusal = events[BROKEN]
        assert isinstance(refusal, OrderRejected) and refusal.reason is Reason.INVALID and refusal.hold > 0
        assert isinstance(events[10], OrderAccepted) and isinstance(events[12], OrderAccepted)
        assert len(failed) == 2, "tried once more, then not again"
        await world.send(order(BROKEN, entered_at_ms=world.clock.now_ms()), cancel(13, 10))
        await world.until_drained()
        await world.assert_sound([1, 10, BROKEN, 12, 13])
        await host.stop()

    scenario()
    recorder.flush()
    found = [orjson.loads(line) for line in lines]
    assert [one[COMMANDS_QUARANTINED.name] for one in found if COMMANDS_QUARANTINED.name in one] == [1]


def test_a_command_that_fails_once_is_carried_out(monkeypatch: pytest.MonkeyPatch):
    break_engine(monkeypatch, times=1)

    @in_virtual_time
    async def scenario() -> None:
        world = await world_with(10, BROKEN)
        host = world.start(faults=Faults())
        await eventually(lambda: host.is_ready)
        await world.until_drained()
        events = [event for slot in await world.slots() for event in slot.events]
        assert [event.cause for event in events if isinstance(event, OrderAccepted)] == [10, BROKEN]
        await host.stop()

    scenario()


def test_a_cancel_that_always_fails_is_refused_too(monkeypatch: pytest.MonkeyPatch):
    break_engine(monkeypatch, times=1_000)

    @in_virtual_time
    async def scenario() -> None:
        world = await world_with(10)
        await world.send(cancel(BROKEN, 10))
        host = world.start()
        await world.until_drained()
        await world.assert_sound([1, 10, BROKEN])
        assert not any(isinstance(event, OrderDone) for slot in await world.slots() for event in slot.events)
        await host.stop()

    scenario()


def test_a_quarantine_holds_from_the_second_failure_on():
    quarantine = Quarantine()
    failure = CommandFailedError(7, ValueError("why"))
    assert [quarantine.note(failure), quarantine.holds(7), quarantine.note(failure), quarantine.holds(7)] == [
        False,
        False,
        True,
        True,
    ]
