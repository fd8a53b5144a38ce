"""The reconciler is silent while all is well, whatever is on its way, and halts what differs."""

import asyncio
from dataclasses import replace
from random import Random

import pytest

from exchange_adapters.sim import Faults
from exchange_adapters.sim.virtual_time import in_virtual_time
from exchange_core.errors import Unavailable
from exchange_core.instruments import SymbolStatus
from exchange_persister import reconciler
from exchange_persister.reconciler import CONFIRMATIONS, Reconciler
from tests.unit.persister.reconciler_scene import Busy, Down, Scene


@in_virtual_time
async def test_rows_that_could_not_be_read_in_one_round_are_compared_in_the_next():
    """The simulation's seed 5: the round that failed had moved on, and the next one missed its rows."""
    scene = Scene()
    await scene.journal(30)
    await scene.settle()
    faults = Faults()
    faults.script("settled.query", [None, "before"])
    scene.reconciler.ports = replace(scene.reconciler.ports, rows=scene.rows.seen_by(faults))
    with pytest.raises(Unavailable):
        await scene.reconciler.round()
    await scene.journal(5)
    await scene.settle()
    assert await scene.rounds() == {}
    assert not faults.unspent


@pytest.mark.parametrize("seed", range(4))
@in_virtual_time
async def test_it_is_silent_while_all_is_well(seed: int) -> None:
    scene, random = Scene(seed), Random(seed)
    await scene.journal()
    await scene.settle()
    for _ in range(30):
        await scene.journal(random.randint(0, 3))
        await scene.settle(random.randint(0, 4))
        await scene.reconciler.round()
    await scene.settle()
    assert await scene.rounds() == {}
    assert await scene.halts() == []


@pytest.mark.parametrize(("available", "held"), [(1, 0), (-7, 0), (0, 5), (-3, 3), (3, -3)])
@in_virtual_time
async def test_a_wallet_that_is_off_by_a_unit_halts_what_trades_its_asset(available: int, held: int) -> None:
    scene = Scene()
    await scene.journal(20)
    await scene.settle()
    assert await scene.rounds() == {}
    item = scene.cloud.wallets._wallets["alice", "BTC"]
    item.available += available
    item.held += held
    found = await scene.rounds()
    assert found == {"wallet alice BTC": f"available is {available:+}, held {held:+} beside the journal"}
    (halt,) = await scene.halts()
    assert (halt.symbol, halt.status) == ("BTCUSD", SymbolStatus.HALTED)
    assert (await scene.rounds()) == found and await scene.halts() == [], "it is told once"


@in_virtual_time
async def test_it_is_told_while_the_market_goes_on() -> None:
    scene = Scene(3)
    await scene.journal(10)
    await scene.settle()
    scene.cloud.wallets._wallets["bob", "USD"].available += 9
    for _ in range(CONFIRMATIONS + 3):
        await scene.journal(2)
        await scene.settle()
        await scene.reconciler.round()
    assert scene.reconciler.found == {"wallet bob USD": "available is +9, held +0 beside the journal"}


@in_virtual_time
async def test_a_slot_that_the_database_has_and_a_wallet_has_not_is_told() -> None:
    scene = Scene()
    await scene.journal(12)
    await scene.settle()
    scene.cloud.wallets._wallets["alice", "USD"].applied[0] = 0
    found = await scene.rounds()
    assert "is in the database and not in the wallet" in found["wallet alice USD"]


@pytest.mark.parametrize("table", ["ledger", "trades"])
@in_virtual_time
async def test_rows_that_are_not_the_journals_are_told_and_halt_their_symbol(table: str) -> None:
    scene = Scene(2)
    await scene.journal(25)
    await scene.settle()
    scene.rows.tampered = table
    found = await scene.rounds(1)
    assert [place.partition(" ")[0] for place in found] == [table]
    assert [halt.symbol for halt in await scene.halts()] == ["BTCUSD"]


@in_virtual_time
async def test_a_hold_on_its_way_to_the_journal_is_no_difference() -> None:
    scene = Scene()
    await scene.journal(5)
    await scene.settle()
    await scene.promise("alice", 77, units=123)
    assert await scene.rounds() == {}
    await scene.cloud.wallets.mark_seen(0, [77])
    assert "wallet alice USD" in await scene.rounds(), "the journal never showed it"


