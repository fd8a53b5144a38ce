"""`crossbook rebuild`: with the database dropped and the wallets emptied, everything comes back from the journal."""

from pathlib import Path
from typing import Any

import asyncpg
import pytest

from crossbook.audit.run import audit_exchange
from crossbook.bootstrap import open_cloud
from crossbook.clients.api_client import ApiClient
from crossbook.errors import ProcessError
from crossbook.options import TwinOptions
from crossbook.persister_tools import rebuild
from crossbook.rebuild import rebuild_twin
from crossbook.twin import Twin

PATHS = ("/api/v1/balances", "/api/v1/orders", "/api/v1/fills")
AUDIT_WAIT_S = 20.0


async def trade(twin: Twin) -> None:
    """A full fill, a partial one, an order that rests, one that was canceled, one that was refused."""
    limit = {"symbol": "BTCUSDT", "type": "limit", "price": "50000"}
    async with ApiClient(twin.gateway_url) as api:
        alice = await api.log_in("alice", twin.password)
        bob = await api.log_in("bob", twin.password)
        await alice.place(**limit, side="sell", quantity="0.01")
        await bob.place(**limit, side="buy", quantity="0.01")
        await alice.place(**limit, side="sell", quantity="0.02")
        await bob.place(**limit, side="buy", quantity="0.005")
        gone = await bob.place(**limit | {"price": "49000"}, side="buy", quantity="0.003")
        await bob.cancel(gone["order_id"])
        await bob.place(**limit | {"price": "49100"}, side="buy", quantity="0.004", post_only=True)


async def told(twin: Twin) -> dict[str, Any]:
    """What the users are told of their money, their orders and their fills."""
    answers: dict[str, Any] = {}
    async with ApiClient(twin.gateway_url) as api:
        for name in ("alice", "bob"):
            user = await api.log_in(name, twin.password)
            for path in PATHS:
                answers[f"{name} {path}"] = await user.call("GET", path)
    return answers


async def differences(twin: Twin) -> list[str]:
    results = await audit_exchange(twin.client_environment, AUDIT_WAIT_S)
    return [f"{result.name}: {difference}" for result in results for difference in result.differences]


async def destroy(twin: Twin) -> None:
    """The database, the wallets, and the last slot of the journal that is archived."""
    connection = await asyncpg.connect(twin.site.database_url)
    try:
        await connection.execute("DROP SCHEMA public CASCADE; CREATE SCHEMA public")
    finally:
        await connection.close()
    topology = twin.site.topology
    async with open_cloud(twin.site.aws) as cloud:
        for item in (await cloud.dynamodb.scan(TableName=topology.wallets.name))["Items"]:
            key = {name: item[name] for name in ("user_id", "asset")}
            await cloud.dynamodb.delete_item(TableName=topology.wallets.name, Key=key)
        listed = await cloud.s3.list_objects_v2(Bucket=topology.history.name, Prefix="history/partition=0/")
        last = int(max(entry["Key"] for entry in listed["Contents"]).partition(".")[0].rpartition("-")[2])
        await cloud.dynamodb.delete_item(
            TableName=topology.journal.name, Key={"partition": {"N": "0"}, "n": {"N": str(last)}}
        )


async def test_what_is_lost_comes_back_to_the_last_unit(tmp_path: Path):
    options = TwinOptions.private()
    async with Twin(tmp_path, options) as twin:
        await trade(twin)
        assert await differences(twin) == []
        before = await told(twin)
        with pytest.raises(ProcessError, match="stop all services first"):
            await rebuild(twin.site.environment)
    stores = Twin(tmp_path, options)
    try:
        await stores.start_stores()
        await destroy(stores)
    finally:
        await stores.stop()

    figures = await rebuild_twin(tmp_path)

    assert figures["restored"] > 0, "the archive had what the journal had lost"
    async with Twin(tmp_path, options) as twin:
        assert await told(twin) == before
        assert await differences(twin) == []
        await trade(twin)
        assert await differences(twin) == [], "and it goes on from there"
