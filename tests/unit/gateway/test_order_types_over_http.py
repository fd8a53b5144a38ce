"""Every order type over real HTTP, on simulated stores: what it holds, how it is shown, how it ends."""

from collections.abc import AsyncIterator
from decimal import Decimal
from typing import Any

import pytest

from exchange_core.market_data import timestamp_text
from tests.unit.gateway.support import Gateway, running_gateway

UNTOUCHED = {"BTC": (Decimal(10), Decimal(0)), "USDT": (Decimal(1_000_000), Decimal(0))}


@pytest.fixture
async def market() -> AsyncIterator[Gateway]:
    async with running_gateway() as gateway:
        await gateway.open_market()
        yield gateway


async def placed(market: Gateway, user: str, **changes: Any) -> str:
    answer = await market.place(user, **changes)
    assert answer.status == 202, answer.text
    return str(answer.body["order_id"])


async def seen(market: Gateway, user: str, order_id: str) -> Any:
    return (await market.call("GET", f"/api/v1/order/{order_id}", user=user)).body


async def trade_at(market: Gateway, price: str) -> None:
    """Bob sells to alice; both cancel nothing and leave nothing behind."""
    await placed(market, "bob", side="sell", price=price, quantity="0.0001")
    await placed(market, "alice", price=price, quantity="0.0001")
    await market.exchange.settle()


@pytest.mark.parametrize(
    ("changes", "asset", "held"),
    [
        ({"type": "stop", "trigger_price": "60000", "price": None}, "USDT", "6600"),
        ({"type": "stop", "trigger_price": "40000", "price": None}, "USDT", "5500"),
        ({"type": "take_profit", "trigger_price": "40000", "price": None}, "USDT", "4400"),
        ({"type": "stop", "side": "sell", "trigger_price": "40000", "price": None}, "BTC", "0.1"),
        ({"type": "stop_limit", "trigger_price": "60000", "price": "61000"}, "USDT", "6100"),
        ({"type": "take_profit_limit", "side": "sell", "trigger_price": "60000", "price": "61000"}, "BTC", "0.1"),
    ],
)
async def test_a_triggered_order_holds_for_the_market_it_waits_for(
    market: Gateway, changes: dict[str, Any], asset: str, held: str
) -> None:
    """A protection price lies 10 % from the trigger, or from the market where that has reached the trigger already."""
    order_id = await placed(market, "alice", **changes)
    assert (await market.balances("alice"))[asset][1] == Decimal(held)
    for status in ("accepted", "open"):
        order = await seen(market, "alice", order_id)
        shown = (order["status"], order["type"], order["trigger_price"], order["price"])
        price = None if changes["price"] is None else Decimal(changes["price"])
        assert shown == (status, changes["type"], Decimal(changes["trigger_price"]), price)
        await market.exchange.settle()
    assert (await market.call("DELETE", f"/api/v1/order/{order_id}", user="alice")).status == 202
    await market.exchange.settle()
    assert await market.balances("alice") == UNTOUCHED


async def test_a_stop_fires_when_a_trade_reaches_its_trigger(market: Gateway) -> None:
    await trade_at(market, "50000")
    order_id = await placed(market, "alice", type="stop", trigger_price="51000", price=None)
    await placed(market, "bob", side="sell", price="51500", quantity="0.1")
    await market.exchange.settle()
    assert (await seen(market, "alice", order_id))["status"] == "open"
    await trade_at(market, "51000")
    order = await seen(market, "alice", order_id)
    assert (order["status"], order["filled_quote"]) == ("filled", 5_150)
    assert (await market.balances("alice"))["USDT"][1] == 0


async def test_a_good_till_date_order_expires_on_its_date(market: Gateway) -> None:
    expires_at_ms = market.clock.now_ms() + 60_000
    by_text = await placed(market, "alice", time_in_force="gtd", expires_at=timestamp_text(expires_at_ms))
    await placed(market, "alice", time_in_force="gtd", expires_at=expires_at_ms, post_only=True)
    await market.exchange.settle()
    order = await seen(market, "alice", by_text)
    assert (order["status"], order["expires_at"]) == ("open", timestamp_text(expires_at_ms))
    market.clock.advance(60_000)
    await market.exchange.beat()
    order = await seen(market, "alice", by_text)
    assert (order["status"], order["reason"]) == ("expired", "date_reached")
    assert await market.balances("alice") == UNTOUCHED


async def test_a_date_means_the_same_in_either_form(market: Gateway) -> None:
    now_ms = market.clock.now_ms()
    terms = {"time_in_force": "gtd", "client_order_id": "dated"}
    first = await market.place("alice", expires_at=timestamp_text(now_ms + 60_000), **terms)
    again = await market.place("alice", expires_at=now_ms + 60_000, **terms)
    assert (again.status, again.body) == (202, first.body)
    assert (await market.place("alice", expires_at=now_ms + 60_001, **terms)).code == "duplicate_client_order_id"
    market.clock.advance(60_000)
    late = await market.place("alice", expires_at=now_ms + 60_000, **terms)
    assert (late.status, late.body) == (202, first.body), "what was promised is not refused for having come true"


async def test_an_iceberg_shows_a_part_and_holds_for_the_whole(market: Gateway) -> None:
    order_id = await placed(market, "alice", quantity="1", display_quantity="0.25")
    assert (await market.balances("alice"))["USDT"][1] == 50_000
    await market.exchange.settle()
    assert (await seen(market, "alice", order_id))["display_quantity"] == 0.25
    assert (await market.call("GET", "/api/v1/orderbook/BTCUSDT")).body["bids"] == [[50_000, 0.25]]


async def test_a_market_sell_by_quote_quantity_holds_for_the_worst_price_it_takes(market: Gateway) -> None:
    await placed(market, "alice", quantity="1")
    await market.exchange.settle()
    order_id = await placed(market, "bob", side="sell", type="market", price=None, quantity=None, quote_quantity="9000")
    assert (await market.balances("bob"))["BTC"] == (Decimal("9.8"), Decimal("0.2")), "9000 at 45000"
    await market.exchange.settle()
    order = await seen(market, "bob", order_id)
    assert (order["status"], order["filled_quantity"], order["filled_quote"]) == ("filled", 0.18, 9_000)
    assert (await market.balances("bob"))["BTC"] == (Decimal("9.82"), Decimal(0))
