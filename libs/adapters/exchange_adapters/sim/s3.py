"""The buckets in memory, as `exchange_adapters.s3` finds them in S3: whole objects, read after write."""

from collections.abc import Sequence
from typing import Final

from exchange_adapters.sim.faults import Faults
from exchange_adapters.sim.store import SimStore
from exchange_core.errors import Gone
from exchange_core.ports import Clock

MAX_SNAPSHOTS: Final = 3
"""Older ones are pruned at each put."""


class SimSnapshots(SimStore):
    """SnapshotStore."""

    def __init__(self, *, clock: Clock | None = None, faults: Faults | None = None) -> None:
        super().__init__(clock=clock, faults=faults)
        self._kept: dict[int, dict[int, bytes]] = {}

    async def put(self, partition: int, n: int, data: bytes) -> None:
        """As SnapshotStore.put. Operation `snapshots.put`."""
        async with self._faults.call("snapshots.put"):
            kept = self._kept.setdefault(partition, {})
            kept[n] = data
            if len(kept) > MAX_SNAPSHOTS:
                del kept[min(kept)]

    async def latest(self, partition: int) -> tuple[int, bytes] | None:
        """As SnapshotStore.latest. Operation `snapshots.latest`."""
        async with self._faults.call("snapshots.latest", is_read=True):
            kept = self._kept.get(partition)
            return max(kept.items()) if kept else None


class SimHistory(SimStore):
    """HistoryArchive and HistoryReader in one."""

    def __init__(self, *, clock: Clock | None = None, faults: Faults | None = None) -> None:
        super().__init__(clock=clock, faults=faults)
        self.objects: dict[tuple[int, int, int], bytes] = {}
        """(partition, first, last) → what was written last under this key"""

    async def put(self, partition: int, first: int, last: int, data: bytes) -> None:
        """As HistoryArchive.put. Operation `history.put`."""
        assert 0 < first <= last, "slots are numbered from 1"
        async with self._faults.call("history.put"):
            self.objects[partition, first, last] = data

    async def spans(self, partition: int) -> Sequence[tuple[int, int]]:
        """As HistoryReader.spans. Operation `history.spans`."""
        async with self._faults.call("history.spans", is_read=True):
            return sorted((first, last) for number, first, last in self.objects if number == partition)

    async def get(self, partition: int, first: int, last: int) -> bytes:
        """As HistoryReader.get. Operation `history.get`."""
        async with self._faults.call("history.get", is_read=True):
            if (partition, first, last) not in self.objects:
                raise Gone(f"there is no object of slots {first} to {last}")
            return self.objects[partition, first, last]
