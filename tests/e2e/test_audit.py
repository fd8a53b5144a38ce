"""`crossbook audit` on a running exchange: clean after real traffic, and not after a tampering with a real store."""

import asyncio
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import asyncpg
import pytest

from crossbook.audit.checks import CheckResult
from crossbook.audit.run import audit_exchange
from crossbook.bootstrap import Cloud, open_cloud
from crossbook.clients.api_client import ApiClient
from crossbook.twin import Twin

WAIT_S = 20.0
FIRST_LINE = "SELECT partition, slot, line FROM ledger ORDER BY partition, slot, line LIMIT 1"


async def trade(twin: Twin) -> None:
    """A trade between alice and bob, and an order that rests."""
    async with ApiClient(twin.gateway_url) as api:
        alice = await api.log_in("alice", twin.password)
        bob = await api.log_in("bob", twin.password)
        sell = {"symbol": "BTCUSDT", "side": "sell", "type": "limit", "price": "50000", "quantity": "0.01"}
        await alice.place(**sell)
        await bob.place(**sell | {"side": "buy"})
        await bob.place(**sell | {"side": "buy", "price": "49000"})


async def differing(twin: Twin) -> dict[str, CheckResult]:
    results = await audit_exchange(twin.client_environment, WAIT_S)
    return {result.name: result for result in results if result.differences}


@pytest.fixture
async def cloud(twin: Twin) -> AsyncIterator[Cloud]:
    async with open_cloud(twin.site.aws) as opened:
        yield opened


@asynccontextmanager
async def tampered_wallet(twin: Twin, cloud: Cloud) -> AsyncIterator[None]:
    async def add(units: int) -> None:
        page = await cloud.dynamodb.scan(TableName=twin.site.topology.wallets.name)
        key = {name: page["Items"][0][name] for name in ("user_id", "asset")}
        await cloud.dynamodb.update_item(
            TableName=twin.site.topology.wallets.name,
            Key=key,
            UpdateExpression="ADD available :units",
            ExpressionAttributeValues={":units": {"N": str(units)}},
        )

    await add(7)
    try:
        yield
    finally:
        await add(-7)


@asynccontextmanager
async def tampered_journal(twin: Twin, cloud: Cloud) -> AsyncIterator[None]:
    table = twin.site.topology.journal.name
    key = {"partition": {"N": "0"}, "n": {"N": "2"}}
    item = (await cloud.dynamodb.get_item(TableName=table, Key=key))["Item"]
    await cloud.dynamodb.delete_item(TableName=table, Key=key)
    try:
        yield
    finally:
        await cloud.dynamodb.put_item(TableName=table, Item=item)


@asynccontextmanager
async def tampered_history(twin: Twin, cloud: Cloud) -> AsyncIterator[None]:
    bucket = twin.site.topology.history.name
    listed = await cloud.s3.list_objects_v2(Bucket=bucket, Prefix="history/partition=0/")
    key = listed["Contents"][0]["Key"]
    body = await (await cloud.s3.get_object(Bucket=bucket, Key=key))["Body"].read()
    await cloud.s3.delete_object(Bucket=bucket, Key=key)
    try:
        yield
    finally:
        await cloud.s3.put_object(Bucket=bucket, Key=key, Body=body)


def tampered_rows(change: str, back: str) -> Callable[[Twin, Cloud], Any]:
    @asynccontextmanager
    async def tampered(twin: Twin, cloud: Cloud) -> AsyncIterator[None]:
        connection = await asyncpg.connect(twin.site.database_url)
        try:
            await connection.execute(change)
            try:
                yield
            finally:
                await connection.execute(back)
        finally:
            await connection.close()

    return tampered


tampered_orders = tampered_rows(
    "UPDATE orders SET fee = fee + 1 WHERE order_id = (SELECT min(order_id) FROM orders)",
    "UPDATE orders SET fee = fee - 1 WHERE order_id = (SELECT min(order_id) FROM orders)",
)
tampered_trades = tampered_rows(
    "UPDATE trades SET price = price + 1 WHERE trade_id = 1", "UPDATE trades SET price = price - 1 WHERE trade_id = 1"
)
tampered_ledger = tampered_rows(
    f"UPDATE ledger SET amount = amount + 1 WHERE (partition, slot, line) = ({FIRST_LINE})",
    f"UPDATE ledger SET amount = amount - 1 WHERE (partition, slot, line) = ({FIRST_LINE})",
)


async def test_it_is_clean_after_trading_and_says_so(twin: Twin):
    await trade(twin)
    assert await differing(twin) == {}
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "crossbook",
        "audit",
        "--state-dir",
        str(twin.backing.state.path),
        stdout=asyncio.subprocess.PIPE,
    )
    output, _ = await process.communicate()
    assert process.returncode == 0 and b"clean" in output


@pytest.mark.parametrize(
    ("tampered", "check"),
    [
        (tampered_wallet, "wallets: equal the journal's fold"),
        (tampered_journal, "journal: slots gapless and readable"),
        (tampered_history, "history in S3: covers and agrees"),
        (tampered_orders, "database: orders"),
        (tampered_trades, "database: trades and fills"),
        (tampered_ledger, "database: ledger"),
    ],
    ids=["wallets", "journal", "history", "orders", "trades", "ledger"],
)
async def test_it_finds_a_tampering_with_a_real_store(twin: Twin, cloud: Cloud, tampered: Any, check: str):
    await trade(twin)
    assert await differing(twin) == {}
    async with tampered(twin, cloud):
        found = await differing(twin)
    assert check in found, f"only {sorted(found)} fired"
    assert found[check].first is not None and found[check].first.slot is not None
    assert await differing(twin) == {}
