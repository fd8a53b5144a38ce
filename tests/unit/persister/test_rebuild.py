"""Building wallets and projections anew gives what settlement gave, from what journal and archive still have."""

from dataclasses import dataclass, replace
from itertools import count
from random import Random

import pytest

from exchange_adapters import kill_points
from exchange_adapters.kill_points import KILL_AT, with_kill_point
from exchange_adapters.sim import SimCloud
from exchange_adapters.sim.projections import SimProjections
from exchange_adapters.sim.virtual_time import in_virtual_time
from exchange_core.codec import Slot, decode_slot, encode_commands, encode_slot
from exchange_core.commands import CASH_DESK, PlaceOrder, WithdrawFunds
from exchange_core.events import Event, FundsDeposited, FundsWithdrawn
from exchange_core.orders import OrderType, Side, TimeInForce
from exchange_core.ports import Intent
from exchange_core.topology import node_lease, partition_lease
from exchange_persister import rebuild as rebuilding
from exchange_persister.history import history_object, history_slots
from exchange_persister.rebuild import ArchivedSpans, ExchangeRunsError, JournalBrokenError, Ports, rebuild
from tests.unit.persister.journals import START_MS, RandomMarket

DEPOSIT, WITHDRAWAL = 10**15, 1_000


@dataclass(slots=True)
class SolventMarket(RandomMarket):
    """Nobody spends what he does not have, so that no wallet may end below zero."""

    def _cash(self, kind: type[FundsDeposited] | type[FundsWithdrawn], user: str, asset: str) -> Event:
        event = RandomMarket._cash(self, kind, user, asset)
        return replace(event, amount=DEPOSIT if kind is FundsDeposited else WITHDRAWAL)


def ports(cloud: SimCloud) -> Ports:
    return Ports(
        clock=cloud.journal._clock,
        journal=cloud.journal,
        history=cloud.history,
        archive=cloud.history,
        projections=cloud.projections,
        wallets=cloud.wallets,
        leases=cloud.leases,
    )


async def journaled(cloud: SimCloud, *journals: list[Slot], without: frozenset[int] = frozenset()) -> None:
    for slots in journals:
        for slot in slots:
            if slot.n not in without:
                await cloud.journal.put(slot.partition, slot.n, encode_slot(slot))


async def archived(cloud: SimCloud, slots: list[Slot], *cuts: int) -> None:
    for first, last in zip((0, *cuts), (*cuts, len(slots)), strict=True):
        run = slots[first:last]
        await cloud.history.put(run[0].partition, run[0].n, run[-1].n, history_object(run))


def holdings(cloud: SimCloud) -> dict[tuple[str, str], tuple[int, int]]:
    return {(one.user_id, one.asset): (one.available, one.held) for one in cloud.wallets.all_wallets()}


def markets(seed: int) -> tuple[list[Slot], list[Slot]]:
    return (
        SolventMarket(Random(seed), 0).slots(60),
        SolventMarket(Random(seed + 1), 1, symbol="ETHUSD").slots(40),
    )


@pytest.mark.parametrize("seed", range(3))
@in_virtual_time
async def test_wallets_and_rows_come_back_from_the_journal(seed: int) -> None:
    cloud = SimCloud.build()
    here, there = markets(seed)
    await journaled(cloud, here, there)
    rebuilt = await rebuild(ports(cloud), 2)
    assert (rebuilt.slots, rebuilt.restored, rebuilt.on_their_way) == (100, 0, 0)
    assert cloud.projections.database.slots == {0: here, 1: there}
    totals = {asset: 0 for _, asset in holdings(cloud)}
    for (_, asset), (available, held) in holdings(cloud).items():
        assert available >= 0 and held >= 0
        totals[asset] += available + held
    flows = dict.fromkeys(totals, 0)
    for slot in (*here, *there):
        for event in slot.events:
            if isinstance(event, FundsDeposited | FundsWithdrawn):
                flows[event.asset] += event.amount if isinstance(event, FundsDeposited) else -event.amount
    assert totals == flows
    assert all(wallet.applied == {0: 60, 1: 40} for wallet in cloud.wallets.all_wallets())


