"""The reconciler is silent while all is well, whatever is on its way, and halts what differs."""

from collections.abc import Sequence
from dataclasses import replace
from random import Random
from typing import Any

import pytest

from exchange_adapters.projection_rows import instruments_after
from exchange_adapters.sim import Faults, SimCloud
from exchange_adapters.sim.settled import SimSettledRows
from exchange_adapters.sim.virtual_time import in_virtual_time
from exchange_core.codec import Slot, decode_commands, encode_commands, encode_slot
from exchange_core.commands import PlaceOrder, SetSymbolStatus
from exchange_core.errors import Unavailable
from exchange_core.instruments import SymbolStatus
from exchange_core.ledger import hold_before
from exchange_core.orders import OrderType, Side, TimeInForce
from exchange_core.ports import Intent
from exchange_persister.apply import Applier, SettlementPorts
from exchange_persister.reconciler import CONFIRMATIONS, Reconciler, ReconcilerPorts
from tests.unit.persister.journals import START_MS, record_of
from tests.unit.persister.test_rebuild import SolventMarket


class TamperedRows(SimSettledRows):
    """Rows of which one is not what the journal says, once `tampered` names their table."""

    tampered = ""

    async def ledger(self, partition: int, after: int, through: int) -> Sequence[tuple[Any, ...]]:
        rows = await SimSettledRows.ledger(self, partition, after, through)
        return rows[1:] if self.tampered == "ledger" else rows

    async def trades(self, partition: int, after: int, through: int) -> Sequence[tuple[Any, ...]]:
        rows = list(await SimSettledRows.trades(self, partition, after, through))
        if self.tampered == "trades":
            rows[0] = (*rows[0][:2], rows[0][2] + 1, *rows[0][3:])
        return rows


class Down:
    """A queue that cannot be reached."""

    async def send(self, *_: Any) -> None:
        raise Unavailable("down")


class Scene:
    """A market that is journaled slot by slot, its holds taken before as a gateway does, and settled when asked."""

    def __init__(self, seed: int = 1) -> None:
        self.cloud = SimCloud.build()
        self.market = SolventMarket(Random(seed), 0)
        self.slots: list[Slot] = []
        self.rows = TamperedRows(self.cloud.projections)
        ports = SettlementPorts(
            clock=self.cloud.journal.clock,
            projections=self.cloud.projections,
            wallets=self.cloud.wallets,
            history=self.cloud.history,
            publisher=self.cloud.redis,
        )
        self.applier = Applier(ports, wallet_calls_max=4)
        self.reconciler = Reconciler(
            ports=ReconcilerPorts(
                clock=self.cloud.journal.clock,
                journal=self.cloud.journal,
                rows=self.rows,
                wallets=self.cloud.wallets,
                commands=self.cloud.queues,
            ),
            partitions=1,
        )

    async def journal(self, count: int = 1) -> None:
        for _ in range(count):
            slot = self.market.slot()
            instruments = instruments_after({}, [*self.slots, slot])
            for event in slot.events:
                hold = hold_before(event, instruments)
                if hold is not None:
                    await self.hold(*hold)
            self.slots.append(slot)
            await self.cloud.journal.put(0, slot.n, encode_slot(slot))
            if slot.n == 1:
                await self.settle()  # the deposits: nothing is held before there are wallets

    async def hold(self, user_id: str, asset: str, units: int) -> None:
        item = self.cloud.wallets._wallets[user_id, asset]
        item.available -= units
        item.held += units

    async def settle(self, count: int | None = None) -> None:
        done = len(self.cloud.projections.database.slots.get(0, []))
        waiting = self.slots[done:] if count is None else self.slots[done : done + count]
        outcome = await self.applier.apply([record_of(slot) for slot in waiting])
        assert not outcome.unsettled

    async def rounds(self, count: int = CONFIRMATIONS + 2) -> dict[str, str]:
        for _ in range(count):
            await self.reconciler.round()
        return self.reconciler.found

    async def halts(self) -> list[SetSymbolStatus]:
        deliveries = await self.cloud.queues.receive(0, 0)
        commands = [command for one in deliveries for command in decode_commands(one.body)]
        return [command for command in commands if isinstance(command, SetSymbolStatus)]


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
    order = PlaceOrder(
        order_id=77,
        user_id="alice",
        client_order_id="",
        symbol="BTCUSD",
        side=Side.BUY,
        order_type=OrderType.LIMIT,
        time_in_force=TimeInForce.GTC,
        price=1,
        quantity=1,
        hold=123,
        hold_asset="USD",
        entered_at_ms=START_MS,
    )
    await scene.hold("alice", "USD", 123)
    intent = Intent(
        user_id="alice",
        order_id=77,
        client_order_id=None,
        body_digest="",
        partition=0,
        group="BTCUSD",
        command=encode_commands([order]),
        created_at_ms=START_MS,
    )
    scene.cloud.wallets._store(intent)
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
