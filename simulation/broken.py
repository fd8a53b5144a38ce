"""Parts of the exchange with one safeguard taken out: what `ablations` puts in the place of the real ones."""

import contextlib
import dataclasses
import sys
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from itertools import chain
from typing import Any, Final

import exchange_gateway.trading.orders
from exchange_adapters.sim import SimDatabaseReader, SimWallets
from exchange_adapters.sim.projections import SimProjection
from exchange_core.codec import Slot, decode_slot
from exchange_core.errors import Ambiguous
from exchange_core.events import CommandRefused, Event, FundsDeposited, SymbolStatusChanged, TradeExecuted
from exchange_core.ids import IdGenerator
from exchange_core.instruments import SymbolStatus
from exchange_core.ports import Delivery, Intent, OrderView, TradeView, Wallet
from exchange_core.symbol_state import SymbolState
from exchange_core.topology import Topology, user_channel
from exchange_core.triggers import TriggerBook
from exchange_fanout.hub import Hub
from exchange_gateway.problems import Code, ProblemError
from exchange_gateway.trading.holds import Admitted, FundsShort
from exchange_matcher.slots import EncodedSlot
from exchange_matcher.worker import _Rounds
from exchange_persister.reconciler import Reconciler

# Matcher


async def acknowledge_first(self: Any, deliveries: Sequence[Delivery]) -> None:
    await self._acknowledge([delivery.receipt for delivery in deliveries])
    await _COMMIT_BATCH(self, deliveries)


async def publish_first(self: Any, deliveries: Sequence[Delivery]) -> None:
    at_ms = self._now_ms = max(self._ports.clock.now_ms(), self._now_ms)
    batch = self._execute(deliveries, at_ms, ())
    await self._publication.publish(self._engine, chain.from_iterable(batch.units), batch.at_ms)
    for encoded in self._pack(batch):
        await self._commit.commit(encoded)
        self.n, self._slot_at_ms = encoded.slot.n, encoded.slot.at_ms
    await self._acknowledge(batch.receipts)


def execute_unguarded(self: Any, command: Any, at_ms: int) -> Any:
    return self._engine.execute(command, at_ms)


async def put_over(self: Any, partition: int, n: int, data: bytes) -> None:
    async with self._faults.call("journal.put"):
        self._slots.setdefault(partition, {})[n] = data


async def guess_the_put(self: Any, n: int, data: bytes) -> None:
    try:
        await self._journal.put(self._partition, n, data)
    except Ambiguous:
        return


async def feed_first(self: Any, encoded: EncodedSlot) -> None:
    await self.feed(encoded.data)
    await self._put(encoded.slot.n, encoded.data)


def as_if_fed(data: bytes) -> Slot:
    slot = decode_slot(data)
    return dataclasses.replace(slot, fed_through=slot.n)


async def nothing(*_: Any, **__: Any) -> None:
    return None


def one_chance(self: Topology, partition: int) -> Any:
    return dataclasses.replace(_ORDERS_QUEUE(self, partition), max_receives=1)


def stay_open(self: SymbolState, status: SymbolStatus, until_ms: int | None) -> None:
    _SET_STATUS(self, status, until_ms)
    self.is_trading = True


# Persister and its stores


async def settle_regardless(self: Any, user_id: str, asset: str, partition: int, **change: int) -> Any:
    item = self._wallets.get((user_id, asset))
    if item is not None:
        item.applied.pop(partition, None)
    return await _SETTLE(self, user_id, asset, partition, **change)


@contextlib.asynccontextmanager
async def rows_then_position(self: Any, partition: int) -> AsyncIterator[SimProjection]:
    """The rows in one transaction, the position in another."""
    projection = SimProjection(self.database, partition, self._faults)
    projection._position = _POSITIONS.setdefault(id(self.database), {}).get(partition, 0)
    yield projection
    self._commit(partition, projection)
    async with self._faults.call("database.commit"):
        _POSITIONS[id(self.database)][partition] = projection.position


def follow_nothing(_: Any, __: Slot) -> None:
    """A database without the constraint that an order enters once."""


async def record_in_part(self: Any, slots: Sequence[Slot]) -> None:
    """Some of the rows get lost."""
    await _RECORD(self, slots)
    self.recorded[-len(slots) :] = [
        dataclasses.replace(slot, events=tuple(event for event in slot.events if not _is_lost(event))) for slot in slots
    ]


