"""The reconciler on a running exchange: silent under traffic, and one unit too much in a wallet halts its symbols."""

from dataclasses import replace
from pathlib import Path

import pytest

from crossbook.bootstrap import open_cloud
from crossbook.clients.api_client import ApiClient, ApiProblemError
from crossbook.options import TwinOptions
from crossbook.twin import Twin
from tests.eventually import eventually

PATIENCE_S = 40.0
ORDER = {"symbol": "BTCUSDT", "type": "limit", "price": "50000", "quantity": "0.01"}


async def test_a_wallet_that_is_off_halts_what_trades_its_asset_and_nothing_else(tmp_path: Path):
    options = replace(TwinOptions.private(), reconciles=True)
    async with Twin(tmp_path, options) as twin, ApiClient(twin.gateway_url) as api:
        alice = await api.log_in("alice", twin.password)
        bob = await api.log_in("bob", twin.password)

        async def status(symbol: str) -> str:
            return str((await api.instrument(symbol))["status"])

        for _ in range(10):
            await alice.place(**ORDER, side="sell")
            await bob.place(**ORDER, side="buy")
        symbols = {one["symbol"]: one for one in (await api.call("GET", "/api/v1/instruments"))["instruments"]}
        concerned = {symbol for symbol, one in symbols.items() if "BTC" in (one["base"], one["quote"])}
        assert concerned and concerned != set(symbols)
        async with open_cloud(twin.site.aws) as cloud:
            await cloud.dynamodb.update_item(
                TableName=twin.site.topology.wallets.name,
                Key={"user_id": {"S": alice.user_id}, "asset": {"S": "BTC"}},
                UpdateExpression="ADD available :one",
                ExpressionAttributeValues={":one": {"N": "1"}},
            )
        for symbol in concerned:
            await eventually(lambda symbol=symbol: _is_halted(status, symbol), timeout_s=PATIENCE_S)
        for symbol in set(symbols) - concerned:
            assert await status(symbol) == "trading"
        with pytest.raises(ApiProblemError, match="symbol_halted"):
            await alice.place(**ORDER, side="sell")
        log = (twin.logs / "reconciler.log").read_text()
        assert "difference_found" in log and f"wallet {alice.user_id} BTC" in log


async def _is_halted(status: object, symbol: str) -> bool:
    return await status(symbol) == "halted"  # type: ignore[operator]
