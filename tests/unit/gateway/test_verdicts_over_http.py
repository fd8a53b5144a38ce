"""Verdicts over real HTTP, on simulated stores: what the journal says is told, and only that is conclusive."""

import asyncio
from collections.abc import AsyncIterator, Awaitable
from typing import Any

import pytest

from exchange_core.ids import EPOCH_MS
from exchange_core.outcomes import OUTCOME_KEPT_MS
from exchange_gateway.trading import open_orders
from tests.eventually import eventually
from tests.unit.gateway.support import LISTING, Answer, Gateway, running_gateway

WAIT = {"Prefer": "wait=5"}


@pytest.fixture
async def market() -> AsyncIterator[Gateway]:
    async with running_gateway() as gateway:
        await gateway.open_market()
        yield gateway


async def settled(market: Gateway, call: Awaitable[Answer], commands: int = 1) -> Answer:
    """The answer to a call that waits for what the matcher says of it."""
    waiting = asyncio.ensure_future(call)
    done = 0
    while done < commands:
        done += await market.exchange.settle()
        await asyncio.sleep(0.002)
    return await waiting


async def placed(market: Gateway, user: str = "alice", **terms: Any) -> str:
    """An order that rests."""
    order_id = str((await market.place(user, **terms)).body["order_id"])
    await market.exchange.settle()
    return order_id


async def told(market: Gateway, command_id: str, user: str = "alice") -> Any:
    return (await market.call("GET", f"/api/v1/commands/{command_id}", user=user)).body


async def test_a_cancel_that_is_waited_for_answers_with_the_canceled_order(market: Gateway) -> None:
    order_id = await placed(market)
    answer = await settled(market, market.call("DELETE", f"/api/v1/order/{order_id}", user="alice", headers=WAIT))
    assert (answer.status, answer.body["status"]) == (200, "canceled")


async def test_a_cancel_that_loses_against_a_fill_is_told_so(market: Gateway) -> None:
    order_id = await placed(market)
    await market.place("bob", side="sell")
    # the fill is in the queue before the cancel
    answer = await settled(
        market, market.call("DELETE", f"/api/v1/order/{order_id}", user="alice", headers=WAIT), commands=2
    )
    assert (answer.status, answer.code, answer.body["reason"]) == (409, "order_closed", "order_closed")
    outcome = await told(market, answer.body["command_id"])
    assert (outcome["status"], outcome["reason"], outcome["command"]) == ("refused", "order_closed", "cancel")
    assert (outcome["order_id"], outcome["symbol"], outcome["seq"]) == (order_id, "BTCUSDT", answer.body["seq"])


async def test_an_amendment_is_answered_by_what_became_of_it(market: Gateway) -> None:
    order_id = await placed(market, quantity="0.2")
    path = f"/api/v1/order/{order_id}"
    answer = await settled(market, market.call("PATCH", path, {"quantity": "0.1"}, user="alice", headers=WAIT))
    assert (answer.status, answer.body["quantity"]) == (200, 0.1)
    # AND what a fill overtakes is refused with a code of its own
    await market.place("bob", side="sell", quantity="0.06")
    answer = await settled(
        market, market.call("PATCH", path, {"quantity": "0.05"}, user="alice", headers=WAIT), commands=2
    )
    assert (answer.status, answer.code) == (422, "quantity_not_above_filled")
    post_only = await placed(market, price="49000", post_only=True)
    await placed(market, "bob", side="sell", price="49500")
    path = f"/api/v1/order/{post_only}"
    answer = await settled(market, market.call("PATCH", path, {"price": "49600"}, user="alice", headers=WAIT))
    assert (answer.status, answer.code) == (422, "would_take")
    assert (await market.call("GET", path, user="alice")).body["price"] == 49000


async def test_a_command_whose_verdict_is_not_known_in_time_is_not_refused(market: Gateway) -> None:
    order_id = await placed(market)
    path = f"/api/v1/order/{order_id}"
    answer = await market.call("DELETE", path, user="alice", headers={"Prefer": "wait=0.05"})
    assert (answer.status, answer.body["status"]) == (202, "cancel_requested")
    command_id = answer.body["command_id"]
    assert await told(market, command_id) == {"command_id": command_id, "status": "pending"}
    await market.exchange.settle()
    outcome = await told(market, command_id)
    assert (outcome["status"], outcome["canceled"], outcome["order_id"]) == ("done", 1, order_id)


async def test_a_cancel_of_all_says_how_many_it_ended(market: Gateway) -> None:
    await placed(market)
    await placed(market)
    answer = await settled(market, market.call("DELETE", "/api/v1/orders", user="alice", headers=WAIT))
    assert answer.status == 200 and answer.body["status"] == "canceled"
    assert [command["canceled"] for command in answer.body["commands"]] == [2]
    again = await settled(market, market.call("DELETE", "/api/v1/orders", user="alice", headers=WAIT))
    assert (again.status, [command["canceled"] for command in again.body["commands"]]) == (200, [0])
    timer = {"symbol": "BTCUSDT", "timeout_s": 60}
    path = "/api/v1/orders/cancel-all-after"
    answer = await settled(market, market.call("POST", path, timer, user="alice", headers=WAIT))
    assert (answer.status, answer.body["status"]) == (200, "done")


