"""Operators: listings, deposits and halts over real HTTP, on simulated stores."""

from collections.abc import AsyncIterator
from decimal import Decimal
from typing import Any

import pytest

from exchange_core.instruments import partition_of
from tests.eventually import eventually
from tests.unit.gateway.support import LISTING, Answer, Gateway, running_gateway

ETHUSDT = dict(LISTING) | {"symbol": "ETHUSDT", "base": "ETH", "reference_price": 3000.5, "min_quantity": "0.01"}


@pytest.fixture
async def market() -> AsyncIterator[Gateway]:
    async with running_gateway() as gateway:
        await gateway.open_market()
        yield gateway


async def list_it(market: Gateway, **changes: Any) -> Answer:
    body = {name: value for name, value in (ETHUSDT | changes).items() if value is not None}
    return await market.call("POST", "/api/v1/admin/instruments", body, user="operator")


async def deposit(market: Gateway, user: str = "operator", **changes: Any) -> Answer:
    body = {"user_id": "user-alice", "asset": "BTC", "amount": "1.5", "transfer_id": "t1", **changes}
    return await market.call("POST", "/api/v1/admin/deposits", body, user=user)


async def test_a_listed_instrument_can_be_traded_in_its_own_steps(market: Gateway) -> None:
    answer = await list_it(market)
    assert answer.status == 202
    assert (await list_it(market)).body == answer.body, "the same again, before it is known"
    assert (await list_it(market, maker_fee_bps=5)).code == "symbol_exists"
    await market.exchange.settle()
    await market.until_listed("ETHUSDT")
    assert (await list_it(market)).body == answer.body, "and after"
    assert (await list_it(market, maker_fee_bps=5)).code == "symbol_exists"
    shown = await market.call("GET", "/api/v1/instruments/ETHUSDT")
    assert shown.body["partition"] == partition_of("ETHUSDT", 2)
    for text in ('"min_quantity":0.01,', '"reference_price":3000.5,', '"tick_size":0.01,', '"min_notional":1,'):
        assert text in shown.text
    book = await market.call("GET", "/api/v1/orderbook/ETHUSDT")
    assert (book.body["bids"], book.body["asks"]) == ([], [])
    placed = await market.place("alice", symbol="ETHUSDT", price="3000.5", quantity="1")
    assert placed.status == 202


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"symbol": "eth"}, "invalid_instrument"),
        ({"tick_size": "0"}, "invalid_instrument"),
        ({"tick_size": "0.0000001"}, "invalid_instrument"),
        ({"min_quantity": "0.00001"}, "invalid_instrument"),
        ({"quote_decimals": 8}, "invalid_instrument"),
        ({"quote_decimals": 99}, "invalid_instrument"),
        ({"base_decimals": "8"}, "invalid_value"),
        ({"partition": 2}, "invalid_value"),
        ({"reference_price": None}, "missing_field"),
        ({"leverage": 3}, "unknown_field"),
        ({"band_bps": 0}, "invalid_instrument"),
    ],
)
async def test_an_instrument_that_breaks_a_rule(market: Gateway, changes: dict[str, Any], code: str) -> None:
    assert (await list_it(market, **changes)).code == code
    assert await market.exchange.settle() == 0


async def test_a_deposit_is_credited_once_however_often_and_by_whom_it_is_sent(market: Gateway) -> None:
    await market.join("second-operator", groups=("operators",))
    answer = await deposit(market)
    assert answer.status == 202
    for user in ("operator", "second-operator"):
        assert (await deposit(market, user)).body == answer.body
        assert (await deposit(market, user, amount=1.5)).body == answer.body
        for changes in ({"amount": 2}, {"asset": "USDT"}, {"user_id": "user-bob"}):
            clash = await deposit(market, user, **changes)
            assert (clash.status, clash.code) == (409, "duplicate_transfer_id")
    await market.exchange.settle()
    assert (await market.balances("alice"))["BTC"] == (Decimal("11.5"), Decimal(0))


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"amount": 0}, "amount_out_of_range"),
        ({"amount": -1}, "amount_out_of_range"),
        ({"amount": "0.000000001"}, "amount_out_of_range"),
        ({"amount": "1e20"}, "amount_out_of_range"),
        ({"asset": "DOGE"}, "unknown_asset"),
        ({"user_id": "$fees:0"}, "invalid_value"),
        ({"transfer_id": "a b"}, "invalid_value"),
        ({"note": "x"}, "unknown_field"),
    ],
)
async def test_a_deposit_that_makes_no_sense(market: Gateway, changes: dict[str, Any], code: str) -> None:
    assert (await deposit(market, **changes)).code == code
    assert await market.exchange.settle() == 0


async def test_a_halt_stops_orders_and_not_cancels(market: Gateway) -> None:
    order_id = (await market.place("alice")).body["order_id"]
    status = {"status": "cancel_only"}
    path = "/api/v1/admin/symbols/BTCUSDT/status"
    assert (await market.call("POST", path, status, user="operator")).status == 202
    await market.exchange.settle()

    async def is_halted() -> bool:
        return (await market.place("bob", quantity="0.0001")).status == 422

    await eventually(is_halted)
    await market.exchange.settle()
    assert (await market.call("DELETE", f"/api/v1/order/{order_id}", user="alice")).status == 202
    await market.exchange.settle()
    assert (await market.call("GET", f"/api/v1/order/{order_id}", user="alice")).body["status"] == "canceled"


async def test_a_halt_that_could_not_be_sent_says_so(market: Gateway) -> None:
    market.faults.down("sqs")
    path = "/api/v1/admin/symbols/BTCUSDT/status"
    answer = await market.call("POST", path, {"status": "halted"}, user="operator")
    assert (answer.status, answer.code, answer.headers["Retry-After"]) == (503, "queue_unavailable", "1")
