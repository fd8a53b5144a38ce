"""The persister's Lambda artifact, deployed behind a real Kinesis event source mapping of the emulated cloud.

MiniStack runs a function as a process of its own Python, so the zip is built for the Python of this run; what differs
in the artifact of `make package-persister` is the wheels' platform alone. Of an answer that hands records back
MiniStack takes no notice (Lambda gives them to the function again): that is tested in `tests/unit/persister` and, with
the handler in a process, in `test_persister_service`.
"""

import subprocess
import sys
import zipfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from random import Random
from types import SimpleNamespace
from typing import Any

import asyncpg
import pytest

from crossbook.site import Site
from exchange_adapters.aws import open_clients
from exchange_adapters.kinesis import KinesisExecutionSink
from exchange_adapters.postgres import open_pool
from exchange_core.codec import Slot, encode_slot
from services.persister.package import HANDLER, package
from tests.eventually import eventually
from tests.integration.test_persister_service import assert_settled, position
from tests.unit.persister.journals import RandomMarket

PYTHON_VERSION = f"{sys.version_info.major}.{sys.version_info.minor}"
PATIENCE_S = 40.0


@pytest.fixture(scope="module")
def artifact(tmp_path_factory: pytest.TempPathFactory) -> Path:
    output = tmp_path_factory.mktemp("artifact") / "persister.zip"
    package(output, python_version=PYTHON_VERSION, platform=None)
    return output


@pytest.fixture
async def clients(site: Site, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[SimpleNamespace]:
    for name, value in site.aws.items():
        monkeypatch.setenv(name, value)
    async with open_clients("kinesis", "dynamodb", "s3", "lambda") as opened:
        yield opened


@pytest.fixture
async def pool(site: Site) -> AsyncIterator[asyncpg.Pool]:
    async with open_pool(site.database_url) as opened:
        yield opened


class Deployed:
    """The function of one site and its mapping."""

    def __init__(self, site: Site, clients: SimpleNamespace) -> None:
        self._site, self._aws, self._s3 = site, getattr(clients, "lambda"), clients.s3
        self.name = f"{site.topology.prefix}-persister"
        self._mapping_id = ""

    async def create(self, artifact: Path, stream_arn: str, **variables: str) -> None:
        bucket, key = f"{self.name}-code", artifact.name
        await self._s3.create_bucket(Bucket=bucket)
        with artifact.open("rb") as file:
            await self._s3.put_object(Bucket=bucket, Key=key, Body=file)
        await self._aws.create_function(
            FunctionName=self.name,
            Runtime=f"python{PYTHON_VERSION}",
            Role="arn:aws:iam::000000000000:role/persister",
            Handler=HANDLER,
            Code={"S3Bucket": bucket, "S3Key": key},
            Timeout=30,
            MemorySize=512,
            Environment=self._environment(variables),
        )
        mapping = await self._aws.create_event_source_mapping(
            FunctionName=self.name,
            EventSourceArn=stream_arn,
            StartingPosition="TRIM_HORIZON",
            BatchSize=20,
            BisectBatchOnFunctionError=False,
            MaximumRetryAttempts=-1,
            FunctionResponseTypes=["ReportBatchItemFailures"],
        )
        self._mapping_id = mapping["UUID"]

    async def configure(self, **variables: str) -> None:
        await self._aws.update_function_configuration(FunctionName=self.name, Environment=self._environment(variables))

    async def last_result(self) -> str:
        mapping = await self._aws.get_event_source_mapping(UUID=self._mapping_id)
        return str(mapping["LastProcessingResult"])

    async def delete(self) -> None:
        if self._mapping_id:
            await self._aws.delete_event_source_mapping(UUID=self._mapping_id)
        await self._aws.delete_function(FunctionName=self.name)
        (code,) = (await self._s3.list_objects_v2(Bucket=f"{self.name}-code"))["Contents"]
        await self._s3.delete_object(Bucket=f"{self.name}-code", Key=code["Key"])

    def _environment(self, variables: dict[str, str]) -> dict[str, Any]:
        own = self._site.exchange_environment | self._site.database_environment | {"LOG_LEVEL": "info"}
        return {"Variables": own | variables}


@asynccontextmanager
async def deployed(site: Site, clients: SimpleNamespace, artifact: Path, **variables: str) -> AsyncIterator[Deployed]:
    stream = await clients.kinesis.describe_stream_summary(StreamName=site.topology.executions.name)
    function = Deployed(site, clients)
    await function.create(artifact, stream["StreamDescriptionSummary"]["StreamARN"], **variables)
    try:
        yield function
    finally:
        await function.delete()


async def feed(sink: KinesisExecutionSink, slots: list[Slot]) -> None:
    for slot in slots:
        await sink.append(slot.partition, encode_slot(slot))


async def test_the_lambda_settles_what_stands_in_the_stream_and_what_comes_and_repeats(
    site: Site, clients: SimpleNamespace, pool: asyncpg.Pool, artifact: Path
) -> None:
    random = Random(1)
    journals = [RandomMarket(random, partition=p, symbol=f"BTCUSD{p}").slots(40) for p in range(2)]
    sink = KinesisExecutionSink(clients.kinesis, site.topology)

    async def are_at(slot: int) -> bool:
        return [await position(pool, p) for p in range(2)] == [slot, slot]

    # GIVEN slots in the stream before there is a function
    for slots in journals:
        await feed(sink, slots[:15])
    # WHEN it is deployed, at first with a setting forgotten
    async with deployed(site, clients, artifact, DATABASE_URL="") as function:

        async def has_failed() -> bool:
            return await function.last_result() == "FAILED"

        await eventually(has_failed, timeout_s=PATIENCE_S)
        assert await are_at(0)
        await function.configure()
        # THEN nothing is lost
        await eventually(lambda: are_at(15), timeout_s=PATIENCE_S)
        # AND what comes later is settled, repeats among it once
        for slots in journals:
            await feed(sink, slots[5:40])
            await feed(sink, slots[30:40])
        await eventually(lambda: are_at(40), timeout_s=PATIENCE_S)
    await assert_settled(site, clients, pool, *journals)


def test_the_artifact_needs_nothing_that_is_not_in_it(artifact: Path, tmp_path: Path) -> None:
    with zipfile.ZipFile(artifact) as archive:
        archive.extractall(tmp_path)
        names = archive.namelist()
    ours = {name for name in names if name.startswith("exchange_")}
    assert "exchange_adapters/kinesis.py" in ours and not [name for name in ours if "/sim/" in name or "migrat" in name]
    module = HANDLER.rpartition(".")[0]
    program = f"import sys; sys.path.insert(0, {str(tmp_path)!r}); import {module} as found; print(found.__file__)"
    command = [sys.executable, "-I", "-S", "-B", "-c", program]
    assert subprocess.run(command, check=True, capture_output=True, text=True).stdout.startswith(str(tmp_path))


def test_the_same_sources_give_the_same_bytes(artifact: Path, tmp_path: Path) -> None:
    again = tmp_path / "again.zip"
    package(again, python_version=PYTHON_VERSION, platform=None)
    assert again.read_bytes() == artifact.read_bytes()