@in_virtual_time
async def test_doing_it_again_changes_nothing() -> None:
    cloud = SimCloud.build()
    await journaled(cloud, *markets(7))
    await rebuild(ports(cloud), 2)
    before = holdings(cloud)
    again = SimCloud.build()
    await journaled(again, *markets(7))
    again.wallets._wallets.update(cloud.wallets._wallets)
    await again.wallets.settle("stranger", "BTC", 0, first=1, last=1, available=5, held=0)
    await rebuild(ports(again), 2)
    assert holdings(again) == before, "what stood there is gone"


@in_virtual_time
async def test_slots_that_only_the_archive_has_come_from_it_and_go_back_into_the_journal() -> None:
    whole, torn = SimCloud.build(), SimCloud.build()
    slots = SolventMarket(Random(3), 0).slots(50)
    await journaled(whole, slots)
    await journaled(torn, slots, without=frozenset((*range(11, 20), *range(46, 51))))
    await archived(torn, slots, 10, 15, 33)
    await rebuild(ports(whole), 1)
    rebuilt = await rebuild(ports(torn), 1)
    assert rebuilt.slots == 50 and rebuilt.restored == 14
    assert holdings(torn) == holdings(whole)
    journal = [decode_slot(data) for _, data in await torn.journal.read(0, 0, 100)]
    assert [(slot.n, slot.events) for slot in journal] == [(slot.n, slot.events) for slot in slots]
    assert all(slot.fed_through < slot.n for slot in journal)
    assert [slot.at_ms for slot in journal] == sorted(slot.at_ms for slot in journal)


class DiedError(Exception):
    """Stands for SIGKILL."""


def die(*_: object) -> None:
    raise DiedError


async def torn_cloud() -> SimCloud:
    """Slots that only the archive has, slots that only the journal has, wallets of nobody."""
    cloud = SimCloud.build()
    here, there = SolventMarket(Random(8), 0).slots(12), SolventMarket(Random(9), 1, symbol="ETHUSD").slots(6)
    await journaled(cloud, here, without=frozenset({5, 6}))
    await journaled(cloud, there)
    await archived(cloud, here[:8], 4)
    await cloud.wallets.settle("stranger", "BTC", 0, first=1, last=1, available=5, held=0)
    return cloud


async def outcome(cloud: SimCloud, projections: SimProjections) -> tuple[object, ...]:
    """All that a rebuild writes."""
    journal = [await cloud.journal.read(partition, 0, 100) for partition in range(2)]
    return holdings(cloud), projections.database.slots, journal, [await cloud.history.spans(one) for one in range(2)]


