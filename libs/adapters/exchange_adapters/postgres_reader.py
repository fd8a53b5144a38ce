"""PostgreSQL for the gateway: the reader's endpoint, which lags. Nothing that moves money is decided from it.

Every query of orders and fills names the user, so that one user never sees another's; statements are prepared once a
connection and bounded in time by the pool (see `postgres.open_pool`).
"""

from collections.abc import Sequence
from typing import Any, Final

import asyncpg

from exchange_adapters.postgres import read_instrument, translated
from exchange_adapters.postgres_candles import read_candle_before, read_candles, read_tickers
from exchange_adapters.postgres_orders import ORDER_VIEW_COLUMNS, order_view
from exchange_adapters.postgres_outcomes import read_operator_commands, read_outcomes
from exchange_core.candles import Candle, CandleInterval, Ticker
from exchange_core.instruments import Instrument
from exchange_core.ledger import Pocket, PostingKind
from exchange_core.orders import Side
from exchange_core.outcomes import CommandOutcome, OperatorCommand
from exchange_core.ports import FillView, JournalPosition, LedgerEntry, OrderView, TradeView

MAX_ROWS: Final = 1_000
_ORDERS: Final = f"SELECT {', '.join(ORDER_VIEW_COLUMNS)} FROM orders"  # noqa: S608 - made of constants
_FILLS: Final = """
    SELECT symbol, trade_id, order_id, side, is_maker, price, quantity, fee, fee_asset, seq, at_ms FROM fills
"""
_TRADES: Final = "SELECT symbol, trade_id, price, quantity, taker_side, seq, at_ms FROM trades"
_LINE: Final = """
    SELECT at_ms, partition, slot, line, kind, asset, amount, from_account, from_pocket, to_account, to_pocket, symbol,
        seq, order_id, trade_id, transfer_id
    FROM ledger
"""
_LINE_CONDITIONS: Final = """
    AND ($2::text IS NULL OR asset = $2) AND ($3::text IS NULL OR symbol = $3)
    AND ($4::bigint IS NULL OR (at_ms, partition, slot, line) < ($4, $5::bigint, $6::bigint, $7::bigint))
    ORDER BY at_ms DESC, partition DESC, slot DESC, line DESC LIMIT $8
"""
_LEDGER: Final = f"""
    (({_LINE} WHERE from_account = $1 {_LINE_CONDITIONS})
    UNION ALL
    ({_LINE} WHERE to_account = $1 AND to_account <> from_account {_LINE_CONDITIONS}))
    ORDER BY at_ms DESC, partition DESC, slot DESC, line DESC LIMIT $8
"""
_OPEN_ORDER_COUNT: Final = """
    SELECT count(*) FROM (
        SELECT 1 FROM orders WHERE user_id = $1 AND symbol = $2 AND status IN ('open', 'partially_filled') LIMIT $3
    ) AS open
"""


class _Conditions:
    """Clauses joined by AND, with their arguments numbered in order."""

    def __init__(self, clause: str, *arguments: Any) -> None:
        self._clauses: list[str] = []
        self.arguments: list[Any] = []
        self.add(clause, *arguments)

    def add(self, clause: str, *arguments: Any) -> None:
        """`{}` stands for an argument."""
        first = len(self.arguments) + 1
        self._clauses.append(clause.format(*(f"${number}" for number in range(first, first + len(arguments)))))
        self.arguments.extend(arguments)

    def where(self) -> str:
        """The WHERE clause."""
        return "WHERE " + " AND ".join(self._clauses)


