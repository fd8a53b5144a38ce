"""Batches over real HTTP, on simulated stores: the order of kinds, and an answer for every item."""

import asyncio
from collections.abc import AsyncIterator, Coroutine
from decimal import Decimal
from typing import Any

import pytest

from exchange_core.commands import AmendOrder, CancelOrder, PlaceOrder
from exchange_gateway.routes import batches
from tests.eventually import eventually
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


async def settling(market: Gateway, call: Coroutine[Any, Any, Answer]) -> Answer:
    """The answer to a call while matcher and persister are at work."""
    waiting = asyncio.create_task(call)
    while not waiting.done():
        await market.exchange.settle()
        await asyncio.sleep(0.005)
    return await waiting


@pytest.mark.parametrize(("headers", "cancel_status"), [({}, 202), ({"Prefer": "wait=5"}, 200)])
async def test_what_a_cancel_frees_can_be_used_in_the_same_batch(
    market: Gateway, headers: dict[str, str], cancel_status: int
) -> None:
    order_id = str((await market.place("alice", quantity=20)).body["order_id"])
    await market.exchange.settle()
    items = ({"op": "place", **LIMIT, "quantity": 20}, {"op": "cancel", "order_id": order_id})
    answer = await settling(market, batch(market, *items, headers=headers))
    assert [result["http_status"] for result in answer.body["results"]] == [202, cancel_status]


async def test_a_place_that_lacks_funds_waits_for_verdicts_no_longer_than_it_may(
    market: Gateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batches, "FREED_WAIT_S", 0.05)
    order_id = str((await market.place("alice", quantity=20)).body["order_id"])
    await market.exchange.settle()
    items = ({"op": "place", **LIMIT, "quantity": 20}, {"op": "cancel", "order_id": order_id})
    results = (await batch(market, *items)).body["results"]
    assert results[0]["problem"]["code"] == "insufficient_funds", "the matcher has not spoken, and nothing was held"
    assert results[1]["http_status"] == 202


async def test_a_cancel_that_comes_too_late_is_told_so_in_its_own_item(market: Gateway) -> None:
    order_id = str((await market.place("alice")).body["order_id"])
    await market.exchange.settle()
    cancel = {"op": "cancel", "order_id": order_id}
    assert (await batch(market, cancel)).body["results"][0]["http_status"] == 202
    waiting = asyncio.create_task(batch(market, cancel, headers={"Prefer": "wait=5"}))
    await eventually(lambda: sum(market.cloud.queues.depth(partition) for partition in range(2)) == 2)
    await market.exchange.settle()
    (lost,) = (await waiting).body["results"]
    assert lost["http_status"] == 409
    assert (lost["problem"]["code"], lost["problem"]["reason"]) == ("order_closed", "order_closed")


@pytest.mark.parametrize("items", [None, {}, [], [{"op": "cancel"}] * 101])
async def test_a_batch_that_is_none(market: Gateway, items: Any) -> None:
    answer = await market.call("POST", "/api/v1/orders/batch", {"items": items}, user="alice")
    assert answer.code == ("missing_field" if items is None else "invalid_value")


async def test_a_hundred_orders_in_one_batch(market: Gateway) -> None:
    answer = await batch(market, *[{"op": "place", **LIMIT, "price": 49000 + number} for number in range(100)])
    assert {result["http_status"] for result in answer.body["results"]} == {202}
    assert await market.exchange.settle() == 100