@in_virtual_time
async def test_a_halt_that_cannot_be_sent_is_sent_later() -> None:
    scene = Scene()
    await scene.journal(8)
    await scene.settle()
    await scene.rounds()
    scene.cloud.wallets._wallets["alice", "BTC"].available += 1
    up = scene.reconciler.ports
    scene.reconciler.ports = replace(up, commands=Down())
    with pytest.raises(Unavailable):
        await scene.rounds()
    assert scene.reconciler.found == {}
    scene.reconciler.ports = up
    assert await scene.rounds()
    assert len(await scene.halts()) == 1


@in_virtual_time
async def test_a_halt_is_another_command_when_it_is_told_anew_after_a_restart() -> None:
    """Somebody may have opened the symbol meanwhile, and a matcher would take the same command for a repeat."""
    scene = Scene()
    await scene.journal(8)
    scene.cloud.wallets._wallets["alice", "BTC"].available += 1
    told = await scene.rounds()
    (halt,) = await scene.halts()
    await asyncio.sleep(1.0)
    scene.reconciler = Reconciler(ports=scene.reconciler.ports, partitions=1)
    assert await scene.rounds() == told
    (again,) = await scene.halts()
    assert again.symbol == halt.symbol and again.command_id != halt.command_id


@in_virtual_time
async def test_a_long_journal_is_read_without_pauses_but_not_while_it_waits_for_the_database(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(reconciler, "SLOTS_A_ROUND", 3)
    scene = Scene()
    await scene.journal(12)
    assert await scene.rounds_told_up_to_date() == [False, False, True], "full, and the database has no more"
    await scene.settle()
    told = await scene.rounds_told_up_to_date()
    assert len(told) >= 4, "the rest is read round by round"
    assert scene.reconciler._books.settled == {0: 12}
    assert scene.reconciler.found == {}


@in_virtual_time
async def test_a_round_that_fails_is_followed_by_a_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    async def unavailable() -> dict[int, int]:
        raise Unavailable("down")

    monkeypatch.setattr(reconciler, "SLOTS_A_ROUND", 3)
    scene = Scene()
    await scene.journal(12)
    await scene.reconciler.round()
    assert not scene.reconciler.is_up_to_date
    monkeypatch.setattr(scene.rows, "positions", unavailable)
    with pytest.raises(Unavailable):
        await scene.reconciler.round()
    assert scene.reconciler.is_up_to_date


@pytest.mark.parametrize("seed", range(4))
@in_virtual_time
async def test_on_its_way_through_a_long_journal_it_judges_nobody(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """An order rests that was taken long after all else of its user: until its slot is read, the hold is strange."""
    monkeypatch.setattr(reconciler, "SLOTS_A_ROUND", 3)
    scene = Scene(seed)
    await scene.journal(10)
    await scene.journal(30, orders=0)
    await scene.bid("dave")
    while len(scene.cloud.projections.database.slots.get(0, [])) < len(scene.slots):
        await scene.settle(1)
    assert await scene.rounds(60) == {}
    assert scene.reconciler._books.heads == {0: len(scene.slots)}


@pytest.mark.parametrize("settled", [True, False])
@pytest.mark.parametrize("moment", ["before the wallet", "behind the wallet"])
@in_virtual_time
async def test_an_order_that_comes_amid_every_look_is_no_difference(moment: str, settled: bool) -> None:
    """The same hold every time, as a market maker's."""
    scene = Scene()
    await scene.journal(10)
    await scene.settle()
    scene.reconciler.ports = replace(scene.reconciler.ports, wallets=(busy := Busy(scene, moment, settled=settled)))
    assert await scene.rounds(10) == {}
    assert busy.count == 10
    busy.moment = "never"
    assert await scene.rounds(10) == {}
    assert scene.reconciler._touched == {}


@in_virtual_time
async def test_a_wallet_in_which_something_moves_now_and_then_is_told_all_the_same() -> None:
    scene = Scene()
    await scene.journal(10)
    await scene.settle()
    scene.cloud.wallets._wallets["dave", "USD"].available += 9
    scene.reconciler.ports = replace(scene.reconciler.ports, wallets=(busy := Busy(scene, "before the wallet")))
    for _ in range(CONFIRMATIONS):
        busy.moment = "before the wallet"
        await scene.rounds(2)
        busy.moment = "never"
        await scene.rounds(1)
    assert scene.reconciler.found == {"wallet dave USD": "available is +9, held +0 beside the journal"}


@in_virtual_time
async def test_a_slot_that_a_wallet_has_and_the_journal_has_not_is_told() -> None:
    scene = Scene()
    await scene.journal(12)
    await scene.settle()
    scene.cloud.wallets._wallets["alice", "USD"].applied[0] = 13
    assert await scene.rounds() == {"wallet alice USD": "slot 0:13 is in the wallet and not in the journal"}
