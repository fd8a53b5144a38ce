"""The persister as a process and as a Lambda, on emulated Kinesis, DynamoDB and S3 and a real PostgreSQL and Redis."""

import asyncio
import base64
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from random import Random
from types import SimpleNamespace
from typing import Any

import aiohttp
import asyncpg
import orjson
import pytest
import zstandard

from crossbook.site import Site
from exchange_adapters.aws import open_clients
from exchange_adapters.dynamodb_wallets import DynamoWalletHolds
from exchange_adapters.kinesis import KinesisExecutionSink
from exchange_adapters.postgres import open_pool
from exchange_core.codec import Slot, encode_slot
from exchange_persister.history import history_lines
from tests.eventually import eventually
from tests.integration.test_postgres_projections import assert_shows
from tests.unit.persister.journals import RandomMarket
from tests.unit.persister.test_lambda_handler import kinesis_event
from tests.unit.persister.test_settlement import expected_balances

HANDLER = """
import sys, orjson
from exchange_persister.lambda_handler import handler
for line in sys.stdin.buffer:
    print("ANSWER", orjson.dumps(handler(orjson.loads(line), None)).decode(), flush=True)
"""


@pytest.fixture
async def clients(site: Site, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[SimpleNamespace]:
    for name, value in site.aws.items():
        monkeypatch.setenv(name, value)
    async with open_clients("kinesis", "dynamodb", "s3") as opened:
        yield opened


@pytest.fixture
async def pool(site: Site) -> AsyncIterator[asyncpg.Pool]:
    async with open_pool(site.database_url) as opened:
        yield opened


@asynccontextmanager
async def process(site: Site, *arguments: str, **variables: str) -> AsyncIterator[asyncio.subprocess.Process]:
    """A Python process with the persister's environment; gone for sure on leaving."""
    environment = os.environ | site.exchange_environment | site.database_environment | variables
    running = await asyncio.create_subprocess_exec(
        sys.executable,
        *arguments,
        env=environment,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        limit=1 << 24,
    )
    try:
        yield running
    finally:
        with suppress(ProcessLookupError):
            running.kill()
        await running.communicate()


async def assert_settled(site: Site, clients: SimpleNamespace, pool: asyncpg.Pool, *journals: list[Slot]) -> None:
    """Wallets, rows and archive are what the journals say."""
    await assert_shows(pool, *journals)
    holds, shown = DynamoWalletHolds(clients.dynamodb, site.topology), {}
    for user_id in {user_id for user_id, _ in expected_balances(*journals)}:
        for wallet in await holds.balances(user_id):
            shown[user_id, wallet.asset] = (wallet.available, wallet.held)
    assert shown == expected_balances(*journals)
    archived = await archived_lines(site, clients)
    lines = [orjson.loads(line) for slots in journals for line in history_lines(slots)]
    assert archived == {_place(line): line for line in lines}


async def archived_lines(site: Site, clients: SimpleNamespace) -> dict[tuple[int, int, int], Any]:
    found = {}
    bucket = site.topology.history.name
    listing = await clients.s3.list_objects_v2(Bucket=bucket)
    for entry in listing.get("Contents", []):
        response = await clients.s3.get_object(Bucket=bucket, Key=entry["Key"])
        text = zstandard.ZstdDecompressor().decompress(await response["Body"].read(), max_output_size=1 << 24)
        for line in map(orjson.loads, text.splitlines()):
            assert found.setdefault(_place(line), line) == line
    return found


def _place(line: dict[str, Any]) -> tuple[int, int, int]:
    return (line["partition"], line["slot"], line["line"])


async def position(pool: asyncpg.Pool, partition: int) -> int:
    return await pool.fetchval("SELECT slot FROM positions WHERE partition = $1", partition) or 0


async def test_a_worker_that_is_killed_again_and_again_settles_everything_once(
    site: Site, clients: SimpleNamespace, pool: asyncpg.Pool
) -> None:
    random = Random(1)
    journals = [RandomMarket(random, partition=p, symbol=f"BTCUSD{p}").slots(60) for p in range(2)]
    sink = KinesisExecutionSink(clients.kinesis, site.topology)
    worker = ("-m", "exchange_persister")
    small = {"PERSISTER_GROUP_SLOTS_MAX": "5", "HTTP_PORT": "0"}
    # GIVEN a worker that is killed with some of its groups half settled, twice
    for start in range(0, 30, 15):
        for slots in journals:
            for slot in slots[start : start + 15]:
                await sink.append(slot.partition, encode_slot(slot))
        async with process(site, *worker, **small) as running:
            assert running.stdout is not None
            reading = asyncio.create_task(_drain(running.stdout))
            await eventually(lambda at=start: _is_at(pool, at + random.randint(1, 12)))
            running.send_signal(signal.SIGKILL)
            await reading
    # WHEN two workers share what is left
    for slots in journals:
        for slot in slots[30:]:
            await sink.append(slot.partition, encode_slot(slot))
    async with process(site, *worker, **small) as one, process(site, *worker, **small) as other:
        for running in (one, other):
            assert running.stdout is not None
            _ = asyncio.create_task(_drain(running.stdout))  # noqa: RUF006 - ends with its process
        await eventually(lambda: _is_at(pool, 60), timeout_s=20)
        # THEN a graceful stop is quick and clean
        for running in (one, other):
            running.send_signal(signal.SIGTERM)
            assert await asyncio.wait_for(running.wait(), 10) == 0
    await assert_settled(site, clients, pool, *journals)


async def test_a_worker_says_when_it_is_ready(site: Site, clients: SimpleNamespace) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    async with process(site, "-m", "exchange_persister", HTTP_PORT=port) as running, aiohttp.ClientSession() as http:

        async def is_ready() -> bool:
            with suppress(aiohttp.ClientError):
                async with http.get(f"http://127.0.0.1:{port}/readyz") as response:
                    return response.status == 200
            return False

        assert clients is not None
        await eventually(is_ready)
        running.send_signal(signal.SIGTERM)
        assert await asyncio.wait_for(running.wait(), 10) == 0


async def test_the_lambda_settles_what_kinesis_hands_it(
    site: Site, clients: SimpleNamespace, pool: asyncpg.Pool
) -> None:
    slots = RandomMarket(Random(3)).slots(30)
    async with process(site, "-c", HANDLER) as running:
        assert await _invoke(running, kinesis_event(slots[:10])) == {"batchItemFailures": []}
        # a gap is handed back from the first record that cannot be settled
        answer = await _invoke(running, kinesis_event([*slots[5:15], *slots[16:18]]))
        assert [failure["itemIdentifier"] for failure in answer["batchItemFailures"]] == ["17", "18"]
        assert await _invoke(running, kinesis_event(slots[15:])) == {"batchItemFailures": []}
    await assert_settled(site, clients, pool, slots)


async def _invoke(running: asyncio.subprocess.Process, event: dict[str, Any]) -> dict[str, Any]:
    assert running.stdin is not None and running.stdout is not None
    running.stdin.write(orjson.dumps(event) + b"\n")
    async with asyncio.timeout(20):
        async for line in running.stdout:
            if line.startswith(b"ANSWER "):
                answer: dict[str, Any] = orjson.loads(line.removeprefix(b"ANSWER "))
                return answer
    raise AssertionError("the handler ended without an answer")


async def _is_at(pool: asyncpg.Pool, slot: int) -> bool:
    return await position(pool, 0) >= slot and await position(pool, 1) >= slot


async def _drain(stream: asyncio.StreamReader) -> None:
    """A process whose output nobody reads stops when the pipe is full."""
    while await stream.read(1 << 16):
        pass


def test_the_event_of_the_lambda_test_is_in_the_form_that_aws_documents() -> None:
    (record,) = kinesis_event(RandomMarket(Random(3)).slots(1))["Records"]
    assert base64.b64decode(record["kinesis"]["data"])
    assert {"kinesis", "eventSource", "eventID", "eventSourceARN"} <= record.keys()
