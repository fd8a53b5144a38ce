"""The database's rows slot by slot, for the reconciler: the writer's endpoint, read only."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import asyncpg

from exchange_adapters.postgres import translated
from exchange_adapters.projection_rows import LEDGER_COLUMNS, TRADE_COLUMNS

_POSITIONS: Final = "SELECT partition, slot FROM positions"
_SLOTS: Final = "WHERE partition = $1 AND slot > $2 AND slot <= $3"
LEDGER_OF_SLOTS: Final = f"SELECT {', '.join(LEDGER_COLUMNS)} FROM ledger {_SLOTS} ORDER BY slot, line"  # noqa: S608 - constants
TRADES_OF_SLOTS: Final = f"SELECT {', '.join(TRADE_COLUMNS)} FROM trades {_SLOTS} ORDER BY symbol, trade_id"  # noqa: S608


class PostgresSettledRows:
    """SettledRows on a pool."""

    def __init__(self, pool: asyncpg.Pool) -> None:
        self._pool = pool

    async def positions(self) -> Mapping[int, int]:
        """Partition → the last slot that is in the database."""
        return {row["partition"]: row["slot"] for row in await self._fetch(_POSITIONS)}

    async def ledger(self, partition: int, after: int, through: int) -> Sequence[tuple[Any, ...]]:
        """The ledger's lines of slots after < n ≤ through, in the order of LEDGER_COLUMNS."""
        return [tuple(row) for row in await self._fetch(LEDGER_OF_SLOTS, partition, after, through)]

    async def trades(self, partition: int, after: int, through: int) -> Sequence[tuple[Any, ...]]:
        """The trades of these slots, in the order of TRADE_COLUMNS."""
        return [tuple(row) for row in await self._fetch(TRADES_OF_SLOTS, partition, after, through)]

    async def _fetch(self, query: str, *arguments: Any) -> Sequence[Any]:
        with translated():
            found: Sequence[Any] = await self._pool.fetch(query, *arguments)
            return found
