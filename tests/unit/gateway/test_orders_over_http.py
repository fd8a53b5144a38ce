"""Orders over real HTTP, on simulated stores: what is answered, what is held, what is sent."""

import asyncio
from collections.abc import AsyncIterator
from decimal import Decimal

import pytest

from exchange_core.commands import CancelOrder, PlaceOrder
from exchange_core.private_data import order_message
from tests.eventually import eventually
from tests.unit.gateway.support import Gateway, running_gateway


@pytest.fixture
async def market() -> AsyncIterator[Gateway]:
    async with running_gateway() as gateway:
        await gateway.open_market()
        yield gateway


async def test_an_order_is_promised_held_and_sent(market: Gateway) -> None:
    answer = await market.place("alice", client_order_id="first")
    assert answer.status == 202
    assert answer.body == {"order_id": answer.body["order_id"], "client_order_id": "first", "status": "accepted"}
    assert (await market.balances("alice"))["USDT"] == (Decimal(995_000), Decimal(5_000))
    assert await market.exchange.settle() == 1
    (placed,) = [command for command in market.exchange.commands if isinstance(command, PlaceOrder)]
    assert (str(placed.order_id), placed.price, placed.quantity) == (answer.body["order_id"], 5_000_000, 1_000)
    assert placed.trace_id == "", "only what is sampled is traced"
    assert len(answer.headers["X-Trace-Id"]) == 32


async def test_every_stage_is_timed_and_the_callers_trace_is_kept(market: Gateway) -> None:
    trace_id = "4bf92f3577b34da6a3ce929d0e0e4736"
    answer = await market.place("alice", headers={"traceparent": f"00-{trace_id}-00f067aa0ba902b7-01"})
    assert answer.headers["X-Trace-Id"] == trace_id
    for stage in ("auth", "validate", "wallet", "enqueue", "total"):
        assert f"{stage};dur=" in answer.headers["Server-Timing"]


async def test_a_trade_is_settled_to_the_last_unit_and_shown_as_exact_numbers(market: Gateway) -> None:
    sell = await market.place("alice", side="sell", price="50000.01", quantity="0.5")
    buy = await market.place("bob", price=50000.01, quantity="0.2")
    await market.exchange.settle()
    seen = await market.call("GET", f"/api/v1/order/{buy.body['order_id']}", user="bob")
    assert (seen.body["status"], seen.body["filled_quantity"]) == ("filled", 0.2)
    assert '"price":50000.01,' in seen.text and '"filled_quote":10000.002,' in seen.text
    assert '"fee":0.0004,"fee_asset":"BTC"' in seen.text
    assert [fill["is_maker"] for fill in seen.body["fills"]] == [False]
    rest = await market.call("GET", f"/api/v1/order/{sell.body['order_id']}", user="alice")
    assert rest.body["status"] == "partially_filled"
    balances = await market.balances("bob")
    assert balances == {"BTC": (Decimal("10.1996"), Decimal(0)), "USDT": (Decimal("989999.998"), Decimal(0))}
    assert (await market.balances("alice"))["BTC"] == (Decimal("9.5"), Decimal("0.3"))
    trades = await market.call("GET", "/api/v1/trades/BTCUSDT")
    assert '"price":50000.01,"quantity":0.2,"taker_side":"buy"' in trades.text
    ticker = await market.call("GET", "/api/v1/ticker?symbol=BTCUSDT")
    assert ticker.body["price"] == 50000.01
    book = await market.call("GET", "/api/v1/orderbook/BTCUSDT?limit=1")
    assert (book.body["bids"], book.body["asks"]) == ([], [[50000.01, 0.3]])
    fills = await market.call("GET", "/api/v1/fills?symbol=BTCUSDT", user="alice")
    assert [fill["order_id"] for fill in fills.body["fills"]] == [sell.body["order_id"]]


