"""The backing parts of the embedded twin, in private directories: what survives what."""

import asyncio
import os
import signal
import socket
import sys
from pathlib import Path

import asyncpg
import pytest
from redis.asyncio import Redis

from crossbook import bootstrap, world
from crossbook.errors import AlreadyRunningError, PortInUseError, WorldMismatchError
from crossbook.ports import LOOPBACK
from crossbook.state import StateDirectory, is_alive
from crossbook.twin import Backing
from exchange_core.topology import Topology
from tests.eventually import eventually

TOPOLOGY = Topology(prefix="mine", partitions=2)


async def enter_world(backing: Backing) -> int:
    """What a twin does at its start to see whether its halves belong together; returns the number of the start."""
    database_url = await backing.create_database("mine")
    await bootstrap.create_resources(backing.cloud, TOPOLOGY)
    return await world.enter(
        backing.cloud,
        TOPOLOGY,
        database_url=database_url,
        world_id=backing.state.read_world().world_id,
        state_directory=backing.state.path,
    )


async def test_every_resource_of_the_topology_exists_with_its_settings(backing):
    await bootstrap.create_resources(backing.cloud, TOPOLOGY)
    await bootstrap.create_resources(backing.cloud, TOPOLOGY)  # a second start finds it all there
    cloud = backing.cloud
    tables = (await cloud.dynamodb.list_tables())["TableNames"]
    assert {table.name for table in TOPOLOGY.tables} <= set(tables)
    time_to_live = await cloud.dynamodb.describe_time_to_live(TableName=TOPOLOGY.intents.name)
    assert time_to_live["TimeToLiveDescription"]["AttributeName"] == TOPOLOGY.intents.ttl_attribute
    stream = (await cloud.kinesis.describe_stream_summary(StreamName=TOPOLOGY.executions.name))[
        "StreamDescriptionSummary"
    ]
    assert stream["OpenShardCount"] == TOPOLOGY.executions.shards
    assert stream["RetentionPeriodHours"] == TOPOLOGY.executions.retention_hours
    for spec in TOPOLOGY.queues:
        url = (await cloud.sqs.get_queue_url(QueueName=spec.name))["QueueUrl"]
        attributes = (await cloud.sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["All"]))["Attributes"]
        assert spec.attributes().items() <= attributes.items()
        assert spec.dead_letter_name in attributes["RedrivePolicy"]
    for bucket in TOPOLOGY.buckets:
        assert (await cloud.s3.get_bucket_versioning(Bucket=bucket.name))["Status"] == "Enabled"


async def test_sites_share_the_servers_and_nothing_else(backing):
    one, other = await asyncio.gather(backing.create_site(), backing.create_site())
    names = [{table.name for table in site.topology.tables} for site in (one, other)]
    assert not names[0] & names[1]
    assert one.database_url != other.database_url
    assert one.redis_url != other.redis_url
    assert one.user_pool != other.user_pool
    connection = await asyncpg.connect(one.database_url)
    try:
        assert await connection.fetchval("SELECT count(*) FROM alembic_version") == 1
    finally:
        await connection.close()


async def test_a_second_start_finds_what_the_first_one_left(tmp_path):
    async with Backing(tmp_path, durable=False) as backing:
        assert await enter_world(backing) == 1
        ports = backing.ports
        await backing.cloud.dynamodb.put_item(
            TableName=TOPOLOGY.leases.name, Item={"name": {"S": "k"}, "note": {"B": b"\x00\xff"}}
        )
        url = (await backing.cloud.sqs.get_queue_url(QueueName=TOPOLOGY.queues[0].name))["QueueUrl"]
        await backing.cloud.sqs.send_message(
            QueueUrl=url, MessageBody="command", MessageGroupId="g", MessageDeduplicationId="d"
        )
        stream = TOPOLOGY.executions.name
        await backing.cloud.kinesis.put_record(StreamName=stream, Data=b"\x28\xb5\x2f", PartitionKey="0")
        await backing.cloud.s3.put_object(Bucket=TOPOLOGY.history.name, Key="slot", Body=b"\x28\xb5")
    async with Backing(tmp_path, durable=False) as backing:
        assert backing.ports == ports
        assert await enter_world(backing) == 2
        cloud = backing.cloud
        item = await cloud.dynamodb.get_item(TableName=TOPOLOGY.leases.name, Key={"name": {"S": "k"}})
        assert item["Item"]["note"]["B"] == b"\x00\xff"
        url = (await cloud.sqs.get_queue_url(QueueName=TOPOLOGY.queues[0].name))["QueueUrl"]
        assert (await cloud.sqs.receive_message(QueueUrl=url))["Messages"][0]["Body"] == "command"
        assert await kinesis_records(backing, stream) == [b"\x28\xb5\x2f"]
        archived = await cloud.s3.get_object(Bucket=TOPOLOGY.history.name, Key="slot")
        assert await archived["Body"].read() == b"\x28\xb5"