@pytest.mark.parametrize("point", [one for one in kill_points.kill_points(Ports) if not one.startswith("leases.")])
@in_virtual_time
async def test_one_that_died_at_any_of_its_writes_is_run_again_and_gives_the_same(
    point: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each run empties the schema first, as `main` does."""
    monkeypatch.setattr(rebuilding, "NODE_COUNT", 1)  # a thousand leases are looked at in another test
    whole = await torn_cloud()
    await rebuild(ports(whole), 2)
    expected = await outcome(whole, whole.projections)
    monkeypatch.setattr(kill_points.os, "kill", die)
    for passing in count(1):
        cloud = await torn_cloud()
        monkeypatch.setenv(KILL_AT, f"{point}:{passing}")
        try:
            await rebuild(with_kill_point(ports(cloud)), 2)
        except DiedError:
            again = SimProjections(clock=cloud.journal._clock)
            await rebuild(replace(ports(cloud), projections=again), 2)
            assert await outcome(cloud, again) == expected
        else:
            break
    assert passing > 1, "it was reached"


@in_virtual_time
async def test_a_slot_that_is_nowhere_is_told_and_not_passed_over() -> None:
    cloud = SimCloud.build()
    slots = SolventMarket(Random(4), 0).slots(30)
    await journaled(cloud, slots, without=frozenset({12}))
    with pytest.raises(JournalBrokenError, match="slot 12 of partition 0"):
        await rebuild(ports(cloud), 1)


@pytest.mark.parametrize("name", [partition_lease(1), node_lease(700)])
@in_virtual_time
async def test_a_running_exchange_is_left_alone(name: str) -> None:
    cloud = SimCloud.build()
    now_ms = cloud.journal._clock.now_ms()
    await cloud.leases.acquire(name, "somebody", now_ms, 1_000)
    with pytest.raises(ExchangeRunsError, match="somebody"):
        await rebuild(ports(cloud), 2)
    await cloud.leases.release(name, "somebody")
    assert (await rebuild(ports(cloud), 2)).slots == 0


@in_virtual_time
async def test_promises_not_yet_journaled_keep_their_holds() -> None:
    cloud = SimCloud.build()
    slots = SolventMarket(Random(5), 0).slots(20)
    await journaled(cloud, slots)
    await rebuild(ports(cloud), 1)
    before = holdings(cloud)
    order = PlaceOrder(
        order_id=1,
        user_id="alice",
        client_order_id="",
        symbol="BTCUSD",
        side=Side.BUY,
        order_type=OrderType.LIMIT,
        time_in_force=TimeInForce.GTC,
        price=1,
        quantity=1,
        hold=77,
        hold_asset="USD",
        entered_at_ms=START_MS,
    )
    withdrawal = WithdrawFunds(
        command_id=2,
        user_id="operator",
        symbol=CASH_DESK,
        entered_at_ms=START_MS,
        account_id="bob",
        asset="USD",
        amount=33,
        transfer_id="t",
    )
    shown = next(event for slot in slots for event in slot.events if isinstance(event, FundsDeposited))
    fresh = SimCloud.build()
    await journaled(fresh, slots)
    journaled_before = replace(withdrawal, command_id=shown.cause)
    for command in (order, withdrawal, journaled_before):
        intent = Intent(
            user_id="x",
            order_id=command.command_id,
            client_order_id=None,
            body_digest="",
            partition=0,
            group="g",
            command=encode_commands([command]),
            created_at_ms=START_MS,
        )
        fresh.wallets._store(intent)
    rebuilt = await rebuild(ports(fresh), 1)
    assert rebuilt.on_their_way == 2
    after = holdings(fresh)
    for wallet, units in ((("alice", "USD"), 77), (("bob", "USD"), 33)):
        available, held = before[wallet]
        assert after[wallet] == (available - units, held + units)
    assert [one.order_id for one in await fresh.wallets.all_pending(0)] == [1, 2]


@pytest.mark.parametrize("seed", range(20))
def test_a_slot_is_found_in_the_archive_however_its_objects_overlap(seed: int) -> None:
    random = Random(seed)
    firsts = [random.randint(1, 60) for _ in range(seed)]
    spans = [(first, first + random.choice((0, 1, 5, 30))) for first in firsts]
    archived = ArchivedSpans(spans)
    assert archived.last == max((last for _, last in spans), default=0)
    for n in range(100):
        having = [span for span in spans if span[0] <= n <= span[1]]
        assert archived.of(n) in (having or [None])


def test_the_archive_is_read_back_as_it_was_written() -> None:
    slots = SolventMarket(Random(6), 0).slots(40)
    read = list(history_slots(history_object(slots), 0, 1, 40, 0))
    assert [(slot.n, slot.events) for slot in read] == [(slot.n, slot.events) for slot in slots]


@in_virtual_time
async def test_slots_that_were_not_settled_when_all_was_stopped_are_archived() -> None:
    cloud = SimCloud.build()
    slots = SolventMarket(Random(8), 0).slots(30)
    await journaled(cloud, slots)
    await archived(cloud, slots[:20], 12)
    await rebuild(ports(cloud), 1)
    assert await cloud.history.spans(0) == [(1, 12), (13, 20), (21, 30)]
    assert cloud.history.objects[0, 21, 30] == history_object(slots[20:])
