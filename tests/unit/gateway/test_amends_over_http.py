"""Amendments over real HTTP, on simulated stores: what is held in addition, and that it always comes back."""

import asyncio
from collections.abc import AsyncIterator
from decimal import Decimal
from typing import Any

import pytest

from exchange_core.commands import AmendOrder
from exchange_gateway.trading import sweeper
from tests.eventually import eventually
from tests.unit.gateway.support import Answer, Gateway, running_gateway

UNTOUCHED = {"BTC": (Decimal(10), Decimal(0)), "USDT": (Decimal(1_000_000), Decimal(0))}


@pytest.fixture
async def market() -> AsyncIterator[Gateway]:
    async with running_gateway() as gateway:
        await gateway.open_market()
        yield gateway


async def resting(market: Gateway, user: str = "alice", **changes: Any) -> str:
    answer = await market.place(user, **changes)
    assert answer.status == 202, answer.text
    await market.exchange.settle()
    return str(answer.body["order_id"])


async def amend(market: Gateway, order_id: str, user: str = "alice", headers: Any = None, **changes: Any) -> Answer:
    return await market.call("PATCH", f"/api/v1/order/{order_id}", changes, user=user, headers=headers)


async def cancel(market: Gateway, order_id: str, user: str = "alice") -> None:
    assert (await market.call("DELETE", f"/api/v1/order/{order_id}", user=user)).status == 202


async def seen(market: Gateway, order_id: str, user: str = "alice") -> Any:
    return (await market.call("GET", f"/api/v1/order/{order_id}", user=user)).body


async def held(market: Gateway, user: str = "alice", asset: str = "USDT") -> Decimal:
    return (await market.balances(user))[asset][1]


async def total(market: Gateway, user: str, asset: str) -> Decimal:
    available, locked = (await market.balances(user))[asset]
    return available + locked


@pytest.mark.parametrize(
    ("changes", "before", "after"),
    [
        ({"quantity": "0.2"}, 10_000, 10_000),
        ({"price": "51000"}, 5_100, 5_100),
        ({"price": "51000", "quantity": "0.2"}, 10_200, 10_200),
        ({"quantity": "0.05"}, 5_000, 2_500),
        ({"price": "49000"}, 5_000, 4_900),
        ({"price": "49000", "quantity": "0.2"}, 9_800, 9_800),
        ({"price": "46000", "quantity": "0.101"}, 5_000, 4_646),
        ({"price": 50000}, 5_000, 5_000),
    ],
)
async def test_the_extra_hold_is_taken_first_and_what_is_too_much_given_back(
    market: Gateway, changes: dict[str, str], before: int, after: int
) -> None:
    order_id = await resting(market)
    answer = await amend(market, order_id, **changes)
    assert (answer.status, answer.body["status"], answer.body["order_id"]) == (202, "amend_requested", order_id)
    assert await held(market) == before
    await market.exchange.settle()
    assert await held(market) == after
    order = await seen(market, order_id)
    wanted = {"price": 50_000, "quantity": 0.1} | {name: float(value) for name, value in changes.items()}
    assert {name: order[name] for name in wanted} == wanted
    await cancel(market, order_id)
    await market.exchange.settle()
    assert await market.balances("alice") == UNTOUCHED


async def test_a_sell_holds_base_for_its_growth_only(market: Gateway) -> None:
    order_id = await resting(market, side="sell", quantity="1")
    assert (await amend(market, order_id, price="51000")).status == 202
    assert await held(market, asset="BTC") == 1
    assert (await amend(market, order_id, quantity="1.5")).status == 202
    assert await held(market, asset="BTC") == Decimal("1.5")
    await market.exchange.settle()
    assert await held(market, asset="BTC") == Decimal("1.5")
    order = await seen(market, order_id)
    assert (order["price"], order["quantity"]) == (51_000, 1.5)


async def test_an_order_filled_meanwhile_gives_the_extra_hold_back(market: Gateway) -> None:
    """GIVEN a trade ahead of the amendment in the queue THEN the amendment finds the order closed."""
    order_id = await resting(market)
    await market.place("bob", side="sell", quantity="0.1")
    answer = await amend(market, order_id, price="51000", quantity="0.3")
    assert answer.status == 202 and await held(market) == 15_300
    await market.exchange.settle()
    assert (await seen(market, order_id))["status"] == "filled"
    assert (await market.balances("alice"))["USDT"] == (Decimal(995_000), Decimal(0))
    assert (await amend(market, order_id, price="51000")).code == "order_closed"


async def test_an_order_filled_in_part_meanwhile_keeps_what_it_needs(market: Gateway) -> None:
    order_id = await resting(market)
    await market.place("bob", side="sell", quantity="0.04")
    assert (await amend(market, order_id, price="51000", quantity="0.2")).status == 202
    assert await held(market) == 10_200
    await market.exchange.settle()
    assert await held(market) == Decimal(8160), "0.16 at 51000"
    assert await total(market, "alice", "USDT") == Decimal(998_000)
    assert (await amend(market, order_id, quantity="0.04")).code == "quantity_not_above_filled"
    await cancel(market, order_id)
    await market.exchange.settle()
    assert (await market.balances("alice"))["USDT"] == (Decimal(998_000), Decimal(0))


