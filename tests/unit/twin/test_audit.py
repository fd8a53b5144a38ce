"""The audit is clean on a sound exchange, and each of its checks fires when its store is tampered with."""

import copy
from dataclasses import replace

import pytest

from crossbook.audit.checks import CheckResult, judge
from crossbook.audit.command import difference_lines, results_table
from crossbook.audit.evidence import ORDER_COLUMNS, Evidence
from crossbook.audit.run import CHECKS
from exchange_adapters.sim.virtual_time import run_virtual
from exchange_core.codec import encode_slot
from tests.unit.matcher.support import order
from tests.unit.twin.audit_tampering import TAMPERINGS, Tamper, changed, lost_hold, slots_of
from tests.unit.twin.audit_world import AuditWorld


async def built() -> Evidence:
    world = AuditWorld()
    await world.fund()
    await world.trade(120)
    waiting = order(world.new_id(), entered_at_ms=world.clock.now_ms())
    await world.place(waiting)
    await world.submit(0)
    return await world.evidence()


@pytest.fixture(scope="module")
def sound() -> Evidence:
    return run_virtual(built())


def audited(evidence: Evidence) -> dict[str, CheckResult]:
    judgement = judge(evidence)
    return {result.name: result for result in (check(judgement) for check in CHECKS)}


def test_a_sound_exchange_is_clean(sound: Evidence):
    results = audited(sound)
    assert {name: result.first for name, result in results.items() if result.differences} == {}
    assert sound.pending, "an order on its way is no difference"
    assert len(sound.database.trades) > 50 and len(sound.database.orders) > 150


@pytest.mark.parametrize(("tamper", "check"), TAMPERINGS, ids=[f"{t.__name__}: {c}" for t, c in TAMPERINGS])
def test_a_tampering_is_found_and_its_slot_named(sound: Evidence, tamper: Tamper, check: str):
    evidence = copy.deepcopy(sound)
    slot = tamper(evidence)
    found = audited(evidence)[check]
    assert found.first is not None, "the check did not fire"
    if slot is not None:
        assert (found.first.partition, found.first.slot) == slot, str(found.first)


def test_every_check_can_fire():
    fired = {check for _, check in TAMPERINGS}
    assert fired == {result.name for result in (check(judge(Evidence(partitions=1))) for check in CHECKS)}


def test_a_hold_that_leaked_names_the_order_that_took_it(sound: Evidence):
    evidence = copy.deepcopy(sound)
    where = lost_hold(evidence)
    first = audited(evidence)["wallets: equal the journal's fold"].first
    assert first is not None and (first.partition, first.slot) == where
    assert "as the hold of" in first.text


def test_a_settlement_that_is_behind_is_compared_as_far_as_it_is(sound: Evidence):
    evidence = copy.deepcopy(sound)
    head = evidence.journal[0][-1][0]
    slot = slots_of(evidence, 0)[-1]
    evidence.journal[0].append((head + 1, encode_slot(replace(slot, n=head + 1, fed_through=head, events=()))))
    results = audited(evidence)
    assert [name for name, result in results.items() if result.differences] == ["database: at the journal's head"]


def test_the_report_shows_each_check_and_the_first_differences_in_order_of_slot(sound: Evidence):
    evidence = copy.deepcopy(sound)
    for at in range(8):
        changed(evidence.database.orders, ORDER_COLUMNS, at, status="rejected")
    results = list(audited(evidence).values())
    assert results_table(results).row_count == len(CHECKS)
    lines = [line.plain for line in difference_lines(results, 5)]
    assert lines[0] == "database: orders" and len(lines) == 7 and lines[-1].strip() == "and 3 more"
    slots = [int(line.split(":")[1].strip().split()[0]) for line in lines[1:6]]
    assert slots == sorted(slots)
