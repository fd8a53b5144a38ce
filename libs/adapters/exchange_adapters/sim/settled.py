"""The database's rows slot by slot, as `exchange_adapters.postgres_settled` finds them, made of the recorded slots."""

from collections.abc import Mapping, Sequence
from typing import Any

from exchange_adapters.projection_rows import RunRows, instruments_after, rows_of
from exchange_adapters.sim.faults import Faults
from exchange_adapters.sim.projections import SimProjections
from exchange_adapters.sim.store import SimStore
from exchange_core.ports import Clock


class SimSettledRows(SimStore):
    """SettledRows. Every method is the operation `settled.query`."""

    def __init__(
        self, projections: SimProjections, *, clock: Clock | None = None, faults: Faults | None = None
    ) -> None:
        super().__init__(clock=clock, faults=faults)
        self._database = projections.database

    async def positions(self) -> Mapping[int, int]:
        """As SettledRows.positions."""
        async with self._faults.call("settled.query", is_read=True):
            return {partition: len(slots) for partition, slots in self._database.slots.items()}

    async def ledger(self, partition: int, after: int, through: int) -> Sequence[tuple[Any, ...]]:
        """As SettledRows.ledger."""
        async with self._faults.call("settled.query", is_read=True):
            return self._rows(partition, after, through).ledger

    async def trades(self, partition: int, after: int, through: int) -> Sequence[tuple[Any, ...]]:
        """As SettledRows.trades."""
        async with self._faults.call("settled.query", is_read=True):
            return sorted(self._rows(partition, after, through).trades)

    def _rows(self, partition: int, after: int, through: int) -> RunRows:
        slots = self._database.slots.get(partition, [])[:through]
        return rows_of(slots[after:], instruments_after({}, slots))
