"""A market that settles, for the reconciler to look at: with stores that can be tampered with, busy or away."""

from collections.abc import Sequence
from dataclasses import replace
from random import Random
from typing import Any

from exchange_adapters.projection_rows import instruments_after
from exchange_adapters.sim import SimCloud
from exchange_adapters.sim.settled import SimSettledRows
from exchange_core.codec import Slot, decode_commands, encode_commands, encode_slot
from exchange_core.commands import PlaceOrder, SetSymbolStatus
from exchange_core.errors import Unavailable
from exchange_core.events import OrderAccepted
from exchange_core.ledger import hold_before
from exchange_core.orders import OrderType, Side, TimeInForce
from exchange_core.ports import Intent, Pending, Wallet
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


class Busy:
    """The wallets, amid whose reading dave sends an order, each time with the same hold: `settled` says whether it is
    journaled and settled at once, or on its way from then on."""

    def __init__(self, scene: "Scene", moment: str, *, settled: bool = True) -> None:
        self._scene = scene
        self._is_settled = settled
        self.moment = moment
        self.count = 0

    async def wallet(self, user_id: str, asset: str) -> Wallet | None:
        is_his = (user_id, asset) == ("dave", "USD")
        if is_his and self.moment == "before the wallet":
            await self._trade()
        found = await self._scene.cloud.wallets.wallet(user_id, asset)
        if is_his and self.moment == "behind the wallet":
            await self._trade()
        return found

    async def all_pending(self, partition: int) -> Sequence[Pending]:
        return await self._scene.cloud.wallets.all_pending(partition)

    async def _trade(self) -> None:
        self.count += 1
        if self._is_settled:
            await self._scene.bid("dave")
            await self._scene.settle()
        else:
            await self._scene.promise("dave", self.count, units=123)


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

    async def journal(self, count: int = 1, orders: int = 4) -> None:
        for _ in range(count):
            await self._journal(self.market.slot(orders))

    async def bid(self, user_id: str) -> None:
        """A slot of nothing but an order that rests, the same every time."""
        units = self.market.instrument.tick_lot_units
        terms = self.market._terms(user_id=user_id, side=Side.BUY, price=1, quantity=1, hold=units, hold_asset="USD")
        accepted: Any = OrderAccepted
        await self._journal(replace(self.market.slot(0), events=(accepted(**terms),)))

    async def _journal(self, slot: Slot) -> None:
        instruments = instruments_after({}, [*self.slots, slot])
        for event in slot.events:
            hold = hold_before(event, instruments)
            if hold is not None:
                await self.hold(*hold)
        self.slots.append(slot)
        await self.cloud.journal.put(0, slot.n, encode_slot(slot))
        if slot.n == 1:
            await self.settle()  # the deposits: nothing is held before there are wallets

    async def promise(self, user_id: str, order_id: int, *, units: int) -> None:
        """An order with its hold and its intent, as a gateway commits them."""
        order = PlaceOrder(
            order_id=order_id,
            user_id=user_id,
            client_order_id="",
            symbol="BTCUSD",
            side=Side.BUY,
            order_type=OrderType.LIMIT,
            time_in_force=TimeInForce.GTC,
            price=1,
            quantity=1,
            hold=units,
            hold_asset="USD",
            entered_at_ms=START_MS,
        )
        intent = Intent(
            user_id=user_id,
            order_id=order_id,
            client_order_id=None,
            body_digest="",
            partition=0,
            group="BTCUSD",
            command=encode_commands([order]),
            created_at_ms=START_MS,
        )
        await self.cloud.wallets.commit({(user_id, "USD"): units}, [intent])

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

    async def rounds_told_up_to_date(self) -> list[bool]:
        """Rounds until one says that no other is due at once; what each said."""
        told: list[bool] = []
        while not told or not told[-1]:
            await self.reconciler.round()
            told.append(self.reconciler.is_up_to_date)
        return told

    async def halts(self) -> list[SetSymbolStatus]:
        deliveries = await self.cloud.queues.receive(0, 0)
        await self.cloud.queues.delete(0, [one.receipt for one in deliveries])
        commands = [command for one in deliveries for command in decode_commands(one.body)]
        return [command for command in commands if isinstance(command, SetSymbolStatus)]
