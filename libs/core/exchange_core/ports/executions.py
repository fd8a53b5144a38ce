"""What happened, from matcher to its readers: Kinesis."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol


class ExecutionSink(Protocol):
    """The matcher's half of the stream."""

    async def append(self, partition: int, data: bytes) -> None:
        """Add one record. Ambiguous means repeat it: readers go by the slot's number."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Shard:
    """One shard; its parents (after a reshard) must be drained before it is read."""

    shard_id: str
    parent_ids: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamRecord:
    """One record as read."""

    sequence_number: str
    partition_key: str
    data: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamPage:
    """Records, where to go on (None: the shard is closed and drained), and how far behind the tip this was."""

    records: tuple[StreamRecord, ...]
    next_iterator: str | None
    behind_ms: int


class ExecutionSource(Protocol):
    """The shard reader's half of the stream (the worker of the twins; on AWS the Lambda poller does this)."""

    async def shards(self) -> Sequence[Shard]:
        """All shards that can still be read."""
        ...

    async def iterator(self, shard_id: str, after_sequence: str | None) -> str:
        """Where to read from: after the record named, or the oldest kept one."""
        ...

    async def read(self, iterator: str, limit: int) -> StreamPage:
        """The next records. Raises Gone when the iterator has expired (five minutes)."""
        ...
