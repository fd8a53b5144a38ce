"""Snapshots and history against an emulated S3."""

from types import SimpleNamespace

import pytest

from exchange_adapters.s3 import S3History, S3Snapshots
from exchange_core.errors import Ambiguous, Unavailable
from exchange_core.topology import Topology
from tests.integration.conftest import ProxiedClients
from tests.integration.dropping_proxy import Cut


@pytest.fixture
def snapshots(clients: SimpleNamespace, topology: Topology) -> S3Snapshots:
    return S3Snapshots(clients.s3, topology)


async def keys(clients: SimpleNamespace, bucket: str, prefix: str) -> list[str]:
    response = await clients.s3.list_objects_v2(Bucket=bucket, Prefix=prefix)
    return [entry["Key"] for entry in response.get("Contents", [])]


async def test_the_newest_state_is_found_and_three_are_kept(
    clients: SimpleNamespace, topology: Topology, snapshots: S3Snapshots
) -> None:
    assert await snapshots.latest(10) is None
    for n in (9, 10, 100, 1_000):
        await snapshots.put(10, n, f"state {n}".encode())
        assert await snapshots.latest(10) == (n, f"state {n}".encode())
    assert await keys(clients, topology.snapshots.name, "snapshots/10/") == [
        "snapshots/10/000000000010",
        "snapshots/10/000000000100",
        "snapshots/10/000000001000",
    ]


async def test_a_state_written_twice_is_one_and_partitions_keep_apart(snapshots: S3Snapshots) -> None:
    await snapshots.put(11, 5, b"state")
    await snapshots.put(11, 5, b"state")
    await snapshots.put(111, 6, b"other")
    assert await snapshots.latest(11) == (5, b"state")
    assert await snapshots.latest(1) is None


async def test_a_matcher_that_lost_its_partition_does_not_hide_newer_states(snapshots: S3Snapshots) -> None:
    for n in (100, 200, 300):
        await snapshots.put(12, n, b"new")
    await snapshots.put(12, 50, b"old")
    assert await snapshots.latest(12) == (300, b"new")


async def test_a_large_state_comes_back_whole(snapshots: S3Snapshots) -> None:
    data = bytes(range(256)) * 40_000
    await snapshots.put(13, 1, data)
    assert await snapshots.latest(13) == (1, data)


async def test_history_is_keyed_by_its_slots(clients: SimpleNamespace, topology: Topology) -> None:
    history = S3History(clients.s3, topology)
    await history.put(7, 1, 20, b"lines")
    await history.put(7, 1, 20, b"lines")
    key = "history/partition=7/000000000001-000000000020.jsonl.zst"
    assert await keys(clients, topology.history.name, "history/partition=7/") == [key]
    response = await clients.s3.get_object(Bucket=topology.history.name, Key=key)
    assert await response["Body"].read() == b"lines"


async def test_a_write_that_breaks_off_is_ambiguous_and_a_read_unavailable(
    proxied_clients: ProxiedClients, topology: Topology
) -> None:
    async with proxied_clients("s3") as (proxy, through_proxy):
        broken = S3Snapshots(through_proxy.s3, topology)
        proxy.cut = Cut.BEFORE_ANSWERING
        with pytest.raises(Ambiguous):
            await broken.put(14, 1, b"state")
        with pytest.raises(Unavailable):
            await broken.latest(14)
