"""The persister's half of PostgreSQL in memory, as `exchange_adapters.postgres` finds it.

A transaction holds its partition's lock from `begin` to its end; what it recorded appears whole when it is left, or
not at all. A commit that breaks off (`database.commit`: Fault.AFTER happened, Fault.LOST did not) is Ambiguous.
"""

import asyncio
import dataclasses
from collections import ChainMap
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from typing import Final, Self

from exchange_adapters.sim.faults import Faults
from exchange_adapters.sim.projection_fold import CandleKey, ProjectionFold, add_to_candles
from exchange_adapters.sim.store import SimStore
from exchange_core.candles import Candle, CandleInterval, Ticker
from exchange_core.codec import Slot
from exchange_core.errors import Conflict, Fatal
from exchange_core.events import (
    InstrumentListed,
    OrderAccepted,
    OrderAmended,
    OrderDecremented,
    OrderDone,
    OrderRejected,
    OrderTriggered,
    SymbolStatusChanged,
    TradeExecuted,
)
from exchange_core.instruments import Instrument
from exchange_core.ports import Clock, OrderView, Projection

MAX_SLOTS: Final = 1_000_000
LOCK_TIMEOUT_S: Final = 10.0


@dataclass(slots=True)
class Database:
    """The committed state: recorded slots by partition, checkpoints, and when each batch of slots was committed."""

    slots: dict[int, list[Slot]] = field(default_factory=dict)
    checkpoints: dict[str, str] = field(default_factory=dict)
    fold: ProjectionFold = field(default_factory=ProjectionFold)
    commits: list[tuple[int, tuple[Slot, ...]]] = field(default_factory=list)
    locks: dict[int, object] = field(default_factory=dict)
    """partition → the session that has it locked"""
    unlocked: asyncio.Event = field(default_factory=asyncio.Event)

    def unlock(self, partition: int, session: object) -> None:
        """Give up a lock, if it is still this session's; all who wait look again."""
        if self.locks.get(partition) is session:
            del self.locks[partition]
            self.unlocked.set()
            self.unlocked = asyncio.Event()


class SimProjection:
    """One open transaction: a Projection."""

    def __init__(self, database: Database, partition: int, faults: Faults) -> None:
        self._database = database
        self._instruments = dict(database.fold.instruments)
        self._is_open: dict[int, bool] = {}
        self._partition = partition
        self._faults = faults
        self._position = len(database.slots.get(partition, ()))
        self._candles: dict[CandleKey, Candle] = {}
        self._changed: dict[CandleKey, None] = {}
        self._orders: ChainMap[int, OrderView] = ChainMap({}, database.fold.orders)
        self._orders_fold = ProjectionFold(instruments=self._instruments)
        self.recorded: list[Slot] = []
        self.checkpoints: dict[str, str] = {}

    @property
    def position(self) -> int:
        """As Projection.position, with what this transaction has recorded."""
        return self._position

    @property
    def instruments(self) -> Mapping[str, Instrument]:
        """As Projection.instruments, with what this transaction has recorded."""
        return self._instruments

    @property
    def candles(self) -> Sequence[Candle]:
        """As Projection.candles."""
        by_interval = sorted(self._changed, key=lambda key: [*CandleInterval].index(key[1]))
        return [self._candles[key] for key in by_interval if key in self._candles]

    @property
    def orders(self) -> Sequence[OrderView]:
        """As Projection.orders."""
        return list(self._orders.maps[0].values())

    async def record(self, slots: Sequence[Slot]) -> None:
        """As Projection.record. Operation `database.record`; refuses a gap as the persister's own bug.

        Raises Fatal for events that do not follow from the recorded ones: a change of an order that is unknown or
        done, a second entry, a symbol that was never listed.
        """
        async with self._faults.call("database.record"):
            self._changed.clear()
            self._orders = self._orders_fold.orders = self._orders.new_child()
            for slot in slots:
                assert slot.partition == self._partition and slot.n == self._position + 1, "a gap in the slots"
                self._position = slot.n
                self.recorded.append(slot)
                self._follow(slot)
                self._orders_fold.apply(slot)

    async def checkpoint(self, shard_id: str, sequence_number: str) -> None:
        """As Projection.checkpoint; one behind what is stored changes nothing. Operation `database.checkpoint`."""
        async with self._faults.call("database.checkpoint"):
            self.checkpoints[shard_id] = sequence_number

    def _follow(self, slot: Slot) -> None:
        for event in slot.events:
            match event:
                case InstrumentListed():
                    self._instruments[event.symbol] = event.instrument
                case SymbolStatusChanged():
                    listed = self._instruments.get(event.symbol)
                    if listed is None:
                        raise Fatal(f"{event.symbol} was never listed")
                    self._instruments[event.symbol] = dataclasses.replace(listed, status=event.status)
                case OrderAccepted() | OrderRejected():
                    if event.order_id in self._is_open or event.order_id in self._database.fold.orders:
                        raise Fatal(f"order {event.order_id} enters twice")
                    self._is_open[event.order_id] = isinstance(event, OrderAccepted)
                case TradeExecuted():
                    self._require_open(event.maker_order_id)
                    self._require_open(event.taker_order_id)
                    self._add_to_candles(event, slot.at_ms)
                case OrderDone() | OrderAmended() | OrderDecremented() | OrderTriggered():
                    self._require_open(event.order_id)
                    self._is_open[event.order_id] = not isinstance(event, OrderDone)

    def _add_to_candles(self, trade: TradeExecuted, at_ms: int) -> None:
        """In copies of the committed ones, which change when this transaction is."""
        for interval in CandleInterval:
            key = (trade.symbol, interval, interval.open_at_ms(at_ms))
            committed = self._database.fold.candles.get(key)
            if committed is not None:
                self._candles.setdefault(key, committed)
            self._changed[key] = None
        add_to_candles(self._candles, trade, self._instruments[trade.symbol], at_ms)

    def _require_open(self, order_id: int) -> None:
        stored = self._database.fold.orders.get(order_id)
        if not self._is_open.get(order_id, stored is not None and not stored.status.is_final):
            raise Fatal(f"order {order_id} is unknown or done")