async def test_operators_learn_what_became_of_their_commands(market: Gateway) -> None:
    user_id = await market.join("carol")
    transfer = {"user_id": user_id, "asset": "BTC", "amount": 2, "transfer_id": "wire-1"}
    path = "/api/v1/admin/deposits"
    answer = await settled(market, market.call("POST", path, transfer, user="operator", headers=WAIT))
    assert (answer.status, answer.body["status"]) == (200, "done")
    assert (await told(market, answer.body["command_id"], "operator"))["command"] == "deposit"
    # AND a repeat is the same command, which is known by now
    again = await market.call("POST", path, transfer, user="operator", headers=WAIT)
    assert (again.status, again.body) == (200, answer.body)
    status = market.call(
        "POST", "/api/v1/admin/symbols/BTCUSDT/status", {"status": "halted"}, user="operator", headers=WAIT
    )
    assert (await settled(market, status)).status == 200
    withdrawal = {**transfer, "amount": 1, "transfer_id": "wire-2"}
    answer = await settled(
        market, market.call("POST", "/api/v1/admin/withdrawals", withdrawal, user="operator", headers=WAIT)
    )
    assert answer.status == 200
    listing = {**LISTING, "symbol": "ETHUSDT", "base": "ETH"}
    answer = await settled(
        market, market.call("POST", "/api/v1/admin/instruments", listing, user="operator", headers=WAIT)
    )
    assert (answer.status, answer.body["status"]) == (200, "done")


async def test_the_audit_log_has_every_operators_command_newest_first(market: Gateway) -> None:
    user_id = await market.join("carol")
    await market.deposit(user_id, "USDT", 7)
    await market.exchange.settle()
    await market.call("POST", "/api/v1/admin/symbols/BTCUSDT/status", {"status": "halted"}, user="operator")
    await market.exchange.settle()
    answer = await market.call("GET", "/api/v1/admin/audit?limit=2", user="operator")
    status, deposit = answer.body["commands"]
    assert (status["command"], status["symbol"], status["detail"]) == ("status", "BTCUSDT", {"status": "halted"})
    assert (deposit["command"], deposit["operator_id"], deposit["status"]) == ("deposit", "user-operator", "done")
    assert deposit["detail"] == {
        "user_id": user_id,
        "asset": "USDT",
        "amount": 7,
        "transfer_id": f"first-{user_id}-USDT",
    }
    rest = await market.call("GET", f"/api/v1/admin/audit?cursor={answer.body['next_cursor']}", user="operator")
    assert rest.body["next_cursor"] is None
    assert [one["command"] for one in rest.body["commands"]] == ["deposit"] * 4 + ["list"]
    assert rest.body["commands"][-1]["detail"]["instrument"]["symbol"] == "BTCUSDT"
    nobody = await market.call("GET", "/api/v1/admin/audit?operator_id=nobody", user="operator")
    assert nobody.body["commands"] == []
    assert (await market.call("GET", "/api/v1/admin/audit", user="alice")).code == "forbidden"
    assert (await market.call("GET", "/api/v1/admin/audit?operator_id=%00", user="operator")).code == "invalid_value"


async def test_commands_are_told_to_who_sent_them_only(market: Gateway) -> None:
    order_id = await placed(market)
    order = await told(market, order_id)
    assert (order["status"], order["command"], order["order_id"]) == ("done", "place", order_id)
    answer = await market.call("DELETE", f"/api/v1/order/{order_id}", user="alice")
    await market.exchange.settle()
    command_id = answer.body["command_id"]
    assert (await told(market, command_id))["status"] == "done"
    assert (await told(market, command_id, "bob"))["status"] == "pending", "as one that may still come"
    now_ms = market.clock.now_ms()
    a_day_old = (now_ms - OUTCOME_KEPT_MS - EPOCH_MS) << 22
    assert (await told(market, str(a_day_old + (60_000 << 22))))["status"] == "pending"
    of_a_clock_ahead = (now_ms + 2_000 - EPOCH_MS) << 22
    assert (await told(market, str(of_a_clock_ahead)))["status"] == "pending"
    for unknown in (a_day_old, "x", 2**63):
        answer = await market.call("GET", f"/api/v1/commands/{unknown}", user="alice")
        assert (answer.status, answer.code) == (404, "command_not_found")


async def test_a_rejected_order_is_a_refused_command(market: Gateway) -> None:
    await market.call("POST", "/api/v1/admin/symbols/BTCUSDT/status", {"status": "halted"}, user="operator")
    promised = await market.place("alice")
    assert (await told(market, promised.body["order_id"]))["status"] == "pending"
    await market.exchange.settle()
    outcome = await told(market, promised.body["order_id"])
    assert (outcome["status"], outcome["reason"]) == ("refused", "symbol_halted")


async def test_too_many_open_orders_are_refused_before_a_hold_is_taken(
    market: Gateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(open_orders, "COUNT_AGE_S", 0.0)
    listing = {**LISTING, "symbol": "ETHUSDT", "base": "ETH", "max_open_orders": 2}
    await market.call("POST", "/api/v1/admin/instruments", listing, user="operator")
    await market.exchange.settle()
    await market.until_listed("ETHUSDT")
    order_ids = [await placed(market, symbol="ETHUSDT") for _ in range(2)]
    before = await market.balances("alice")

    async def refused() -> Answer | None:
        answer = await market.place("alice", symbol="ETHUSDT")
        if answer.status == 202:  # not counted yet: the matcher refuses it
            await market.exchange.settle()
        return answer if answer.status == 422 else None

    answer = await eventually(refused)
    assert answer.code == "too_many_open_orders"
    assert await market.balances("alice") == before
    # AND one that does not stay, another symbol, or after a cancel: no reason to refuse
    assert (await market.place("alice", symbol="ETHUSDT", time_in_force="ioc")).status == 202
    assert (await market.place("alice")).status == 202
    await market.call("DELETE", f"/api/v1/order/{order_ids[0]}", user="alice")
    assert (await market.place("alice", symbol="ETHUSDT")).status == 202
