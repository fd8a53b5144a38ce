"""The templates, deployed by the CDK's own command line to an emulated cloud; the exchange runs on what they made.

Queues, stream, tables, buckets, user pool and the persister's Lambda come from CloudFormation; gateway, matcher and
fanout run as processes of this machine, told the names that the stacks put out. The emulator carries no VPC, so the
environment `emulated` has none, and it runs Lambdas on its own Python, so the package is built for that. What it takes
without doing it (keys, PITR, lifecycle) is asserted on the templates of `prod`.
"""

import asyncio
import json
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aioboto3
import pytest

from crossbook import persister_tools
from crossbook.backing import Backing
from crossbook.bootstrap import UserPool
from crossbook.check import CheckOptions, check
from crossbook.demo import PASSWORD
from crossbook.ports import LOOPBACK
from crossbook.seed import create_users, seed
from crossbook.servers import aws
from crossbook.services import services, wishes
from crossbook.site import Site
from exchange_core.topology import Topology
from services.persister.package import package
from tests.infra.assembly import INFRA, INFRA_BIN, infra_environment

STACKS = ("keys", "identity", "messaging", "tables", "buckets", "artifacts")
COMMAND_TIMEOUT_S = 300.0
TAG = "tested"
PYTHON_VERSION = f"{sys.version_info.major}.{sys.version_info.minor}"


class Cloud:
    """An emulated cloud with CloudFormation and the CDK's command line aimed at it, the stacks synthesized once."""

    def __init__(self, backing: Backing, database_url: str, directory: Path) -> None:
        self.backing = backing
        self.database_url = database_url
        self._home = directory
        self._templates = directory / "cdk.out"

    async def synthesize(self) -> None:
        """The stacks of the environment `emulated`, told where database and Redis are, as the command's app."""
        context = {
            "environment": "emulated",
            "database_url": self.database_url,
            "redis_url": self.backing.redis_url,
        }
        await self._run(
            str(INFRA_BIN / "python"),
            "app.py",
            directory=INFRA,
            variables={"CDK_OUTDIR": str(self._templates), "CDK_CONTEXT_JSON": json.dumps(context)},
        )

    async def cdk(self, *arguments: str) -> None:
        """Run the command; fails with what it said."""
        await self._run(
            str(INFRA_BIN.parent / "node_modules" / ".bin" / "cdk"),
            *arguments,
            *("--app", str(self._templates), "--ci", "--no-notices", "--no-version-reporting"),
            directory=self._home,
            variables={**self.backing.aws_environment, "HOME": str(self._home)},
        )

    async def _run(self, *command: str, directory: Path, variables: dict[str, str]) -> None:
        environment = infra_environment(**variables)
        process = await asyncio.create_subprocess_exec(
            *command, cwd=directory, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        )
        try:
            async with asyncio.timeout(COMMAND_TIMEOUT_S):
                output, _ = await process.communicate()
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
        assert process.returncode == 0, output.decode()

    def client(self, service: str) -> Any:
        aws = self.backing.aws_environment
        session = aioboto3.Session(
            aws["AWS_ACCESS_KEY_ID"], aws["AWS_SECRET_ACCESS_KEY"], region_name=aws["AWS_REGION"]
        )
        return session.client(service, endpoint_url=aws["AWS_ENDPOINT_URL"])

    async def outputs(self, stack: str) -> dict[str, str]:
        async with self.client("cloudformation") as cloudformation:
            (found,) = (await cloudformation.describe_stacks(StackName=f"crossbook-{stack}"))["Stacks"]
        return {output["OutputKey"]: output["OutputValue"] for output in found.get("Outputs", [])}


@pytest.fixture(scope="module")
async def cloud(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Cloud]:
    directory = tmp_path_factory.mktemp("deployed")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(aws, "SERVICES", "")  # all that it has
        running = services(matchers=1)
        async with Backing(
            directory / "backing", wishes=wishes(running, gateway_port=0, fanout_port=0), durable=False
        ) as backing:
            database_url = await backing.create_database("crossbook")
            await persister_tools.migrate(database_url)
            yield Cloud(backing, database_url, directory)


@pytest.fixture(scope="module")
async def deployed(cloud: Cloud, tmp_path_factory: pytest.TempPathFactory) -> Cloud:
    artifact = tmp_path_factory.mktemp("package") / "persister.zip"
    package(artifact, python_version=PYTHON_VERSION, platform=None)
    await cloud.synthesize()
    await cloud.cdk("bootstrap", "aws://000000000000/us-east-1")
    await cloud.cdk("deploy", *STACKS, "--require-approval", "never", "--exclusively")
    bucket = (await cloud.outputs("artifacts"))["PackagesBucket"]
    async with cloud.client("s3") as s3:
        await s3.put_object(Bucket=bucket, Key=f"persister/{TAG}.zip", Body=artifact.read_bytes())
    parameter = ("--parameters", f"crossbook-persister:ImageTag={TAG}")
    await cloud.cdk("deploy", "persister", "--require-approval", "never", "--exclusively", *parameter)
    return cloud


async def test_the_stacks_make_what_the_topology_names(deployed: Cloud) -> None:
    topology = Topology()
    async with deployed.client("sqs") as sqs:
        for queue in topology.queues:
            url = (await sqs.get_queue_url(QueueName=queue.name))["QueueUrl"]
            attributes = (await sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["All"]))["Attributes"]
            assert queue.attributes().items() <= attributes.items()
            redrive = json.loads(attributes["RedrivePolicy"])
            assert int(redrive["maxReceiveCount"]) == queue.max_receives
            assert redrive["deadLetterTargetArn"].endswith(queue.dead_letter_name)
    async with deployed.client("dynamodb") as dynamodb:
        for table in topology.tables:
            keys = (await dynamodb.describe_table(TableName=table.name))["Table"]["KeySchema"]
            wanted = [table.hash_key[0], *([table.range_key[0]] if table.range_key else [])]
            assert [key["AttributeName"] for key in keys] == wanted
    async with deployed.client("kinesis") as kinesis:
        stream = topology.executions
        found = (await kinesis.describe_stream_summary(StreamName=stream.name))["StreamDescriptionSummary"]
        assert (found["OpenShardCount"], found["RetentionPeriodHours"]) == (stream.shards, stream.retention_hours)
    async with deployed.client("s3") as s3:
        for bucket in topology.buckets:
            assert (await s3.get_bucket_versioning(Bucket=bucket.name))["Status"] == "Enabled"


async def test_the_exchange_trades_and_settles_on_what_the_stacks_made(deployed: Cloud) -> None:
    backing = deployed.backing
    identity = await deployed.outputs("identity")
    site = Site(
        topology=Topology(),
        aws=backing.aws_environment,
        database_url=deployed.database_url,
        redis_url=backing.redis_url,
        user_pool=UserPool(user_pool_id=identity["UserPoolId"], client_id=identity["ClientId"]),
    )
    # the persister is the Lambda
    processes = [service for service in services(matchers=1) if service.name != "persister"]
    await backing.supervisor.start(
        *(
            service.spec(
                site, port=backing.ports[service.name], log_level="info", directory=backing.state.path, traces={}
            )
            for service in processes
        )
    )
    assert site.user_pool is not None
    await create_users(backing.cloud, site.user_pool)
    gateway_url = f"http://{LOOPBACK}:{backing.ports['gateway']}"
    await seed(gateway_url, timeout_s=120)
    await check(
        CheckOptions(
            gateway_url=gateway_url,
            websocket_url=f"ws://{LOOPBACK}:{backing.ports['fanout']}/ws",
            operator_password=PASSWORD,
            timeout_s=60,
        )
    )
