"""A Kinesis stream in memory, as `exchange_adapters.kinesis` finds it.

Promised: order within a shard, which is chosen by the MD5 of the key as Kinesis does it; records may be repeated by a
producer's retry (Fault.REPEAT, or an Ambiguous append done again); an iterator dies after five minutes; pages may be
empty before the tip; after `split` the parent closes and its children take over. There is no conditional put.
"""

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Final

from exchange_adapters.sim.faults import Fault, Faults
from exchange_adapters.sim.store import SimStore
from exchange_core.errors import Fatal, Gone
from exchange_core.ports import Clock, Shard, StreamPage, StreamRecord
from exchange_core.topology import Topology, stream_hash_key

ITERATOR_LIFE_MS: Final = 5 * 60 * 1000
MAX_RECORD_BYTES: Final = 1024 * 1024
MAX_PAGE_RECORDS: Final = 10_000
MAX_PAGE_BYTES: Final = 10 * 1024 * 1024
MAX_RECORDS: Final = 1_000_000
_KEY_SPACE: Final = 1 << 128


@dataclass(slots=True)
class _Shard:
    shard_id: str
    first_hash: int
    last_hash: int
    parent_ids: tuple[str, ...] = ()
    is_open: bool = True
    trimmed: int = 0
    """How many of the oldest records the retention has dropped."""
    records: list[tuple[int, StreamRecord]] = field(default_factory=list)
    """(when it was written, the record)"""


class SimStream(SimStore):
    """The executions stream: ExecutionSink and ExecutionSource in one."""

    def __init__(
        self, topology: Topology | None = None, *, clock: Clock | None = None, faults: Faults | None = None
    ) -> None:
        super().__init__(clock=clock, faults=faults)
        spec = (topology or Topology()).executions
        self._retention_ms = spec.retention_hours * 3_600_000
        self._shards: dict[str, _Shard] = {}
        self._last_sequence = [0]
        edges = [_KEY_SPACE * index // spec.shards for index in range(spec.shards + 1)]
        for first, end in pairwise(edges):
            self._add_shard(first, end - 1, ())

    async def append(self, partition: int, data: bytes) -> None:
        """As ExecutionSink.append, one call at a time for a partition. Operation `kinesis.append`; Fault.REPEAT."""
        if len(data) > MAX_RECORD_BYTES:
            raise Fatal("a record is at most 1 MiB")
        async with self._faults.call("kinesis.append") as fault:
            for _ in range(2 if fault is Fault.REPEAT else 1):
                self._write(partition, data)

    async def shards(self) -> Sequence[Shard]:
        """As ExecutionSource.shards. Operation `kinesis.shards`."""
        async with self._faults.call("kinesis.shards", is_read=True):
            return [Shard(shard_id=shard.shard_id, parent_ids=shard.parent_ids) for shard in self._shards.values()]

    async def iterator(self, shard_id: str, after_sequence: str | None) -> str:
        """As ExecutionSource.iterator. Operation `kinesis.iterator`."""
        async with self._faults.call("kinesis.iterator", is_read=True):
            shard = self._shards.get(shard_id)
            if shard is None:
                raise Gone(f"no shard {shard_id}")
            after = -1 if after_sequence is None else int(after_sequence)
            index = bisect_right(shard.records, after, key=lambda kept: int(kept[1].sequence_number))
            return self._token(shard, shard.trimmed + index)

    async def read(self, iterator: str, limit: int) -> StreamPage:
        """As ExecutionSource.read. Operation `kinesis.read`; knows Fault.EMPTY and Fault.GONE."""
        limit = min(limit, MAX_PAGE_RECORDS)
        shard_id, position, issued_ms = iterator.split("|")
        async with self._faults.call("kinesis.read", is_read=True) as fault:
            now_ms = self._clock.now_ms()
            if now_ms - int(issued_ms) > ITERATOR_LIFE_MS:
                raise Gone("the iterator has expired")
            shard = self._shards[shard_id]
            self._trim(shard, now_ms)
            start = max(int(position) - shard.trimmed, 0)
            page = [] if fault is Fault.EMPTY else _page(shard.records, start, limit)
            end = start + len(page)
            is_drained = end == len(shard.records) and not shard.is_open
            behind_ms = now_ms - shard.records[end][0] if end < len(shard.records) else 0
            return StreamPage(
                records=tuple(page),
                next_iterator=None if is_drained else self._token(shard, shard.trimmed + end),
                behind_ms=behind_ms,
            )

    def split(self, shard_id: str) -> None:
        """Reshard: close the shard and give each half of its keys to a child."""
        parent = self._shards[shard_id]
        assert parent.is_open, "a closed shard cannot be split"
        parent.is_open = False
        middle = (parent.first_hash + parent.last_hash) // 2
        self._add_shard(parent.first_hash, middle, (shard_id,))
        self._add_shard(middle + 1, parent.last_hash, (shard_id,))

    def records(self) -> list[StreamRecord]:
        """All kept records by sequence number."""
        kept = [record for shard in self._shards.values() for _, record in shard.records]
        return sorted(kept, key=lambda record: int(record.sequence_number))

    def _add_shard(self, first_hash: int, last_hash: int, parent_ids: tuple[str, ...]) -> None:
        shard_id = f"shardId-{len(self._shards):012}"
        self._shards[shard_id] = _Shard(shard_id, first_hash, last_hash, parent_ids)

    def _write(self, partition: int, data: bytes) -> None:
        key_hash = stream_hash_key(partition)
        (shard,) = (one for one in self._shards.values() if one.is_open and one.first_hash <= key_hash <= one.last_hash)
        self._last_sequence[0] += 1
        record = StreamRecord(sequence_number=str(self._last_sequence[0]), partition_key=str(partition), data=data)
        now_ms = self._clock.now_ms()
        self._trim(shard, now_ms)
        assert len(shard.records) < MAX_RECORDS, "a simulation outgrew its stream"
        shard.records.append((now_ms, record))

    def _trim(self, shard: _Shard, now_ms: int) -> None:
        kept_from = 0
        while kept_from < len(shard.records) and shard.records[kept_from][0] < now_ms - self._retention_ms:
            kept_from += 1
        del shard.records[:kept_from]
        shard.trimmed += kept_from

    def _token(self, shard: _Shard, position: int) -> str:
        return f"{shard.shard_id}|{position}|{self._clock.now_ms()}"


def _page(records: Sequence[tuple[int, StreamRecord]], start: int, limit: int) -> list[StreamRecord]:
    page: list[StreamRecord] = []
    total_bytes = 0
    for _, record in records[start : start + limit]:
        total_bytes += len(record.data)
        if page and total_bytes > MAX_PAGE_BYTES:
            break
        page.append(record)
    return page
