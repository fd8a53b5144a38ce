"""A matcher on simulated stores in virtual time: hosts that can be killed at any step, and what must hold after it."""

import asyncio
import contextlib
from collections import Counter
from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass, field
from decimal import Decimal

from exchange_adapters.sim import Faults, Gate, SimClock, SimCloud
from exchange_adapters.sim.clock import START_MS
from exchange_adapters.system import Readiness
from exchange_core.codec import Slot, decode_slot, encode_commands
from exchange_core.commands import CASH_DESK, CancelOrder, Command, DepositFunds, ListInstrument, PlaceOrder
from exchange_core.engine import PartitionEngine
from exchange_core.instruments import Instrument
from exchange_core.orders import OrderType, Side, TimeInForce
from exchange_core.ports import CommandMessage
from exchange_core.topology import Topology
from exchange_matcher.app import Ports, run
from exchange_matcher.config import Config
from tests.eventually import eventually

SYMBOL = "BTCUSDT"
PARTITIONS = 2

INSTRUMENT = Instrument(
    symbol=SYMBOL,
    base="BTC",
    quote="USDT",
    base_decimals=8,
    quote_decimals=8,
    tick_size=Decimal("0.01"),
    lot_size=Decimal("0.00001"),
    min_quantity=1,
    max_quantity=10**9,
    min_notional=0,
    maker_fee_bps=10,
    taker_fee_bps=20,
    band_bps=5_000,
    reference_price=5_000_000,
    partition=0,
    max_open_orders=100_000,
)


def listing(command_id: int = 1, *, entered_at_ms: int = START_MS) -> ListInstrument:
    return ListInstrument(
        command_id=command_id, user_id="operator", symbol=SYMBOL, entered_at_ms=entered_at_ms, instrument=INSTRUMENT
    )


def deposit(command_id: int, account_id: str, asset: str, amount: int) -> DepositFunds:
    return DepositFunds(
        command_id=command_id,
        user_id="operator",
        symbol=CASH_DESK,
        entered_at_ms=START_MS,
        account_id=account_id,
        asset=asset,
        amount=amount,
        transfer_id=str(command_id),
    )


def order(
    order_id: int,
    side: Side = Side.BUY,
    *,
    user_id: str = "alice",
    price: int = 5_000_000,
    quantity: int = 100,
    entered_at_ms: int,
    time_in_force: TimeInForce = TimeInForce.GTC,
    expires_at_ms: int | None = None,
) -> PlaceOrder:
    is_buy = side is Side.BUY
    return PlaceOrder(
        order_id=order_id,
        user_id=user_id,
        client_order_id=f"client-{order_id}",
        symbol=SYMBOL,
        side=side,
        order_type=OrderType.LIMIT,
        time_in_force=time_in_force,
        price=price,
        quantity=quantity,
        expires_at_ms=expires_at_ms,
        hold=price * quantity * INSTRUMENT.tick_lot_units if is_buy else quantity * INSTRUMENT.lot_units,
        hold_asset="USDT" if is_buy else "BTC",
        entered_at_ms=entered_at_ms,
    )


def cancel(command_id: int, order_id: int, user_id: str = "alice") -> CancelOrder:
    return CancelOrder(command_id=command_id, user_id=user_id, symbol=SYMBOL, entered_at_ms=START_MS, order_id=order_id)


@dataclass(slots=True)
class Host:
    """One matcher process: its faults, its task, and how ready it says it is."""

    name: str
    faults: Faults = field(default_factory=Faults)
    stopping: asyncio.Event = field(default_factory=asyncio.Event)
    task: asyncio.Task[None] | None = None
    readiness: Readiness | None = None

    @property
    def is_ready(self) -> bool:
        return self.readiness is not None and self.readiness.is_ready

    async def kill(self) -> None:
        """As SIGKILL: nothing more is called."""
        assert self.task is not None
        self.faults.down("leases", "sqs", "journal", "kinesis", "redis", "snapshots")
        self.task.cancel()
        await asyncio.wait([self.task])

    async def stop(self) -> None:
        """As SIGTERM."""
        assert self.task is not None
        self.stopping.set()
        await self.task


