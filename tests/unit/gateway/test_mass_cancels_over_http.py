"""Cancel all and the cancel timer over real HTTP, on simulated stores."""

from collections.abc import AsyncIterator
from datetime import datetime
from decimal import Decimal
from typing import Any

import pytest

from exchange_core.commands import CancelAllOrders
from tests.unit.gateway.support import LISTING, Answer, Gateway, running_gateway

UNTOUCHED = {"BTC": (Decimal(10), Decimal(0)), "USDT": (Decimal(1_000_000), Decimal(0))}


@pytest.fixture
async def market() -> AsyncIterator[Gateway]:
    """BTCUSDT on one partition and XBTUSDT on the other."""
    async with running_gateway() as gateway:
        await gateway.open_market()
        partition = gateway.cloud.wallets.all_intents()[0].partition
        other = dict(LISTING) | {"symbol": "XBTUSDT", "base": "XBT", "partition": 1 - partition}
        assert (await gateway.call("POST", "/api/v1/admin/instruments", other, user="operator")).status == 202
        await gateway.exchange.settle()
        await gateway.until_listed("XBTUSDT")
        yield gateway


async def statuses(market: Gateway, user: str) -> dict[str, set[str]]:
    orders = (await market.call("GET", "/api/v1/orders", user=user)).body["orders"]
    return {symbol: {o["status"] for o in orders if o["symbol"] == symbol} for symbol in {o["symbol"] for o in orders}}


async def timer(market: Gateway, **body: Any) -> Answer:
    return await market.call("POST", "/api/v1/orders/cancel-all-after", body, user="alice")


async def trade_everywhere(market: Gateway) -> None:
    for symbol in ("BTCUSDT", "XBTUSDT"):
        for user in ("alice", "bob"):
            assert (await market.place(user, symbol=symbol)).status == 202


async def test_cancel_all_ends_the_callers_orders_everywhere(market: Gateway) -> None:
    await trade_everywhere(market)
    answer = await market.call("DELETE", "/api/v1/orders", user="alice")
    assert answer.status == 202
    assert [command["symbol"] for command in answer.body["commands"]] == ["BTCUSDT", "XBTUSDT"]
    await market.exchange.settle()
    assert await statuses(market, "alice") == {"BTCUSDT": {"canceled"}, "XBTUSDT": {"canceled"}}
    assert await statuses(market, "bob") == {"BTCUSDT": {"open"}, "XBTUSDT": {"open"}}
    assert await market.balances("alice") == UNTOUCHED


async def test_cancel_all_by_symbol_leaves_the_others(market: Gateway) -> None:
    await trade_everywhere(market)
    assert (await market.call("DELETE", "/api/v1/orders?symbol=XBTUSDT", user="alice")).status == 202
    await market.exchange.settle()
    assert await statuses(market, "alice") == {"BTCUSDT": {"open"}, "XBTUSDT": {"canceled"}}
    assert (await market.call("DELETE", "/api/v1/orders?symbol=NOPE", user="alice")).status == 404
    assert (await market.call("DELETE", "/api/v1/orders?symbols=BTCUSDT", user="alice")).code == "invalid_value"
    assert (await market.call("DELETE", "/api/v1/orders")).code == "token_missing"
    assert await market.exchange.settle() == 0


async def test_cancel_all_takes_along_what_was_promised_and_not_sent(market: Gateway) -> None:
    market.faults.down("sqs")
    assert (await market.place("alice")).status == 202
    away = await market.call("DELETE", "/api/v1/orders", user="alice")
    assert (away.status, away.code) == (503, "queue_unavailable")
    assert (away.body["sent"], away.body["not_sent"]) == ([], ["BTCUSDT", "XBTUSDT"])
    market.faults.up("sqs")
    assert (await market.call("DELETE", "/api/v1/orders", user="alice")).status == 202
    await market.exchange.settle()
    assert await statuses(market, "alice") == {"BTCUSDT": {"canceled"}}
    assert any(isinstance(command, CancelAllOrders) for command in market.exchange.commands)
    assert await market.balances("alice") == UNTOUCHED


async def test_a_timer_that_is_not_renewed_cancels(market: Gateway) -> None:
    await trade_everywhere(market)
    start_ms = market.clock.now_ms()
    armed = await timer(market, symbol="BTCUSDT", timeout_s=60)
    cancels_at_ms = datetime.fromisoformat(armed.body["cancels_at"]).timestamp() * 1000
    assert armed.status == 202 and start_ms + 60_000 <= cancels_at_ms + 1
    assert cancels_at_ms <= market.clock.now_ms() + 60_001
    await market.exchange.settle()
    market.clock.advance(40_000)
    assert (await timer(market, symbol="BTCUSDT", timeout_s=60)).status == 202
    await market.exchange.settle()
    market.clock.advance(40_000)
    await market.exchange.beat()
    assert (await statuses(market, "alice"))["BTCUSDT"] == {"open"}
    market.clock.advance(20_000)
    await market.exchange.beat()
    assert await statuses(market, "alice") == {"BTCUSDT": {"canceled"}, "XBTUSDT": {"open"}}
    assert (await statuses(market, "bob"))["BTCUSDT"] == {"open"}


async def test_a_timer_that_is_disarmed_does_nothing(market: Gateway) -> None:
    await trade_everywhere(market)
    assert (await timer(market, symbol="BTCUSDT", timeout_s=10)).status == 202
    disarmed = await timer(market, symbol="BTCUSDT", timeout_s=0)
    assert (disarmed.status, disarmed.body["cancels_at"]) == (202, None)
    await market.exchange.settle()
    market.clock.advance(20_000)
    await market.exchange.beat()
    assert (await statuses(market, "alice"))["BTCUSDT"] == {"open"}


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({"timeout_s": 1}, "missing_field"),
        ({"symbol": "BTCUSDT"}, "missing_field"),
        ({"symbol": "NOPE", "timeout_s": 1}, "unknown_symbol"),
        ({"symbol": "BTCUSDT", "timeout_s": -1}, "invalid_value"),
        ({"symbol": "BTCUSDT", "timeout_s": 1.5}, "invalid_value"),
        ({"symbol": "BTCUSDT", "timeout_s": 86_401}, "invalid_value"),
        ({"symbol": "BTCUSDT", "timeout_s": 1, "user_id": "x"}, "unknown_field"),
    ],
)
async def test_a_timer_that_makes_no_sense(market: Gateway, body: dict[str, Any], code: str) -> None:
    assert (await timer(market, **body)).code == code
    assert await market.exchange.settle() == 0


async def test_a_timer_that_could_not_be_sent_says_so(market: Gateway) -> None:
    market.faults.down("sqs")
    answer = await timer(market, symbol="BTCUSDT", timeout_s=10)
    assert (answer.status, answer.code) == (503, "queue_unavailable")
