"""The journal table in memory, as `exchange_adapters.dynamodb_journal` finds it in DynamoDB."""

from collections.abc import Sequence
from typing import Final

from exchange_adapters.sim.faults import Faults
from exchange_adapters.sim.store import SimStore
from exchange_core.errors import Fatal
from exchange_core.ports import Clock, SlotTakenError

MAX_ITEM_BYTES: Final = 400_000
MAX_SLOTS: Final = 1_000_000
"""DynamoDB keeps any number; a simulation does not outlive this many."""


class SimJournal(SimStore):
    """JournalWriter and JournalReader in one: slots written once, read consistently."""

    def __init__(self, *, clock: Clock | None = None, faults: Faults | None = None) -> None:
        super().__init__(clock=clock, faults=faults)
        self._slots: dict[int, dict[int, bytes]] = {}

    async def put(self, partition: int, n: int, data: bytes) -> None:
        """As JournalWriter.put. Operation `journal.put`."""
        if len(data) > MAX_ITEM_BYTES:
            raise Fatal("an item is at most 400 KB")
        async with self._faults.call("journal.put"):
            slots = self._slots.setdefault(partition, {})
            if n in slots:
                raise SlotTakenError(f"slot {n} of partition {partition}")
            assert len(slots) < MAX_SLOTS, "a simulation outgrew its journal"
            slots[n] = data

    async def read(self, partition: int, after: int, limit: int) -> Sequence[tuple[int, bytes]]:
        """As JournalReader.read. Operation `journal.read`."""
        async with self._faults.call("journal.read", is_read=True):
            slots = self._slots.get(partition, {})
            n = after + 1
            found: list[tuple[int, bytes]] = []
            while n in slots and len(found) < limit:
                found.append((n, slots[n]))
                n += 1
            if len(found) < limit and len(slots) != n - 1:  # a hole below a later slot, or slots before `after`
                found = [(n, slots[n]) for n in sorted(slots) if n > after][:limit]
            return found

    def head(self, partition: int) -> int:
        """The last slot, 0 if there is none."""
        return max(self._slots.get(partition, {}), default=0)