class World:
    """The simulated stores, and the matchers that work on them."""

    def __init__(self) -> None:
        self.clock = SimClock()
        self.topology = Topology(partitions=PARTITIONS)
        self.cloud = SimCloud.build(self.topology, clock=self.clock)
        self._starts = 0
        self._messages = 0

    def start(
        self, name: str = "matcher-1", *, faults: Faults | None = None, has_own_leases: bool = False, **settings: object
    ) -> Host:
        """Start a matcher; with leases of its own it works whatever others do."""
        self._starts += 1
        host = Host(name, faults or Faults())
        view = self.cloud.seen_by(host.faults)
        leases = SimCloud.build(self.topology, clock=self.clock).leases if has_own_leases else view.leases

        @contextlib.asynccontextmanager
        async def health(readiness: Readiness) -> AsyncIterator[None]:
            host.readiness = readiness
            yield

        ports = Ports(
            clock=self.clock,
            commands=view.queues,
            journal=view.journal,
            stream=view.stream,
            snapshots=view.snapshots,
            publisher=view.redis,
            leases=leases,
            writer=f"{name}:{self._starts}",
            health=health,
        )
        config = Config(instance=name, partitions=PARTITIONS, **settings)  # type: ignore[arg-type]
        host.task = asyncio.create_task(run(config, ports, host.stopping))
        return host

    async def send(self, *commands: Command, partition: int = 0, group: str = SYMBOL) -> None:
        await self.send_body(encode_commands(commands), partition=partition, group=group)

    async def send_body(self, body: str, *, partition: int = 0, group: str = SYMBOL) -> None:
        self._messages += 1
        message = CommandMessage(partition=partition, group=group, dedup_id=str(self._messages), body=body)
        await self.cloud.queues.send(partition, [message])

    async def until_drained(self, partition: int = 0) -> None:
        """Until the queue is empty: every message was acknowledged."""
        await eventually(lambda: self.cloud.queues.depth(partition) == 0, timeout_s=600)

    async def slots(self, partition: int = 0) -> list[Slot]:
        """The whole journal, checked to be gapless."""
        found = [decode_slot(data) for _, data in await self.cloud.journal.read(partition, 0, 1_000_000)]
        assert [slot.n for slot in found] == list(range(1, len(found) + 1))
        return found

    async def streamed(self, partition: int = 0) -> list[int]:
        """The slot numbers in the stream, as written, repeats included."""
        numbers = []
        for shard in await self.cloud.stream.shards():
            iterator: str | None = await self.cloud.stream.iterator(shard.shard_id, None)
            assert iterator is not None
            page = await self.cloud.stream.read(iterator, 10_000)
            slots = [decode_slot(record.data) for record in page.records]
            numbers += [slot.n for slot in slots if slot.partition == partition]
        return numbers

    async def cached_book(self, symbol: str = SYMBOL) -> bytes | None:
        return await self.cloud.redis.get(f"orderbook:{symbol}")

    async def assert_sound(self, commands: Iterable[int], partition: int = 0) -> None:
        """No slot lost or twice, every command in exactly one of them and none twice, and all of it in the stream."""
        slots = await self.slots(partition)
        replayed = PartitionEngine(partition)
        for slot in slots:
            replayed.apply_slot(slot)
        seen = Counter(cause for slot in slots for cause in {event.cause for event in slot.events if event.cause})
        first_slot = {}
        for slot in slots:
            for event in slot.events:
                first_slot.setdefault(event.cause, slot.n)
        for command_id in commands:
            assert seen[command_id] == 1, f"command {command_id} is in {seen[command_id]} slots"
        streamed = await self.streamed(partition)
        firsts = list(dict.fromkeys(streamed))
        assert firsts == [slot.n for slot in slots], "the stream lacks a slot, or has one too early"


async def reached(gate: Gate) -> None:
    async with asyncio.timeout(600):
        await gate.reached.wait()


async def listed_world() -> World:
    world = World()
    await world.send(listing())
    return world