def _is_lost(event: Event) -> bool:
    match event:
        case TradeExecuted():
            return event.trade_id % 3 == 1
        case FundsDeposited():
            return event.transfer_id.startswith("transfer-")
        case SymbolStatusChanged() | CommandRefused():
            return True
    return False


async def read_in_part(self: Any) -> set[Any]:
    return await _READ_JOURNAL(self) or set()


def one_channel(_: str) -> str:
    return user_channel("everybody")


# Fanout


async def read_once(self: Any, channel: str) -> bool:
    read = vars(self).setdefault("books_read", set())
    is_read: bool = channel in read or await _READ_BOOK(self, channel)
    if is_read:
        read.add(channel)
    return is_read


# Gateway and its stores


async def sweep_nothing(*_: Any) -> int:
    return 0


async def hold_then_promise(self: Any, holds: Mapping[tuple[str, str], int], intents: Sequence[Intent]) -> None:
    await _WALLETS_COMMIT(self, holds, [])
    await _WALLETS_COMMIT(self, {}, intents)


def hold_nothing(_: Any) -> dict[tuple[str, str], int]:
    return {}


async def refuse_in_doubt(self: Any) -> None:
    try:
        await self._holds.commit(self._total_holds(), [request.intent for request in self._remaining])
    except Ambiguous:
        self._settle_all(FundsShort(available=0))
    else:
        self._settle_all(Admitted())


def store_unlisted(self: Any, intent: Intent) -> None:
    _STORE(self, intent)
    self._pending[intent.partition].pop(intent.order_id)


def refuse_no_repeat(self: Any, holds: Mapping[tuple[str, str], int], intents: Sequence[Intent]) -> None:
    _REFUSE(self, holds, [dataclasses.replace(intent, client_order_id=None) for intent in intents])


async def none_carried_out(*_: Any, **__: Any) -> frozenset[int]:
    return frozenset()


async def same_node(self: Any) -> bool:
    self._node, self._ids, self._until_ms = 0, self._ids or IdGenerator(0), sys.maxsize
    return True


def only_what_is_settled(_: Any) -> Any:
    raise ProblemError(Code.ORDER_NOT_FOUND, "the database does not know it")


async def claim_alone(_: Any, __: str, ___: int) -> bool:
    return True


async def everybodys_orders(self: Any, _: str, *, limit: int, **__: Any) -> Sequence[OrderView]:
    return list((await self._query()).orders.values())[:limit]


async def some_trades(self: Any, symbol: str, **options: Any) -> Sequence[TradeView]:
    return [trade for trade in await _TRADES(self, symbol, **options) if trade.trade_id % 3 != 1]


async def without_holds(self: Any, user_id: str) -> Sequence[Wallet]:
    return [dataclasses.replace(wallet, held=0) for wallet in await _BALANCES(self, user_id)]


def round_up(*arguments: Any, **options: Any) -> Any:
    order = _PRICE_ORDER(*arguments, **options)
    is_sell = order.side == "sell" and order.price is not None
    return dataclasses.replace(order, price=order.price + 1) if is_sell else order


def none_waiting(_: TriggerBook) -> Iterator[Any]:
    return iter(())


_SET_STATUS: Final[Any] = SymbolState.set_status
_READ_BOOK: Final[Any] = Hub._read_book
_READ_JOURNAL: Final[Any] = Reconciler._read_journal
_COMMIT_BATCH: Final[Any] = _Rounds._commit_batch
_RECORD: Final[Any] = SimProjection.record
_WALLETS_COMMIT: Final[Any] = SimWallets.commit
_SETTLE: Final[Any] = SimWallets.settle
_STORE: Final[Any] = SimWallets._store
_REFUSE: Final[Any] = SimWallets._refuse
_ORDERS_QUEUE: Final[Any] = Topology.orders_queue
_TRADES: Final[Any] = SimDatabaseReader.trades
_BALANCES: Final[Any] = SimWallets.balances
_PRICE_ORDER: Final[Any] = exchange_gateway.trading.orders.price_order  # type: ignore[attr-defined]
_POSITIONS: Final[dict[int, dict[int, int]]] = {}