async def kinesis_records(backing: Backing, stream: str) -> list[bytes]:
    kinesis, records = backing.cloud.kinesis, []
    for shard in (await kinesis.list_shards(StreamName=stream))["Shards"]:
        start = await kinesis.get_shard_iterator(
            StreamName=stream, ShardId=shard["ShardId"], ShardIteratorType="TRIM_HORIZON"
        )
        answer = await kinesis.get_records(ShardIterator=start["ShardIterator"])
        records += [record["Data"] for record in answer["Records"]]
    return records


async def test_killed_redis_and_postgres_are_started_again_at_their_places(tmp_path):
    async with Backing(tmp_path, durable=False) as backing:
        database_url = await backing.create_database("mine")
        client = Redis.from_url(backing.redis_url)
        for name in ("redis", "postgres"):
            os.kill(backing.supervisor.find(name).pid, signal.SIGKILL)
        await eventually(
            lambda: (
                [child.restarts >= 1 and child.pid > 0 for child in map(backing.supervisor.find, ("redis", "postgres"))]
                == [True, True]
            )
        )

        async def both_answer() -> bool:
            try:
                connection = await asyncpg.connect(database_url, timeout=2)
                await connection.close()
                return bool(await client.ping())
            except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError, TimeoutError, ConnectionError):
                return False

        await eventually(both_answer, timeout_s=20)
        await client.aclose()


async def test_a_killed_cloud_ends_the_world_and_the_next_start_refuses_it(tmp_path):
    async with Backing(tmp_path, durable=False) as backing:
        await enter_world(backing)
    async with Backing(tmp_path, durable=False) as backing:
        await enter_world(backing)
        os.kill(backing.supervisor.find("aws").pid, signal.SIGKILL)
        async with asyncio.timeout(10):
            assert "aws died" in await backing.supervisor.failure
    async with Backing(tmp_path, durable=False) as backing:
        with pytest.raises(WorldMismatchError, match="crossbook down --wipe"):
            await enter_world(backing)


async def test_a_port_in_use_is_refused_before_anything_starts(tmp_path):
    with socket.socket() as server:
        server.bind((LOOPBACK, 0))
        server.listen()
        port = server.getsockname()[1]
        with pytest.raises(PortInUseError, match=rf"{port}.*--aws-port"):
            await Backing(tmp_path, aws_port=port).start()
    assert not (tmp_path / "logs").exists()


async def test_two_supervisors_cannot_share_a_directory(tmp_path):
    async with Backing(tmp_path, durable=False):
        with pytest.raises(AlreadyRunningError, match=f"supervisor {os.getpid()}"):
            await Backing(tmp_path).start()


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells a child of its parent's death")
async def test_a_killed_supervisor_leaves_a_directory_that_starts_again(tmp_path):
    script = f"""
import asyncio, pathlib
from crossbook.twin import Backing
from tests.integration.test_twin_backing import enter_world
async def main():
    async with Backing(pathlib.Path({str(tmp_path)!r}), durable=False) as backing:
        print(await enter_world(backing), flush=True)
        await asyncio.sleep(600)
asyncio.run(main())
"""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", script, stdout=asyncio.subprocess.PIPE, cwd=Path(__file__).parents[2]
    )
    assert process.stdout is not None
    assert await process.stdout.readline() == b"1\n"
    process.kill()
    await process.wait()
    left = StateDirectory(tmp_path).read_running()
    assert left is not None and len(left.processes) == 3
    async with Backing(tmp_path, durable=False) as backing:
        assert not any(is_alive(child) for child in left.processes)
        assert await enter_world(backing) == 2  # the emulator was told in time to write its state
