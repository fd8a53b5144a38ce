"""Snapshots and history in S3."""

from collections.abc import Mapping, Sequence
from typing import Any, Final, Protocol

from exchange_adapters.aws import reading, writing
from exchange_core.errors import Gone
from exchange_core.topology import Topology

_TRANSFER_TIMEOUT_S: Final = 30.0
_SNAPSHOTS_KEPT: Final = 3


class ArchivingClient(Protocol):
    """The persister's permissions."""

    async def put_object(self, **request: Any) -> dict[str, Any]: ...  # noqa: D102 - the SDK documents them


class SnapshotClient(ArchivingClient, Protocol):
    """The matcher's permissions, and those of a rebuild."""

    async def get_object(self, **request: Any) -> dict[str, Any]: ...  # noqa: D102

    async def list_objects_v2(self, **request: Any) -> dict[str, Any]: ...  # noqa: D102

    async def delete_object(self, **request: Any) -> dict[str, Any]: ...  # noqa: D102


class S3Snapshots:
    """SnapshotStore. Keys: snapshots/<partition>/<n, 12 digits>.

    Which is the newest is read from the listing, which S3 keeps consistent with its objects: a pointer beside them
    could be left behind by a matcher that has lost its partition.
    """

    def __init__(self, client: SnapshotClient, topology: Topology) -> None:
        self._client = client
        self._bucket = topology.snapshots.name

    async def put(self, partition: int, n: int, data: bytes) -> None:
        """Keep the state as it stands after slot n, and the two before it; a repeat is harmless."""
        async with writing(_TRANSFER_TIMEOUT_S):
            await self._client.put_object(Bucket=self._bucket, Key=_snapshot_key(partition, n), Body=data)
        for old in (await self._numbers(partition))[:-_SNAPSHOTS_KEPT]:
            async with writing():
                await self._client.delete_object(Bucket=self._bucket, Key=_snapshot_key(partition, old))

    async def latest(self, partition: int) -> tuple[int, bytes] | None:
        """The newest kept state, or None."""
        for n in reversed(await self._numbers(partition)):
            data = await self._get(_snapshot_key(partition, n))
            if data is not None:  # else it was pruned since, so newer ones exist: an older one serves as well
                return n, data
        return None

    async def _get(self, key: str) -> bytes | None:
        try:
            async with reading(_TRANSFER_TIMEOUT_S):
                response = await self._client.get_object(Bucket=self._bucket, Key=key)
                async with response["Body"] as body:
                    data: bytes = await body.read()
                    return data
        except Gone:
            return None

    async def _numbers(self, partition: int) -> list[int]:
        """The slots that a state is kept of, ascending. Few enough for one page: all but three are pruned."""
        prefix = f"snapshots/{partition}/"
        async with reading():
            response: Mapping[str, Any] = await self._client.list_objects_v2(Bucket=self._bucket, Prefix=prefix)
        names = [entry["Key"].removeprefix(prefix) for entry in response.get("Contents", [])]
        return sorted(int(name) for name in names if name.isdigit())


class S3History:
    """HistoryArchive. Keys: history/partition=<p>/<first, 12 digits>-<last, 12 digits>.jsonl.zst."""

    def __init__(self, client: ArchivingClient, topology: Topology) -> None:
        self._client = client
        self._bucket = topology.history.name

    async def put(self, partition: int, first: int, last: int, data: bytes) -> None:
        """Write slots first..last as one object; its key says these numbers, so twice is the same object."""
        assert 0 < first <= last
        key = _history_key(partition, first, last)
        async with writing(_TRANSFER_TIMEOUT_S):
            await self._client.put_object(Bucket=self._bucket, Key=key, Body=data, ContentType="application/zstd")


class S3HistoryReader:
    """HistoryReader: what S3History wrote."""

    def __init__(self, client: SnapshotClient, topology: Topology) -> None:
        self._client = client
        self._bucket = topology.history.name

    async def spans(self, partition: int) -> Sequence[tuple[int, int]]:
        """(first, last) of every object of the partition, ascending."""
        prefix = f"history/partition={partition}/"
        request: dict[str, Any] = {"Bucket": self._bucket, "Prefix": prefix}
        found: list[tuple[int, int]] = []
        while True:
            async with reading():
                page = await self._client.list_objects_v2(**request)
            for entry in page.get("Contents", []):
                first, _, last = entry["Key"].removeprefix(prefix).partition(".")[0].partition("-")
                found.append((int(first), int(last)))
            if not page.get("IsTruncated"):
                return sorted(found)
            request["ContinuationToken"] = page["NextContinuationToken"]

    async def get(self, partition: int, first: int, last: int) -> bytes:
        """The object of these slots; raises Gone when there is none."""
        async with reading(_TRANSFER_TIMEOUT_S):
            response = await self._client.get_object(Bucket=self._bucket, Key=_history_key(partition, first, last))
            async with response["Body"] as body:
                data: bytes = await body.read()
                return data


def _history_key(partition: int, first: int, last: int) -> str:
    return f"history/partition={partition}/{first:012d}-{last:012d}.jsonl.zst"


def _snapshot_key(partition: int, n: int) -> str:
    return f"snapshots/{partition}/{n:012d}"