async def test_the_same_id_and_body_again_is_the_same_order(market: Gateway) -> None:
    first = await market.place("alice", client_order_id="a", price="50000.50", quantity="0.10")
    again = await market.place("alice", client_order_id="a", price=50000.5, quantity=0.1)
    assert (again.status, again.body) == (202, first.body)
    other = await market.place("alice", client_order_id="a", price="50000.51")
    assert (other.status, other.code) == (409, "duplicate_client_order_id")
    assert (await market.place("bob", client_order_id="a")).status == 202, "ids are each user's own"
    assert await market.exchange.settle() == 2


async def test_a_repeat_gets_its_answer_even_when_the_market_would_refuse_it_now(market: Gateway) -> None:
    first = await market.place("alice", client_order_id="a")
    halt = {"status": "halted"}
    assert (await market.call("POST", "/api/v1/admin/symbols/BTCUSDT/status", halt, user="operator")).status == 202
    await market.exchange.settle()

    async def is_halted() -> bool:
        return (await market.place("alice")).status == 422

    await eventually(is_halted)
    assert (await market.place("alice")).code == "symbol_halted"
    assert (await market.place("alice", client_order_id="a")).body == first.body
    assert (await market.place("alice", client_order_id="a", quantity="0.2")).code == "symbol_halted"


async def test_an_order_is_found_by_both_ids_before_it_is_settled(market: Gateway) -> None:
    order_id = (await market.place("alice", client_order_id="a")).body["order_id"]
    paths = (f"/api/v1/order/{order_id}", "/api/v1/order/by-client-id/a", "/api/v1/order?client_order_id=a")
    for status in ("accepted", "open"):
        for path in paths:
            seen = await market.call("GET", path, user="alice")
            assert (seen.status, seen.body["order_id"], seen.body["status"]) == (200, order_id, status)
            assert '"price":50000,"quantity":0.1' in seen.text
        await market.exchange.settle()


async def test_the_feed_tells_an_order_in_the_words_of_this_api(market: Gateway) -> None:
    order_id = (await market.place("alice", client_order_id="a")).body["order_id"]
    await market.exchange.settle()
    seen = await market.call("GET", "/api/v1/orders", user="alice")
    fold = market.cloud.projections.database.fold
    order = fold.orders[int(order_id)]
    told = order_message(order, fold.instruments[order.symbol]).decode().removeprefix('{"event":"order",')
    assert "{" + told in seen.text


async def test_an_order_without_a_client_id_goes_by_its_own_id_as_both(market: Gateway) -> None:
    placed = (await market.place("alice")).body
    assert placed["client_order_id"] == placed["order_id"]
    named = (await market.place("alice", client_order_id="a")).body["order_id"]
    for is_settled in (False, True):
        for path in (f"/api/v1/order/{placed['order_id']}", f"/api/v1/order/by-client-id/{placed['order_id']}"):
            seen = await market.call("GET", path, user="alice")
            assert (seen.status, seen.body["client_order_id"]) == (200, placed["order_id"]), is_settled
        assert (await market.call("GET", f"/api/v1/order/by-client-id/{named}", user="alice")).status == 404
        assert (await market.call("GET", f"/api/v1/order/by-client-id/{placed['order_id']}", user="bob")).status == 404
        await market.exchange.settle()


async def test_somebody_elses_order_looks_like_none(market: Gateway) -> None:
    order_id = (await market.place("alice", client_order_id="a")).body["order_id"]
    for is_settled in (False, True):
        for method in ("GET", "DELETE"):
            for name in (order_id, "by-client-id/a", "by-client-id/%20", "1", "x", "0", "9" * 30):
                path = f"/api/v1/order/{name}"
                answer = await market.call(method, path, user="bob")
                assert (answer.status, answer.code) == (404, "order_not_found"), (method, path, is_settled)
        await market.exchange.settle()
    assert (await market.call("GET", "/api/v1/orders", user="bob")).body["orders"] == []
    assert not [command for command in market.exchange.commands if isinstance(command, CancelOrder)]


