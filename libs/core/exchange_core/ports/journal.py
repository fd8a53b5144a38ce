"""The journal (DynamoDB), book snapshots and the archive (S3)."""

from collections.abc import Sequence
from typing import Protocol

from exchange_core.errors import Conflict


class SlotTakenError(Conflict):
    """Another writer holds this slot."""


class JournalWriter(Protocol):
    """The matcher's half of the journal: it alone reads and writes it."""

    async def put(self, partition: int, n: int, data: bytes) -> None:
        """Write slot n if no one has. Raises SlotTakenError, or Ambiguous (settle it with `read`)."""
        ...


class JournalReader(Protocol):
    """For recovery and audit."""

    async def read(self, partition: int, after: int, limit: int) -> Sequence[tuple[int, bytes]]:
        """Slots n > after in order, consistently, at most `limit`; fewer only at the end (empty: none)."""
        ...


class SnapshotStore(Protocol):
    """The matcher's book states."""

    async def put(self, partition: int, n: int, data: bytes) -> None:
        """Keep the state as it stands after slot n."""
        ...

    async def latest(self, partition: int) -> tuple[int, bytes] | None:
        """The newest kept state, or None."""
        ...


class HistoryArchive(Protocol):
    """The analysts' copy of what happened."""

    async def put(self, partition: int, first: int, last: int, data: bytes) -> None:
        """Write slots first..last as one object; its key says these numbers, so twice is the same object."""
        ...


class HistoryReader(Protocol):
    """The archive read back, for a restore."""

    async def spans(self, partition: int) -> Sequence[tuple[int, int]]:
        """(first, last) of every object of the partition, ascending."""
        ...

    async def get(self, partition: int, first: int, last: int) -> bytes:
        """The object of these slots; raises Gone when there is none."""
        ...
