"""A user's own channels of a whole exchange: tokens of the user directory, orders and balances as settled, log-out."""

import json
from decimal import Decimal
from typing import Any

import aiohttp

from crossbook.clients.api_client import ApiClient
from crossbook.twin import Twin

PATIENCE_S = 20.0
USER = "carol"
"""No other test of this exchange trades as carol."""


async def test_the_owner_hears_of_an_order_and_its_money_until_the_log_out(twin: Twin) -> None:
    async with ApiClient(twin.gateway_url) as api, aiohttp.ClientSession() as session:
        carol = await api.log_in(USER, twin.password)
        async with session.ws_connect(twin.websocket_url) as socket:

            async def hear() -> Any:
                return json.loads(await socket.receive_str(timeout=PATIENCE_S), parse_float=Decimal)

            async def ask(**request: Any) -> Any:
                await socket.send_json(request)
                return await hear()

            assert (await ask(action="auth", token=carol.token))["event"] == "authenticated"
            assert (await ask(action="subscribe", channels=["orders", "balances"]))["event"] == "subscribed"
            price = int((await api.instrument("ETHUSDT"))["reference_price"] * Decimal("0.95"))
            order = {"symbol": "ETHUSDT", "side": "buy", "type": "limit", "price": price, "quantity": "0.5"}
            order_id = (await carol.place(**order))["order_id"]
            opened = await hear()
            assert (opened["event"], opened["order_id"], opened["status"]) == ("order", order_id, "open")
            assert (opened["price"], opened["quantity"], opened["filled_quantity"]) == (price, Decimal("0.5"), 0)
            await carol.cancel(order_id)
            events = {message["event"]: message for message in (await hear(), await hear())}
            assert (events["order"]["status"], events["order"]["reason"]) == ("canceled", "user_canceled")
            assert events["order"]["seq"] > opened["seq"]
            balances = (await carol.call("GET", "/api/v1/balances"))["balances"]
            (usdt,) = [balance for balance in balances if balance["asset"] == "USDT"]
            told = events["balance"]
            assert (told["asset"], told["available"], told["held"]) == ("USDT", usdt["available"], usdt["held"])
            await carol.call("DELETE", "/api/v1/sessions")
            assert await hear() == {"event": "auth_ended", "code": "session_revoked"}
