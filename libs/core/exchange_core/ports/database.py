"""Projections for queries: PostgreSQL."""

from collections.abc import Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Any, Protocol

from exchange_core.candles import Candle, CandleInterval, Ticker
from exchange_core.codec import Slot
from exchange_core.instruments import Instrument
from exchange_core.ledger import PostingKind
from exchange_core.orders import OrderStatus, OrderType, Reason, SelfTradePrevention, Side, TimeInForce
from exchange_core.outcomes import CommandOutcome, OperatorCommand


class Projection(Protocol):
    """One open transaction of the persister on one partition; the partition's position row is locked by it."""

    @property
    def position(self) -> int:
        """The last slot that is in the database (0: none)."""
        ...

    @property
    def instruments(self) -> Mapping[str, Instrument]:
        """All instruments known to the database, by symbol."""
        ...

    @property
    def candles(self) -> Sequence[Candle]:
        """The candles that `record` has changed last, as they stand in the database with it: by interval, and of one
        symbol oldest first."""
        ...

    @property
    def orders(self) -> Sequence["OrderView"]:
        """The orders that `record` has changed last, as they stand in the database with it."""
        ...

    async def record(self, slots: Sequence[Slot]) -> None:
        """Write orders, trades, candles, ledger and instruments of these slots, which follow `position` without a
        gap, and move the position to the last of them."""
        ...

    async def checkpoint(self, shard_id: str, sequence_number: str) -> None:
        """Remember, in the same transaction, how far the shard has been read."""
        ...


class Projections(Protocol):
    """The persister's half of the database."""

    def begin(self, partition: int) -> AbstractAsyncContextManager[Projection]:
        """Open a transaction and lock the partition; commits on leaving, rolls back on an exception.

        Raises Ambiguous when a commit broke off: read the position again.
        """
        ...

    async def checkpoints(self) -> Mapping[str, str]:
        """shard_id → last sequence number recorded."""
        ...

    async def tickers(self, symbols: Sequence[str], now_ms: int) -> Sequence[Ticker]:
        """The tickers of those symbols that have ever traded, by symbol, over the 24 hours before `now_ms`."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderView:
    """An order as the database last saw it. Prices in ticks, quantities in lots, amounts in units, times in ms."""

    order_id: int
    client_order_id: str
    user_id: str
    symbol: str
    side: Side
    order_type: OrderType
    time_in_force: TimeInForce
    price: int | None
    quantity: int | None
    quote_quantity: int | None
    trigger_price: int | None
    display_quantity: int | None
    expires_at_ms: int | None
    post_only: bool
    self_trade_prevention: SelfTradePrevention
    filled_quantity: int
    filled_quote: int
    fee: int
    status: OrderStatus
    reason: Reason | None
    seq: int
    created_at_ms: int
    updated_at_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class FillView:
    """One side of a trade, as its owner sees it; `fee` in units of `fee_asset`."""

    symbol: str
    trade_id: int
    order_id: int
    side: Side
    is_maker: bool
    price: int
    quantity: int
    fee: int
    fee_asset: str
    seq: int
    at_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class TradeView:
    """A trade as everyone sees it."""

    symbol: str
    trade_id: int
    price: int
    quantity: int
    taker_side: Side
    seq: int
    at_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class LedgerEntry:
    """A line of the ledger as one of its accounts sees it: how its two halves changed, in units.

    `place` is (at_ms, partition, slot, line), by which entries are ordered. An order id or trade id is 0, a transfer id
    empty, where the line is about none.
    """

    place: tuple[int, int, int, int]
    kind: PostingKind
    asset: str
    available: int
    held: int
    symbol: str
    seq: int
    order_id: int
    trade_id: int
    transfer_id: str

    @property
    def at_ms(self) -> int:
        """The slot's time."""
        return self.place[0]


@dataclass(frozen=True, slots=True, kw_only=True)
class JournalPosition:
    """How far the database is in one partition: the last slot and its journal time."""

    partition: int
    slot: int
    journal_at_ms: int


class DatabaseReader(Protocol):
    """The gateway's half: a read replica, which lags. Nothing that moves money is decided from it."""

    async def order(self, user_id: str, order_id: int) -> OrderView | None:
        """The user's own order by id."""
        ...

    async def order_by_client_id(self, user_id: str, client_order_id: str) -> OrderView | None:
        """The user's own order by the client's id."""
        ...

    async def orders(
        self, user_id: str, *, symbol: str | None, open_only: bool, before_order_id: int | None, limit: int
    ) -> Sequence[OrderView]:
        """The user's orders, newest first."""
        ...

    async def fills(
        self,
        user_id: str,
        *,
        symbol: str | None,
        order_id: int | None,
        before: tuple[int, str, int] | None,
        limit: int,
    ) -> Sequence[FillView]:
        """The user's fills, newest first; `before` is (at_ms, symbol, trade_id) of the last one seen."""
        ...

    async def trades(self, symbol: str, *, before_trade_id: int | None, limit: int) -> Sequence[TradeView]:
        """Everybody's trades, newest first."""
        ...

    async def ledger(
        self,
        user_id: str,
        *,
        asset: str | None,
        symbol: str | None,
        before: tuple[int, int, int, int] | None,
        limit: int,
    ) -> Sequence[LedgerEntry]:
        """The user's ledger entries, newest first; `before` is the place of the last one seen."""
        ...

    async def outcomes(self, command_ids: Sequence[int]) -> Sequence[CommandOutcome]:
        """What became of those of the commands of which it is known, and kept; whoever sent them."""
        ...

    async def operator_commands(
        self, *, operator_id: str | None, before: tuple[int, int] | None, limit: int
    ) -> Sequence[OperatorCommand]:
        """The operators' audit log, newest first; `before` is (at_ms, command_id) of the last one seen."""
        ...

    async def open_order_count(self, user_id: str, symbol: str, at_most: int) -> int:
        """How many of the user's orders are open in the symbol; counts no further than `at_most`."""
        ...

    async def candles(
        self, symbol: str, interval: CandleInterval, *, from_ms: int, to_ms: int, limit: int
    ) -> Sequence[Candle]:
        """The stored candles that open in from_ms ≤ t < to_ms, oldest first."""
        ...

    async def candle_before(self, symbol: str, interval: CandleInterval, at_ms: int) -> Candle | None:
        """The newest stored candle that opens before `at_ms`."""
        ...

    async def tickers(self, symbols: Sequence[str], now_ms: int) -> Sequence[Ticker]:
        """As Projections.tickers."""
        ...

    async def instruments(self) -> Sequence[Instrument]:
        """All listed instruments with their present status."""
        ...

    async def positions(self) -> Sequence[JournalPosition]:
        """One a partition that has settled anything."""
        ...


class SettledRows(Protocol):
    """What the reconciler reads of the database, at the writer's endpoint: rows of slots, which never change again."""

    async def positions(self) -> Mapping[int, int]:
        """Partition → the last slot that is in the database."""
        ...

    async def ledger(self, partition: int, after: int, through: int) -> Sequence[tuple[Any, ...]]:
        """The ledger's lines of slots after < n ≤ through, by slot and line, in the adapters' order of columns."""
        ...

    async def trades(self, partition: int, after: int, through: int) -> Sequence[tuple[Any, ...]]:
        """The trades of these slots, by symbol and id, likewise."""
        ...