class PostgresReader:
    """DatabaseReader on a pool (of the reader's endpoint)."""

    def __init__(self, pool: asyncpg.Pool) -> None:
        self._pool = pool

    async def order(self, user_id: str, order_id: int) -> OrderView | None:
        """The user's own order by id."""
        found = await self._orders(_Conditions("order_id = {} AND user_id = {}", order_id, user_id), limit=1)
        return found[0] if found else None

    async def order_by_client_id(self, user_id: str, client_order_id: str) -> OrderView | None:
        """The user's own order by the client's id; the newest, should an id have been used again after its intent
        was forgotten (topology.INTENT_TTL_S)."""
        conditions = _Conditions("user_id = {} AND client_order_id = {}", user_id, client_order_id)
        found = await self._orders(conditions, limit=1)
        return found[0] if found else None

    async def orders(
        self, user_id: str, *, symbol: str | None, open_only: bool, before_order_id: int | None, limit: int
    ) -> Sequence[OrderView]:
        """The user's orders, newest first."""
        conditions = _Conditions("user_id = {}", user_id)
        if symbol is not None:
            conditions.add("symbol = {}", symbol)
        if open_only:
            conditions.add("status IN ('open', 'partially_filled')")
        if before_order_id is not None:
            conditions.add("order_id < {}", before_order_id)
        return await self._orders(conditions, limit=limit)

    async def fills(
        self,
        user_id: str,
        *,
        symbol: str | None,
        order_id: int | None,
        before: tuple[int, str, int] | None,
        limit: int,
    ) -> Sequence[FillView]:
        """The user's fills, newest first."""
        conditions = _Conditions("user_id = {}", user_id)
        if symbol is not None:
            conditions.add("symbol = {}", symbol)
        if order_id is not None:
            conditions.add("order_id = {}", order_id)
        if before is not None:
            conditions.add("(at_ms, symbol, trade_id) < ({}, {}, {})", *before)
        rows = await self._fetch(
            f"{_FILLS} {conditions.where()} ORDER BY at_ms DESC, symbol DESC, trade_id DESC", conditions, limit
        )
        return [_fill_view(row) for row in rows]

    async def trades(self, symbol: str, *, before_trade_id: int | None, limit: int) -> Sequence[TradeView]:
        """Everybody's trades, newest first."""
        conditions = _Conditions("symbol = {}", symbol)
        if before_trade_id is not None:
            conditions.add("trade_id < {}", before_trade_id)
        rows = await self._fetch(f"{_TRADES} {conditions.where()} ORDER BY trade_id DESC", conditions, limit)
        return [
            TradeView(
                symbol=row["symbol"],
                trade_id=row["trade_id"],
                price=row["price"],
                quantity=row["quantity"],
                taker_side=Side(row["taker_side"]),
                seq=row["seq"],
                at_ms=row["at_ms"],
            )
            for row in rows
        ]

    async def ledger(
        self,
        user_id: str,
        *,
        asset: str | None,
        symbol: str | None,
        before: tuple[int, int, int, int] | None,
        limit: int,
    ) -> Sequence[LedgerEntry]:
        """The user's ledger entries, newest first. Each side of a line has its own index (a release is in the first
        only), and is read no further than the page."""
        assert 0 < limit <= MAX_ROWS, "the caller bounds its pages"
        arguments = (user_id, asset, symbol, *(before or (None,) * 4), limit)
        with translated():
            rows = await self._pool.fetch(_LEDGER, *arguments)
        return [_ledger_entry(row, user_id) for row in rows]

    async def outcomes(self, command_ids: Sequence[int]) -> Sequence[CommandOutcome]:
        """What became of those of the commands of which it is known, and kept; whoever sent them."""
        with translated():
            return await read_outcomes(self._pool, command_ids)

    async def operator_commands(
        self, *, operator_id: str | None, before: tuple[int, int] | None, limit: int
    ) -> Sequence[OperatorCommand]:
        """The operators' audit log, newest first."""
        assert 0 < limit <= MAX_ROWS, "the caller bounds its pages"
        with translated():
            return await read_operator_commands(self._pool, operator_id, before, limit)

    async def open_order_count(self, user_id: str, symbol: str, at_most: int) -> int:
        """How many of the user's orders are open in the symbol; counts no further than `at_most`."""
        with translated():
            count: int = await self._pool.fetchval(_OPEN_ORDER_COUNT, user_id, symbol, at_most)
        return count

    async def candles(
        self, symbol: str, interval: CandleInterval, *, from_ms: int, to_ms: int, limit: int
    ) -> Sequence[Candle]:
        """The stored candles that open in from_ms ≤ t < to_ms, oldest first."""
        assert 0 < limit <= MAX_ROWS, "the caller bounds its pages"
        with translated():
            return await read_candles(self._pool, symbol, interval, from_ms, to_ms, limit)

    async def candle_before(self, symbol: str, interval: CandleInterval, at_ms: int) -> Candle | None:
        """The newest stored candle that opens before `at_ms`."""
        with translated():
            return await read_candle_before(self._pool, symbol, interval, at_ms)

    async def tickers(self, symbols: Sequence[str], now_ms: int) -> Sequence[Ticker]:
        """The tickers of those symbols that have ever traded, by symbol."""
        with translated():
            return await read_tickers(self._pool, symbols, now_ms)

    async def instruments(self) -> Sequence[Instrument]:
        """All listed instruments with their present status, by symbol."""
        with translated():
            rows = await self._pool.fetch("SELECT definition::text AS definition FROM instruments ORDER BY symbol")
        return [read_instrument(row["definition"]) for row in rows]

    async def positions(self) -> Sequence[JournalPosition]:
        """One a partition that has settled anything, by partition."""
        with translated():
            rows = await self._pool.fetch(
                "SELECT partition, slot, journal_at_ms FROM positions WHERE slot > 0 ORDER BY partition"
            )
        return [
            JournalPosition(partition=row["partition"], slot=row["slot"], journal_at_ms=row["journal_at_ms"])
            for row in rows
        ]

    async def _orders(self, conditions: _Conditions, *, limit: int) -> Sequence[OrderView]:
        query = f"{_ORDERS} {conditions.where()} ORDER BY order_id DESC"
        return [order_view(row) for row in await self._fetch(query, conditions, limit)]

    async def _fetch(self, query: str, conditions: _Conditions, limit: int) -> Sequence[Any]:
        assert 0 < limit <= MAX_ROWS, "the caller bounds its pages"
        number = len(conditions.arguments) + 1
        with translated():
            rows: Sequence[Any] = await self._pool.fetch(f"{query} LIMIT ${number}", *conditions.arguments, limit)
        return rows


def _fill_view(row: Any) -> FillView:
    return FillView(
        symbol=row["symbol"],
        trade_id=row["trade_id"],
        order_id=row["order_id"],
        side=Side(row["side"]),
        is_maker=row["is_maker"],
        price=row["price"],
        quantity=row["quantity"],
        fee=int(row["fee"]),
        fee_asset=row["fee_asset"],
        seq=row["seq"],
        at_ms=row["at_ms"],
    )


def _ledger_entry(row: Any, user_id: str) -> LedgerEntry:
    change = {Pocket.AVAILABLE: 0, Pocket.HELD: 0}
    amount = int(row["amount"])
    if row["from_account"] == user_id:
        change[Pocket(row["from_pocket"])] -= amount
    if row["to_account"] == user_id:
        change[Pocket(row["to_pocket"])] += amount
    return LedgerEntry(
        place=(row["at_ms"], row["partition"], row["slot"], row["line"]),
        kind=PostingKind(row["kind"]),
        asset=row["asset"],
        available=change[Pocket.AVAILABLE],
        held=change[Pocket.HELD],
        symbol=row["symbol"],
        seq=row["seq"],
        order_id=row["order_id"] or 0,
        trade_id=row["trade_id"] or 0,
        transfer_id=row["transfer_id"] or "",
    )
