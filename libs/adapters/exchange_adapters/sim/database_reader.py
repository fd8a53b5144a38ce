"""A read replica in memory, as `exchange_adapters.postgres_reader` finds it: what the persister has committed, late.

`lag_ms` is how far it is behind. Its own fold is kept apart from the writer's and catches up when it is read.
"""

from collections.abc import Callable, Sequence
from typing import Final

from exchange_adapters.sim.faults import Faults
from exchange_adapters.sim.projection_fold import ProjectionFold
from exchange_adapters.sim.projections import SimProjections
from exchange_adapters.sim.store import SimStore
from exchange_core.candles import Candle, CandleInterval, Ticker
from exchange_core.instruments import Instrument
from exchange_core.orders import OrderStatus
from exchange_core.outcomes import OUTCOME_KEPT_MS, CommandOutcome, OperatorCommand
from exchange_core.ports import Clock, FillView, JournalPosition, LedgerEntry, OrderView, TradeView

MAX_ROWS: Final = 1_000
_OPEN = (OrderStatus.OPEN, OrderStatus.PARTIALLY_FILLED)


class SimDatabaseReader(SimStore):
    """DatabaseReader. Every method is the operation `reader.query`."""

    def __init__(
        self,
        projections: SimProjections,
        *,
        clock: Clock | None = None,
        faults: Faults | None = None,
        lag_ms: int = 0,
    ) -> None:
        super().__init__(clock=clock or projections.clock, faults=faults)
        self._database = projections.database
        self._fold = ProjectionFold()
        self._caught_up = [0]
        self.lag_ms = lag_ms

    async def order(self, user_id: str, order_id: int) -> OrderView | None:
        """As DatabaseReader.order."""
        return next(iter(await self._orders(user_id, lambda order: order.order_id == order_id)), None)

    async def order_by_client_id(self, user_id: str, client_order_id: str) -> OrderView | None:
        """As DatabaseReader.order_by_client_id."""
        found = await self._orders(user_id, lambda order: order.client_order_id == client_order_id)
        return next(iter(found), None)

    async def orders(
        self, user_id: str, *, symbol: str | None, open_only: bool, before_order_id: int | None, limit: int
    ) -> Sequence[OrderView]:
        """As DatabaseReader.orders."""

        def is_wanted(order: OrderView) -> bool:
            return (
                symbol in (None, order.symbol)
                and (not open_only or order.status in _OPEN)
                and (before_order_id is None or order.order_id < before_order_id)
            )

        _check_limit(limit)
        return (await self._orders(user_id, is_wanted))[:limit]

    async def fills(
        self,
        user_id: str,
        *,
        symbol: str | None,
        order_id: int | None,
        before: tuple[int, str, int] | None,
        limit: int,
    ) -> Sequence[FillView]:
        """As DatabaseReader.fills."""
        _check_limit(limit)
        fold = await self._query()
        found = [
            fill
            for owner, fill in fold.fills
            if owner == user_id
            and symbol in (None, fill.symbol)
            and order_id in (None, fill.order_id)
            and (before is None or (fill.at_ms, fill.symbol, fill.trade_id) < before)
        ]
        found.sort(key=lambda fill: (fill.at_ms, fill.symbol, fill.trade_id, fill.is_maker), reverse=True)
        return found[:limit]

    async def trades(self, symbol: str, *, before_trade_id: int | None, limit: int) -> Sequence[TradeView]:
        """As DatabaseReader.trades."""
        _check_limit(limit)
        fold = await self._query()
        newest_first = reversed(fold.trades.get(symbol, []))
        found = [trade for trade in newest_first if before_trade_id is None or trade.trade_id < before_trade_id]
        return found[:limit]

    async def ledger(
        self,
        user_id: str,
        *,
        asset: str | None,
        symbol: str | None,
        before: tuple[int, int, int, int] | None,
        limit: int,
    ) -> Sequence[LedgerEntry]:
        """As DatabaseReader.ledger."""
        _check_limit(limit)
        fold = await self._query()
        found = [
            entry
            for entry in fold.ledger_of(user_id)
            if asset in (None, entry.asset)
            and symbol in (None, entry.symbol)
            and (before is None or entry.place < before)
        ]
        return found[:limit]

    async def outcomes(self, command_ids: Sequence[int]) -> Sequence[CommandOutcome]:
        """As DatabaseReader.outcomes; those that are too old are forgotten at once."""
        fold = await self._query()
        found = [fold.outcomes[command_id] for command_id in command_ids if command_id in fold.outcomes]
        return [
            outcome
            for partition, outcome in found
            if outcome.at_ms >= fold.positions[partition].journal_at_ms - OUTCOME_KEPT_MS
        ]

    async def operator_commands(
        self, *, operator_id: str | None, before: tuple[int, int] | None, limit: int
    ) -> Sequence[OperatorCommand]:
        """As DatabaseReader.operator_commands."""
        _check_limit(limit)
        fold = await self._query()
        found = [
            command
            for command in fold.operator_commands.values()
            if operator_id in (None, command.operator_id)
            and (before is None or (command.at_ms, command.command_id) < before)
        ]
        return sorted(found, key=lambda command: (command.at_ms, command.command_id), reverse=True)[:limit]

    async def open_order_count(self, user_id: str, symbol: str, at_most: int) -> int:
        """As DatabaseReader.open_order_count."""
        found = await self._orders(user_id, lambda order: order.symbol == symbol and order.status in _OPEN)
        return min(at_most, len(found))

    async def candles(
        self, symbol: str, interval: CandleInterval, *, from_ms: int, to_ms: int, limit: int
    ) -> Sequence[Candle]:
        """As DatabaseReader.candles."""
        _check_limit(limit)
        found = [one for one in await self._candles(symbol, interval) if from_ms <= one.open_at_ms < to_ms]
        return found[:limit]

    async def candle_before(self, symbol: str, interval: CandleInterval, at_ms: int) -> Candle | None:
        """As DatabaseReader.candle_before."""
        found = [one for one in await self._candles(symbol, interval) if one.open_at_ms < at_ms]
        return found[-1] if found else None

    async def tickers(self, symbols: Sequence[str], now_ms: int) -> Sequence[Ticker]:
        """As DatabaseReader.tickers."""
        fold = await self._query()
        found = [fold.ticker(symbol, now_ms) for symbol in sorted(symbols)]
        return [ticker for ticker in found if ticker is not None]

    async def instruments(self) -> Sequence[Instrument]:
        """As DatabaseReader.instruments, by symbol."""
        fold = await self._query()
        return [instrument for _, instrument in sorted(fold.instruments.items())]

    async def positions(self) -> Sequence[JournalPosition]:
        """As DatabaseReader.positions, by partition."""
        fold = await self._query()
        return [position for _, position in sorted(fold.positions.items())]

    async def _orders(self, user_id: str, is_wanted: Callable[[OrderView], bool]) -> list[OrderView]:
        fold = await self._query()
        found = [order for order in fold.orders.values() if order.user_id == user_id and is_wanted(order)]
        return sorted(found, key=lambda order: order.order_id, reverse=True)

    async def _candles(self, symbol: str, interval: CandleInterval) -> list[Candle]:
        fold = await self._query()
        found = [one for one in fold.candles.values() if (one.symbol, one.interval) == (symbol, interval)]
        return sorted(found, key=lambda one: one.open_at_ms)

    async def _query(self) -> ProjectionFold:
        async with self._faults.call("reader.query", is_read=True):
            visible_ms = self._clock.now_ms() - self.lag_ms
            commits = self._database.commits
            while self._caught_up[0] < len(commits) and commits[self._caught_up[0]][0] <= visible_ms:
                for slot in commits[self._caught_up[0]][1]:
                    self._fold.apply(slot)
                self._caught_up[0] += 1
            return self._fold


def _check_limit(limit: int) -> None:
    assert 0 < limit <= MAX_ROWS, "the caller bounds its pages"
