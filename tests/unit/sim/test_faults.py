import asyncio
from random import Random

import pytest

from exchange_adapters.sim import Fault, Faults, Gate, SimJournal, SimSessions
from exchange_adapters.sim.virtual_time import in_virtual_time
from exchange_core.errors import Ambiguous, Conflict, PortError, Throttled, Unavailable
from exchange_core.ports import SlotTakenError


@in_virtual_time
async def test_a_script_decides_the_next_calls_and_then_all_goes_well():
    faults = Faults()
    journal = SimJournal(faults=faults)
    faults.script("journal.put", [None, "before", "throttled", "lost", "after"])
    await journal.put(0, 1, b"one")
    for error in (Unavailable, Throttled, Ambiguous, Ambiguous):
        with pytest.raises(error):
            await journal.put(0, 2, b"two")
    assert await journal.read(0, 0, 10) == [(1, b"one"), (2, b"two")], "only the last of them took place"
    await journal.put(0, 3, b"three")
    assert faults.unspent == {}
    assert faults.calls["journal.put"] == 6
    assert faults.injected["journal.put", Fault.AFTER] == 1


@in_virtual_time
async def test_an_ambiguous_call_may_also_have_been_refused():
    faults = Faults()
    journal = SimJournal(faults=faults)
    await journal.put(0, 1, b"theirs")
    faults.script("journal.put", ["after"])
    with pytest.raises(Ambiguous):
        await journal.put(0, 1, b"ours")
    with pytest.raises(SlotTakenError):
        await journal.put(0, 1, b"ours")
    assert await journal.read(0, 0, 1) == [(1, b"theirs")]


@in_virtual_time
async def test_a_read_is_never_ambiguous():
    faults = Faults()
    sessions = SimSessions(faults=faults)
    faults.script("sessions.get", ["lost", "after"])
    for _ in range(2):
        with pytest.raises(Unavailable):
            await sessions.get("nobody")
    assert await sessions.get("nobody") is None


def test_an_unknown_fault_is_refused_when_it_is_scripted():
    with pytest.raises(ValueError, match="afterwards"):
        Faults().script("journal.put", ["afterwards"])


@in_virtual_time
async def test_a_gate_holds_a_call_before_its_effect():
    faults = Faults()
    journal = SimJournal(faults=faults)
    gate = Gate(then=Fault.AFTER)
    faults.script("journal.put", [gate])
    slow = asyncio.create_task(journal.put(0, 1, b"slow"))
    await gate.reached.wait()
    await journal.put(0, 1, b"fast")
    gate.open.set()
    with pytest.raises(Ambiguous):
        await slow
    assert await journal.read(0, 0, 1) == [(1, b"fast")]


@in_virtual_time
async def test_a_store_that_is_down_is_unavailable_until_it_is_up():
    faults = Faults()
    journal, sessions = SimJournal(faults=faults), SimSessions(faults=faults)
    faults.down("journal")
    with pytest.raises(Unavailable):
        await journal.put(0, 1, b"")
    assert await sessions.get("other stores answer") is None
    faults.up()
    await journal.put(0, 1, b"")


@in_virtual_time
async def test_each_host_has_its_own_faults_on_the_same_store():
    cut_off = Faults()
    cut_off.down("journal")
    journal = SimJournal()
    await journal.seen_by(Faults()).put(0, 1, b"one")
    with pytest.raises(Unavailable):
        await journal.seen_by(cut_off).read(0, 0, 1)
    assert await journal.read(0, 0, 1) == [(1, b"one")]


async def _outcomes(seed: int) -> list[str]:
    faults = Faults(Random(seed))
    faults.set_rates("*", {Fault.BEFORE: 0.9})
    faults.set_rates("journal.put", {Fault.BEFORE: 0.2, Fault.CONFLICT: 0.2, Fault.AFTER: 0.2})
    faults.set_delay("journal", 1, 20)
    journal = SimJournal(faults=faults)
    outcomes = []
    for n in range(1, 200):
        try:
            await journal.put(0, n, b"")
        except PortError as error:
            outcomes.append(type(error).__name__)
        else:
            outcomes.append("done")
    return outcomes


@in_virtual_time
async def test_rates_are_drawn_from_the_seed():
    first = await _outcomes(1)
    assert first == await _outcomes(1)
    assert first != await _outcomes(2)
    assert set(first) == {"done", "Unavailable", "Conflict", "Ambiguous"}
    assert 60 <= first.count("done") <= 100


@in_virtual_time
async def test_delays_pass_on_the_loop():
    faults = Faults()
    faults.set_delay("journal", 30, 30)
    await SimJournal(faults=faults).put(0, 1, b"")
    assert asyncio.get_running_loop().time() == pytest.approx(0.030)
    faults.heal()
    await SimJournal(faults=faults).put(0, 1, b"")
    assert asyncio.get_running_loop().time() == pytest.approx(0.030)


@in_virtual_time
async def test_a_scripted_conflict_changes_nothing():
    faults = Faults()
    faults.script("journal.put", ["conflict"])
    journal = SimJournal(faults=faults)
    with pytest.raises(Conflict):
        await journal.put(0, 1, b"")
    assert journal.head(0) == 0
