"""An operator lists an instrument while the exchange runs: every service takes it up, and everybody sees it traded."""

import asyncio
from decimal import Decimal
from typing import Any

import aiohttp
import asyncpg
import orjson

from crossbook.audit.run import audit_exchange
from crossbook.clients.api_client import Account, ApiClient, ApiProblemError
from crossbook.twin import Twin
from tests.eventually import eventually

SYMBOL = "NEWUSDT"
WAIT_S = 20.0


async def send(api: ApiClient, account: Account, method: str, path: str, body: Any = None) -> Any:
    """A command, answered by what became of it."""
    status, answer = await api.request(method, path, body, token=account.token, wait_s=10)
    assert status == 200, answer
    return answer


async def found(api: ApiClient, path: str) -> Any:
    """What a gateway shows under a path, which may not know of it yet."""
    try:
        return await api.call("GET", path)
    except ApiProblemError:
        return None


async def heard(socket: aiohttp.ClientWebSocketResponse, event: str) -> Any:
    async with asyncio.timeout(WAIT_S):
        while True:
            message = orjson.loads((await socket.receive()).data)
            if message.get("event") == event:
                return message


async def test_a_new_instrument_is_listed_funded_traded_and_seen_everywhere(twin: Twin) -> None:
    async with ApiClient(twin.gateway_url) as api, aiohttp.ClientSession() as http:
        operator = await api.log_in("operator", twin.password)
        alice, bob = await api.log_in("alice", twin.password), await api.log_in("bob", twin.password)
        listed = await api.instrument("BTCUSDT")
        terms = {name: str(value) if isinstance(value, Decimal) else value for name, value in listed.items()}
        for name in ("status", "partition"):
            del terms[name]
        listing = {**terms, "symbol": SYMBOL, "base": "NEW", "taker_fee_bps": 30, "band_bps": 500}
        answer = await send(api, operator, "POST", "/api/v1/admin/instruments", listing)
        assert answer["status"] == "done"
        shown = await eventually(lambda: found(api, f"/api/v1/instruments/{SYMBOL}"), timeout_s=WAIT_S)
        assert (shown["taker_fee_bps"], shown["band_bps"], shown["status"]) == (30, 500, "trading")
        transfer = {"user_id": alice.user_id, "asset": "NEW", "amount": "5", "transfer_id": "new-1"}
        await send(api, operator, "POST", "/api/v1/admin/deposits", transfer)
        # THEN it trades, and the trade is on the WebSocket, in the market data and in the ledgers
        async with http.ws_connect(twin.websocket_url) as socket:
            await socket.send_json({"action": "subscribe", "symbol": SYMBOL})
            await heard(socket, "subscribed")
            price = str(listed["reference_price"])
            order = {"symbol": SYMBOL, "side": "sell", "type": "limit", "price": price, "quantity": "0.5"}
            await send(api, alice, "POST", "/api/v1/order", order)
            bought = await send(api, bob, "POST", "/api/v1/order", order | {"side": "buy"})
            assert bought["status"] == "filled"
            trade = await heard(socket, "trade")
        assert (trade["symbol"], trade["quantity"], trade["trade_id"]) == (SYMBOL, 0.5, 1)
        (candle,) = (await api.call("GET", f"/api/v1/candles/{SYMBOL}?interval=1d"))["candles"]
        assert (candle["base_volume"], candle["trade_count"], candle["seq"]) == (Decimal("0.5"), 1, trade["seq"])
        ledger = await bob.call("GET", f"/api/v1/ledger?asset=NEW&symbol={SYMBOL}")
        assert sum(entry["available"] for entry in ledger["entries"]) == Decimal("0.4985")
        # AND the audit log has both commands, the database the rows, and the audit nothing to say
        log = await operator.call("GET", "/api/v1/admin/audit?limit=2")
        assert [(one["command"], one["status"]) for one in log["commands"]] == [("deposit", "done"), ("list", "done")]
        connection = await asyncpg.connect(twin.site.database_url)
        try:
            assert await connection.fetchval("SELECT count(*) FROM trades WHERE symbol = $1", SYMBOL) == 1
        finally:
            await connection.close()
    assert [result for result in await audit_exchange(twin.client_environment, WAIT_S) if result.differences] == []
