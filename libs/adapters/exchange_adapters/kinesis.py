"""The executions stream in Kinesis: one record a journal slot, all of a partition under one key.

Records are written one by one, never aggregated or in batches, so each read back is one slot.
"""

from collections.abc import Sequence
from typing import Any, Final, Protocol

from exchange_adapters.aws import read_again, reading, writing
from exchange_core.ports import Shard, StreamPage, StreamRecord
from exchange_core.topology import Topology, stream_hash_key

_READ_MAX: Final = 10_000


class AppendingClient(Protocol):
    """The matcher's permissions."""

    async def put_record(self, **request: Any) -> dict[str, Any]: ...  # noqa: D102 - the SDK documents them


class ReadingClient(Protocol):
    """The shard reader's permissions."""

    async def list_shards(self, **request: Any) -> dict[str, Any]: ...  # noqa: D102

    async def get_shard_iterator(self, **request: Any) -> dict[str, Any]: ...  # noqa: D102

    async def get_records(self, **request: Any) -> dict[str, Any]: ...  # noqa: D102


class KinesisExecutionSink:
    """ExecutionSink: the matcher's half of the stream."""

    def __init__(self, client: AppendingClient, topology: Topology) -> None:
        self._client = client
        self._stream = topology.executions.name
        self._last: dict[int, str] = {}

    async def append(self, partition: int, data: bytes) -> None:
        """Add one record. Ambiguous means repeat it: readers go by the slot's number.

        One call at a time for a partition. Kinesis orders records of one key strictly only if each names the one
        before it; by time of arrival alone two slots could change places, and readers would see a gap.
        """
        order = {"SequenceNumberForOrdering": self._last[partition]} if partition in self._last else {}
        async with writing():
            response = await self._client.put_record(
                StreamName=self._stream,
                PartitionKey=str(partition),
                ExplicitHashKey=str(stream_hash_key(partition)),
                Data=data,
                **order,
            )
        self._last[partition] = response["SequenceNumber"]


class KinesisExecutionSource:
    """ExecutionSource: the shard reader's half of the stream."""

    def __init__(self, client: ReadingClient, topology: Topology) -> None:
        self._client = client
        self._stream = topology.executions.name

    async def shards(self) -> Sequence[Shard]:
        """All shards that can still be read; parents that cannot are left out."""
        listed: list[dict[str, Any]] = []
        request: dict[str, str] = {"StreamName": self._stream}
        while True:
            asked = dict(request)
            response = await read_again(lambda asked=asked: self._client.list_shards(**asked))  # type: ignore[misc]
            listed += response["Shards"]
            if not response.get("NextToken"):
                break
            request = {"NextToken": response["NextToken"]}
        known = {shard["ShardId"] for shard in listed}
        return [
            Shard(
                shard_id=shard["ShardId"],
                parent_ids=tuple(
                    shard[name] for name in ("ParentShardId", "AdjacentParentShardId") if shard.get(name) in known
                ),
            )
            for shard in listed
        ]

    async def iterator(self, shard_id: str, after_sequence: str | None) -> str:
        """Where to read from: after the record named, or the oldest kept one."""
        start: dict[str, str] = {"ShardIteratorType": "TRIM_HORIZON"}
        if after_sequence is not None:
            start = {"ShardIteratorType": "AFTER_SEQUENCE_NUMBER", "StartingSequenceNumber": after_sequence}
        response = await read_again(
            lambda: self._client.get_shard_iterator(StreamName=self._stream, ShardId=shard_id, **start)
        )
        return str(response["ShardIterator"])

    async def read(self, iterator: str, limit: int) -> StreamPage:
        """The next records. Raises Gone when the iterator has expired (five minutes).

        Throttled above five reads a second from one shard, by all of its readers together.
        """
        async with reading():
            response = await self._client.get_records(ShardIterator=iterator, Limit=min(limit, _READ_MAX))
        return StreamPage(
            records=tuple(
                StreamRecord(
                    sequence_number=record["SequenceNumber"],
                    partition_key=record["PartitionKey"],
                    data=record["Data"],
                )
                for record in response["Records"]
            ),
            next_iterator=response.get("NextShardIterator"),
            behind_ms=response.get("MillisBehindLatest", 0),
        )