class SimProjections(SimStore):
    """Projections. SimDatabaseReader shows what was committed here."""

    def __init__(self, *, clock: Clock | None = None, faults: Faults | None = None) -> None:
        super().__init__(clock=clock, faults=faults)
        self.database = Database()
        self._sessions: list[tuple[int, object]] = []

    def seen_by(self, faults: Faults) -> Self:
        """The same database for another process, with connections of its own."""
        view = super().seen_by(faults)
        view._sessions = []
        return view

    def disconnect(self) -> None:
        """The process died: its open transactions are rolled back, their locks free."""
        for partition, session in self._sessions:
            self.database.unlock(partition, session)
        self._sessions.clear()

    def begin(self, partition: int) -> AbstractAsyncContextManager[Projection]:
        """As Projections.begin. Operations `database.begin` and `database.commit`."""
        return self._transaction(partition)

    async def checkpoints(self) -> Mapping[str, str]:
        """As Projections.checkpoints. Operation `database.checkpoints`."""
        async with self._faults.call("database.checkpoints", is_read=True):
            return dict(self.database.checkpoints)

    async def tickers(self, symbols: Sequence[str], now_ms: int) -> Sequence[Ticker]:
        """As Projections.tickers. Operation `database.tickers`."""
        async with self._faults.call("database.tickers", is_read=True):
            found = [self.database.fold.ticker(symbol, now_ms) for symbol in sorted(symbols)]
            return [ticker for ticker in found if ticker is not None]

    def recorded(self, partition: int) -> Sequence[Slot]:
        """The committed slots of a partition, from 1."""
        return tuple(self.database.slots.get(partition, ()))

    @asynccontextmanager
    async def _transaction(self, partition: int) -> AsyncIterator[Projection]:
        async with self._faults.call("database.begin", is_read=True):
            pass
        session = object()
        await self._lock(partition, session)
        self._sessions.append((partition, session))
        try:
            projection = SimProjection(self.database, partition, self._faults)
            yield projection
            async with self._faults.call("database.commit"):
                self._commit(partition, projection)
        finally:
            self.database.unlock(partition, session)
            if (partition, session) in self._sessions:
                self._sessions.remove((partition, session))

    async def _lock(self, partition: int, session: object) -> None:
        try:
            async with asyncio.timeout(LOCK_TIMEOUT_S):
                while partition in self.database.locks:
                    await self.database.unlocked.wait()
        except TimeoutError as error:
            raise Conflict(f"partition {partition} is locked") from error
        self.database.locks[partition] = session

    def _commit(self, partition: int, projection: SimProjection) -> None:
        slots = self.database.slots.setdefault(partition, [])
        assert len(slots) + len(projection.recorded) <= MAX_SLOTS, "a simulation outgrew its database"
        slots.extend(projection.recorded)
        for slot in projection.recorded:
            self.database.fold.apply(slot)
        for shard_id, sequence_number in projection.checkpoints.items():
            stored = self.database.checkpoints.get(shard_id, "0")
            self.database.checkpoints[shard_id] = max(stored, sequence_number, key=int)
        if projection.recorded:
            self.database.commits.append((self._clock.now_ms(), tuple(projection.recorded)))