async def test_a_cancel_ends_the_order_and_gives_the_hold_back(market: Gateway) -> None:
    order_id = (await market.place("alice")).body["order_id"]
    await market.exchange.settle()
    answer = await market.call("DELETE", f"/api/v1/order/{order_id}", user="alice")
    assert (answer.status, answer.body["status"]) == (202, "cancel_requested")
    await market.exchange.settle()
    assert (await market.call("GET", f"/api/v1/order/{order_id}", user="alice")).body["status"] == "canceled"
    assert (await market.balances("alice"))["USDT"] == (Decimal(1_000_000), Decimal(0))
    again = await market.call("DELETE", f"/api/v1/order/{order_id}", user="alice")
    assert (again.status, again.code) == (409, "order_closed")


async def test_a_cancel_of_an_order_that_was_never_sent_takes_it_along(market: Gateway) -> None:
    """GIVEN an order whose message was lost WHEN it is canceled THEN the order goes first, and both are done."""
    market.faults.down("sqs")
    order_id = (await market.place("alice")).body["order_id"]
    market.faults.up("sqs")
    assert (await market.call("DELETE", f"/api/v1/order/{order_id}", user="alice")).status == 202
    assert await market.exchange.settle() >= 2
    assert (await market.call("GET", f"/api/v1/order/{order_id}", user="alice")).body["status"] == "canceled"


async def test_a_cancel_of_an_order_that_is_in_the_queue_goes_alone(market: Gateway) -> None:
    order_id = (await market.place("alice")).body["order_id"]
    assert (await market.call("DELETE", f"/api/v1/order/{order_id}", user="alice")).status == 202
    assert await market.exchange.settle() == 2
    assert (await market.call("GET", f"/api/v1/order/{order_id}", user="alice")).body["status"] == "canceled"


async def test_a_market_order_holds_at_the_edge_of_the_band(market: Gateway) -> None:
    await market.place("alice", side="sell", price="50000", quantity="1")
    await market.exchange.settle()
    order = {"type": "market", "price": None, "quantity": "0.1"}
    answer = await market.place("bob", **order)
    assert (await market.balances("bob"))["USDT"][1] == Decimal(5_500), "the best ask and 10 % on top"
    await market.exchange.settle()
    seen = await market.call("GET", f"/api/v1/order/{answer.body['order_id']}", user="bob")
    assert (seen.body["status"], seen.body["price"]) == ("filled", None)
    assert (await market.balances("bob"))["USDT"] == (Decimal(995_000), Decimal(0))


async def test_a_market_order_by_budget_spends_no_more(market: Gateway) -> None:
    await market.place("alice", side="sell", price="50000", quantity="1")
    await market.exchange.settle()
    answer = await market.place("bob", type="market", price=None, quantity=None, quote_quantity="1000.5")
    assert (await market.balances("bob"))["USDT"][1] == Decimal("1000.5")
    sold = await market.place("bob", side="sell", type="market", price=None, quantity=None, quote_quantity=100)
    assert sold.status == 202
    await market.exchange.settle()
    seen = await market.call("GET", f"/api/v1/order/{answer.body['order_id']}", user="bob")
    assert (seen.body["filled_quantity"], seen.body["filled_quote"]) == (0.02, 1000)
    assert (await market.balances("bob"))["USDT"][1] == 0


async def test_prefer_wait_answers_with_the_verdict_or_with_the_promise(market: Gateway) -> None:
    waiting = {"Prefer": "respond-async, wait=5"}
    placing = market.place("alice", headers=waiting)
    answer, _ = await asyncio.gather(placing, eventually(market.exchange.settle))
    assert (answer.status, answer.body["status"], answer.body["fills"]) == (200, "open", [])
    late = await market.place("alice", headers={"Prefer": "wait=0.05"})
    assert (late.status, late.body["status"]) == (202, "accepted")


async def test_orders_are_listed_by_pages_newest_first(market: Gateway) -> None:
    ids = [(await market.place("alice", price=str(49_000 + number))).body["order_id"] for number in range(5)]
    await market.exchange.settle()
    found: list[str] = []
    cursor = ""
    while cursor is not None:
        query = f"limit=2&status=open{cursor and '&cursor=' + cursor}"
        page = await market.call("GET", f"/api/v1/orders?{query}", user="alice")
        found += [order["order_id"] for order in page.body["orders"]]
        cursor = page.body["next_cursor"]
    assert found == ids[::-1]
