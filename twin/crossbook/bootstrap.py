"""Creates in the emulated cloud what `exchange_core.topology` lists, and a Cognito user pool. Safe to run again."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Any

import aioboto3
from botocore.config import Config
from botocore.exceptions import ClientError

from exchange_core.topology import BucketSpec, QueueSpec, StreamSpec, TableSpec, Topology

OPERATORS_GROUP = "operators"
SDK_CONFIG = Config(
    retries={"mode": "standard", "total_max_attempts": 3},
    connect_timeout=5,
    read_timeout=30,
    max_pool_connections=50,
)
ACTIVE_POLL_S = 0.05
ACTIVE_TIMEOUT_S = 30.0
ENDPOINT_NAMES = {"cognito-idp": "cognito_identity_provider"}
"""Services that the SDK's variables call otherwise than its clients do."""
CREATED_ALREADY = {
    "ResourceInUseException",
    "BucketAlreadyOwnedByYou",
    "QueueAlreadyExists",
    "QueueNameExists",
    "GroupExistsException",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class UserPool:
    """The ids of the exchange's Cognito user pool and of the client that the gateway logs in with."""

    user_pool_id: str
    client_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Cloud:
    """SDK clients of the emulated cloud."""

    sqs: Any
    kinesis: Any
    dynamodb: Any
    s3: Any
    cognito: Any


@contextlib.asynccontextmanager
async def open_cloud(environment: Mapping[str, str]) -> AsyncIterator[Cloud]:
    """Clients of the cloud that these variables of the SDK name, whatever this process has in its own environment."""
    session = aioboto3.Session(
        aws_access_key_id=environment["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=environment["AWS_SECRET_ACCESS_KEY"],
        region_name=environment["AWS_REGION"],
    )
    async with AsyncExitStack() as stack:
        names = {
            "sqs": "sqs",
            "kinesis": "kinesis",
            "dynamodb": "dynamodb",
            "s3": "s3",
            "cognito": "cognito-idp",
        }
        clients = {
            field: await stack.enter_async_context(
                session.client(service, endpoint_url=endpoint(environment, service), config=SDK_CONFIG)
            )
            for field, service in names.items()
        }
        yield Cloud(**clients)


def endpoint(environment: Mapping[str, str], service: str) -> str:
    """Where these variables of the SDK say the service is: at an address of its own, or with all the others."""
    variable = f"AWS_ENDPOINT_URL_{ENDPOINT_NAMES.get(service, service).upper()}"
    return environment.get(variable, environment["AWS_ENDPOINT_URL"])


async def create_resources(cloud: Cloud, topology: Topology) -> None:
    """Create every queue, table, stream and bucket that is not there, and wait until they can be used."""
    async with asyncio.TaskGroup() as group:
        for queue in topology.queues:
            group.create_task(_create_queue(cloud, queue))
        for table in topology.tables:
            group.create_task(create_table(cloud, table))
        for bucket in topology.buckets:
            group.create_task(_create_bucket(cloud, bucket))
        group.create_task(_create_stream(cloud, topology.executions))


async def create_user_pool(cloud: Cloud, *, name: str) -> UserPool:
    """A user pool with the operators' group, and a client that logs in by password."""
    pool = await cloud.cognito.create_user_pool(
        PoolName=name,
        Policies={"PasswordPolicy": {"MinimumLength": 12, "RequireNumbers": True, "RequireUppercase": True}},
    )
    user_pool_id = pool["UserPool"]["Id"]
    client = await cloud.cognito.create_user_pool_client(
        UserPoolId=user_pool_id,
        ClientName="gateway",
        ExplicitAuthFlows=["ALLOW_USER_PASSWORD_AUTH", "ALLOW_REFRESH_TOKEN_AUTH"],
    )
    with _created_already():
        await cloud.cognito.create_group(UserPoolId=user_pool_id, GroupName=OPERATORS_GROUP)
    return UserPool(user_pool_id=user_pool_id, client_id=client["UserPoolClient"]["ClientId"])


async def _create_queue(cloud: Cloud, spec: QueueSpec) -> None:
    dead_letter_url = await _queue_url(
        cloud,
        spec.dead_letter_name,
        {"FifoQueue": "true", "MessageRetentionPeriod": str(spec.dead_letter_retention_s)},
    )
    answer = await cloud.sqs.get_queue_attributes(QueueUrl=dead_letter_url, AttributeNames=["QueueArn"])
    redrive = {
        "deadLetterTargetArn": answer["Attributes"]["QueueArn"],
        "maxReceiveCount": str(spec.max_receives),
    }
    await _queue_url(cloud, spec.name, {**spec.attributes(), "RedrivePolicy": json.dumps(redrive)})


async def _queue_url(cloud: Cloud, name: str, attributes: dict[str, str]) -> str:
    try:
        answer = await cloud.sqs.get_queue_url(QueueName=name)
    except cloud.sqs.exceptions.QueueDoesNotExist:
        answer = await cloud.sqs.create_queue(QueueName=name, Attributes=attributes)
    return str(answer["QueueUrl"])


async def create_table(cloud: Cloud, spec: TableSpec) -> None:
    """Create the table unless it is there, and wait until it can be used."""
    keys = [(spec.hash_key, "HASH")] + ([(spec.range_key, "RANGE")] if spec.range_key else [])
    with _created_already():
        await cloud.dynamodb.create_table(
            TableName=spec.name,
            KeySchema=[{"AttributeName": name, "KeyType": kind} for (name, _), kind in keys],
            AttributeDefinitions=[
                {"AttributeName": name, "AttributeType": attribute_type} for (name, attribute_type), _ in keys
            ],
            BillingMode="PAY_PER_REQUEST",
        )
        await _until_active(cloud.dynamodb.describe_table, "Table", "TableStatus", TableName=spec.name)
        if spec.ttl_attribute:
            await cloud.dynamodb.update_time_to_live(
                TableName=spec.name,
                TimeToLiveSpecification={"Enabled": True, "AttributeName": spec.ttl_attribute},
            )


async def _create_stream(cloud: Cloud, spec: StreamSpec) -> None:
    with _created_already():
        await cloud.kinesis.create_stream(StreamName=spec.name, ShardCount=spec.shards)
        await _until_active(
            cloud.kinesis.describe_stream_summary,
            "StreamDescriptionSummary",
            "StreamStatus",
            StreamName=spec.name,
        )
        await cloud.kinesis.increase_stream_retention_period(
            StreamName=spec.name, RetentionPeriodHours=spec.retention_hours
        )


async def _create_bucket(cloud: Cloud, spec: BucketSpec) -> None:
    with _created_already():
        await cloud.s3.create_bucket(Bucket=spec.name)
    await cloud.s3.put_bucket_versioning(Bucket=spec.name, VersioningConfiguration={"Status": "Enabled"})


async def _until_active(describe: Any, part: str, status: str, **key: str) -> None:
    async with asyncio.timeout(ACTIVE_TIMEOUT_S):
        while (await describe(**key))[part][status] != "ACTIVE":
            await asyncio.sleep(ACTIVE_POLL_S)


@contextlib.contextmanager
def _created_already() -> Any:
    """Let it pass that a resource is there from an earlier start."""
    try:
        yield
    except ClientError as error:
        if error.response["Error"]["Code"] not in CREATED_ALREADY:
            raise