async def test_an_amendment_that_crosses_trades_and_leaves_no_residue(market: Gateway) -> None:
    order_id = await resting(market)
    await resting(market, "bob", side="sell", price="50500", quantity="0.1")
    assert (await amend(market, order_id, price="51000", quantity="0.1")).status == 202
    await market.exchange.settle()
    assert (await seen(market, order_id))["status"] == "filled"
    assert (await market.balances("alice"))["USDT"] == (Decimal(994_950), Decimal(0))


async def test_two_amendments_at_once_end_with_the_second_and_its_hold(market: Gateway) -> None:
    order_id = await resting(market)
    answers = [await amend(market, order_id, quantity=quantity) for quantity in ("0.3", "0.2")]
    assert [answer.status for answer in answers] == [202, 202]
    assert await held(market) == 20_000, "each for itself, until the matcher has spoken"
    await market.exchange.settle()
    assert await held(market) == 10_000
    assert (await seen(market, order_id))["quantity"] == 0.2


async def test_an_amendment_short_of_what_a_racing_one_needs_is_refused_and_the_order_stays(market: Gateway) -> None:
    """GIVEN a lower price on its way THEN the next amendment, reckoned from the higher one, has held too little."""
    order_id = await resting(market)
    await amend(market, order_id, price="46000")
    await amend(market, order_id, price="47000", quantity="0.11")
    await market.exchange.settle()
    order = await seen(market, order_id)
    assert (order["price"], order["quantity"], await held(market)) == (46_000, 0.1, 4_600)
    assert await total(market, "alice", "USDT") == 1_000_000


async def test_a_cancel_ahead_of_the_amendment_gives_all_back(market: Gateway) -> None:
    order_id = await resting(market)
    await cancel(market, order_id)
    assert (await amend(market, order_id, quantity="1")).status == 202
    await market.exchange.settle()
    assert await market.balances("alice") == UNTOUCHED


async def test_an_amendment_promised_while_the_queue_is_down_goes_out_after_its_order(
    market: Gateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sweeper, "SWEEP_EVERY_S", 0.02)
    market.faults.down("sqs")
    order_id = str((await market.place("alice")).body["order_id"])
    assert (await amend(market, order_id, quantity="0.2")).status == 202
    assert await held(market) == 10_000
    market.faults.up("sqs")
    market.clock.advance(4_000)

    async def is_amended() -> bool:
        await market.exchange.settle()
        return bool((await seen(market, order_id))["quantity"] == 0.2)

    await eventually(is_amended)
    assert await held(market) == 10_000
    assert len({command.command_id for command in market.exchange.commands if isinstance(command, AmendOrder)}) == 1


async def test_an_order_on_its_way_can_be_amended(market: Gateway) -> None:
    order_id = str((await market.place("alice", client_order_id="mine")).body["order_id"])
    answer = await market.call("PATCH", "/api/v1/order/by-client-id/mine", {"price": "49000"}, user="alice")
    assert (answer.status, answer.body["client_order_id"]) == (202, "mine")
    await market.exchange.settle()
    assert ((await seen(market, order_id))["price"], await held(market)) == (49_000, 4_900)


async def test_prefer_wait_answers_with_the_amended_order(market: Gateway) -> None:
    order_id = await resting(market)
    amending = amend(market, order_id, headers={"Prefer": "wait=5"}, price="49000")
    answer, _ = await asyncio.gather(amending, eventually(market.exchange.settle))
    assert (answer.status, answer.body["price"]) == (200, 49_000)


async def test_a_waiting_stop_keeps_its_protection_price(market: Gateway) -> None:
    order_id = await resting(market, type="stop", trigger_price="60000", price=None)
    assert (await amend(market, order_id, price="61000")).code == "invalid_value"
    assert (await amend(market, order_id, quantity="0.2")).status == 202
    await market.exchange.settle()
    assert await held(market) == 13_200


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({}, "missing_field"),
        ({"price": None}, "missing_field"),
        ({"side": "sell"}, "unknown_field"),
        ({"price": "x"}, "invalid_value"),
        ({"price": 0}, "price_not_positive"),
        ({"price": "50000.001"}, "price_off_tick"),
        ({"price": "55000.01"}, "price_out_of_band"),
        ({"quantity": 0}, "quantity_out_of_range"),
        ({"quantity": "100.0001"}, "quantity_out_of_range"),
        ({"quantity": "0.00005"}, "quantity_off_lot"),
        ({"quantity": "30"}, "insufficient_funds"),
    ],
)
async def test_an_amendment_that_makes_no_sense_changes_nothing(
    market: Gateway, changes: dict[str, Any], code: str
) -> None:
    order_id = await resting(market)
    assert (await amend(market, order_id, **changes)).code == code
    assert (await amend(market, order_id, "bob", quantity="0.2")).code == "order_not_found"
    assert await market.exchange.settle() == 0
    assert (await market.balances("alice"))["USDT"] == (Decimal(995_000), Decimal(5_000))
