"""Batches over real HTTP, on simulated stores: the order of kinds, and an answer for every item."""

import asyncio
from collections.abc import AsyncIterator
from decimal import Decimal
from typing import Any

import pytest

from exchange_core.commands import AmendOrder, CancelOrder, PlaceOrder
from tests.unit.gateway.support import Answer, Gateway, running_gateway

LIMIT = {"symbol": "BTCUSDT", "side": "buy", "type": "limit", "price": 50000, "quantity": 0.1}


@pytest.fixture
async def market() -> AsyncIterator[Gateway]:
    async with running_gateway() as gateway:
        await gateway.open_market()
        yield gateway


async def batch(market: Gateway, *items: Any, headers: Any = None) -> Answer:
    return await market.call("POST", "/api/v1/orders/batch", {"items": items}, user="alice", headers=headers)


async def test_cancels_go_first_then_amends_then_places_and_results_keep_the_items_order(market: Gateway) -> None:
    first, second = [str((await market.place("alice")).body["order_id"]) for _ in range(2)]
    await market.exchange.settle()
    seen = len(market.exchange.commands)
    answer = await batch(
        market,
        {"op": "place", **LIMIT, "client_order_id": "new"},
        {"op": "amend", "order_id": second, "price": 49000},
        {"op": "cancel", "order_id": first},
    )
    assert answer.status == 200, answer.text
    results = answer.body["results"]
    assert [(result["op"], result["http_status"], result["answer"]["status"]) for result in results] == [
        ("place", 202, "accepted"),
        ("amend", 202, "amend_requested"),
        ("cancel", 202, "cancel_requested"),
    ]
    await market.exchange.settle()
    assert [type(command) for command in market.exchange.commands[seen:]] == [CancelOrder, AmendOrder, PlaceOrder]
    assert (await market.balances("alice"))["USDT"] == (Decimal(990_100), Decimal(9_900))


async def test_one_items_refusal_does_not_stop_the_others(market: Gateway) -> None:
    answer = await batch(
        market,
        {"op": "cancel", "order_id": "1"},
        {"op": "place", **LIMIT, "quantity": 1000},
        {"op": "place", **LIMIT, "price": "50000.001"},
        {"op": "place", **LIMIT},
        {"op": "sell"},
        "cancel",
        {"op": "amend", "order_id": "1"},
        {"op": "cancel"},
        {"op": "cancel", "client_order_id": "mine", "price": 1},
    )
    codes = [result.get("problem", {}).get("code") for result in answer.body["results"]]
    assert codes == [
        "order_not_found",
        "quantity_out_of_range",
        "price_off_tick",
        None,
        "invalid_value",
        "invalid_value",
        "missing_field",
        "missing_field",
        "unknown_field",
    ]
    assert [result["http_status"] for result in answer.body["results"]][:4] == [404, 422, 422, 202]
    assert await market.exchange.settle() == 1


async def test_with_prefer_wait_what_a_cancel_frees_can_be_used_at_once(market: Gateway) -> None:
    all_of_it = {**LIMIT, "quantity": 20}
    order_id = str((await market.place("alice", quantity=20)).body["order_id"])
    await market.exchange.settle()
    items = ({"op": "place", **all_of_it}, {"op": "cancel", "order_id": order_id})
    results = (await batch(market, *items)).body["results"]
    assert results[0]["problem"]["code"] == "insufficient_funds", "not before the matcher has spoken"
    await market.exchange.settle()
    order_id = str((await market.place("alice", quantity=20)).body["order_id"])
    await market.exchange.settle()
    items = ({"op": "place", **all_of_it}, {"op": "cancel", "order_id": order_id})
    waiting = asyncio.create_task(batch(market, *items, headers={"Prefer": "wait=5"}))
    while not waiting.done():
        await market.exchange.settle()
        await asyncio.sleep(0.005)
    assert [result["http_status"] for result in (await waiting).body["results"]] == [202, 202]


@pytest.mark.parametrize("items", [None, {}, [], [{"op": "cancel"}] * 101])
async def test_a_batch_that_is_none(market: Gateway, items: Any) -> None:
    answer = await market.call("POST", "/api/v1/orders/batch", {"items": items}, user="alice")
    assert answer.code == ("missing_field" if items is None else "invalid_value")


async def test_a_hundred_orders_in_one_batch(market: Gateway) -> None:
    answer = await batch(market, *[{"op": "place", **LIMIT, "price": 49000 + number} for number in range(100)])
    assert {result["http_status"] for result in answer.body["results"]} == {202}
    assert await market.exchange.settle() == 100
