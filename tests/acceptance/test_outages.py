"""The matchers are away for a while, and come back: nothing is forgotten, nothing happens twice."""

import asyncio
from datetime import UTC, datetime, timedelta
from decimal import Decimal

from tests.acceptance.market import Market
from tests.acceptance.outage import Visit
from tests.acceptance.stage import listed, rule
from tests.acceptance.test_triggers import trade_at
from tests.acceptance.trader import Balance, Trader

SOON_S = 15
"""Longer than all take to set their scenes, so that it is during the outage."""


@rule("gtd-expires-after-restart", "bug-snapshot-incomplete")
async def test_a_good_till_date_order_expires_after_an_outage_that_slept_through_its_date(
    market: Market, outage: Visit, alice: Trader, bob: Trader
) -> None:
    date = datetime.now(UTC) + timedelta(seconds=SOON_S)
    terms = {"time_in_force": "gtd", "expires_at": date.isoformat()}
    resting = await alice.sells(1, at=101, **terms)
    waiting = await alice.sells(1, at=89, type="stop_limit", trigger_price=90, **terms)
    async with outage:
        assert (await alice.looks_up(resting)).status == "open", "the outage came too late"
        await market.time_is_past(date)
        assert (await alice.looks_up(resting)).status == "open", "nobody is there to end it"
        too_late = await bob.promises(bob.order("buy", 1, 101))
    for order in (resting, waiting):
        ended = await alice.sees_the_end_of(order)
        assert ended.ending == ("expired", "date_reached") and ended.filled == 0
        assert ended.seq > order.seq
    assert (await bob.hears_of(too_late["order_id"])).status == "open", "it did not trade after its date"
    assert await alice.holds_nothing()


@rule("cancel-timer-outlives-restart", "bug-snapshot-incomplete")
async def test_a_timer_goes_off_after_an_outage_that_slept_through_its_time(
    market: Market, outage: Visit, alice: Trader
) -> None:
    order = await alice.sells(1, at=101)
    over_at = await alice.will_be_canceled_after(SOON_S)
    async with outage:
        assert (await alice.looks_up(order)).status == "open", "the outage came too late"
        await market.time_is_past(over_at)
    assert (await alice.sees_the_end_of(order)).ending == ("canceled", "cancel_timer")


@rule("timeout-is-no-refusal", "accepted-is-found")
async def test_an_order_that_nobody_answers_is_accepted_and_takes_place_later(
    market: Market, outage: Visit, alice: Trader, bob: Trader
) -> None:
    rested = await bob.sells(1, at=100)
    async with outage:
        body = alice.order("buy", 2, 100) | {"client_order_id": "patience"}
        status, answer = await alice.call("POST", "/order", body, wait_s=1)
        assert (status, answer["status"]) == (202, "accepted")
        for found in (await alice.looks_up(answer["order_id"]), await alice.looks_up_by_client_id("patience")):
            assert found.status == "accepted" and found.reason is None and found.quantity == 2
        assert await alice.promises(body) == answer
        status, told = await bob.call("DELETE", f"/order/{rested.order_id}", wait_s=1)
        assert (status, told["status"]) == (202, "cancel_requested"), "not that it cannot be canceled"
    bought = await alice.hears_of(answer["order_id"])
    assert bought.traded == [(100, 1)] and bought.is_open
    assert (await bob.looks_up(rested)).status == "filled", "the order came before the cancel"


@rule("bug-snapshot-incomplete")
async def test_last_price_hidden_quantity_and_places_outlive_an_outage(
    market: Market, outage: Visit, alice: Trader, bob: Trader, carol: Trader
) -> None:
    await trade_at(90, bob, carol)
    iceberg = await bob.sells(4, at=95, display_quantity=1)
    plain = await alice.sells(1, at=95)
    await carol.buys(1, at=95)  # takes what the iceberg shows, so that alice is before it now
    async with outage:
        pass
    await market.shows(asks=[(95, 2)], bids=[])
    profit = await carol.buys(1, at=80, type="take_profit_limit", trigger_price=96)
    await market.shows(bids=[(80, 1)])  # the last trade, at 95, had reached it
    assert profit.seq == iceberg.seq + 6, "the numbers go on: alice, carol, trade, done, carol's profit, triggered"
    assert (await carol.buys(1, at=95)).filled == 1
    assert (await alice.looks_up(plain)).status == "filled"
    assert (await carol.buys(1, at=95)).filled == 1
    assert await bob.base() == Balance(available=1_000 - Decimal("0.02") - 4, held=2)
    assert [trade.trade_id for trade in await market.trades()] == [1, 2, 3, 4]


@rule("bug-snapshot-incomplete")
async def test_a_waiting_stop_outlives_an_outage_and_fires_by_the_next_trade(
    market: Market, outage: Visit, alice: Trader, bob: Trader, carol: Trader
) -> None:
    stop = await alice.sells(2, at=91, type="stop_limit", trigger_price=92)
    async with outage:
        assert (await alice.looks_up(stop)).status == "open"
    assert await alice.base() == Balance(available=998, held=2)
    await trade_at(93, bob, carol)
    await market.shows(asks=[])
    await trade_at(92, bob, carol)
    await market.shows(asks=[(91, 2)])


@rule("bug-replay-configuration")
@listed(maker_fee_bps=7, taker_fee_bps=13, band_bps=300, max_open_orders=2)
async def test_an_instrument_is_the_same_after_an_outage(
    market: Market, outage: Visit, alice: Trader, bob: Trader
) -> None:
    listing = await market.get("instruments")
    order = await alice.sells(1, at=100)
    await market.becomes("cancel_only")
    async with outage:
        pass
    assert await market.get("instruments") == listing | {"status": "cancel_only"}
    assert await bob.cannot_buy(1, at=100) == "symbol_halted"
    await market.becomes("trading")
    bought = await bob.buys(1, at=100)
    assert bought.fee == Decimal("0.0013")
    assert (await alice.looks_up(order)).fee == Decimal("0.07")
    await alice.sells(1, at=103)
    await alice.sells(1, at=103)
    assert await alice.judges(alice.order("sell", 1, 103)) == "too_many_open_orders"


@rule("bug-delivery-twice")
@listed(maker_fee_bps=10, taker_fee_bps=20, max_open_orders=1_000)
async def test_what_a_crash_delivers_twice_happens_once(
    market: Market, crash: Visit, alice: Trader, bob: Trader
) -> None:
    placed: list[tuple[Trader, str]] = []
    is_over = asyncio.Event()

    async def trade_on() -> None:
        while not is_over.is_set() and len(placed) < 400:
            for trader, body in (
                (alice, alice.order("sell", "0.3", 100)),
                (bob, bob.order("buy", "0.2", 101)),
                (bob, bob.order("buy", "0.1", 99)),
            ):
                promised = await trader.promises(body)
                placed.append((trader, promised["order_id"]))
            await bob.call("DELETE", f"/order/{placed[-1][1]}")

    trading = asyncio.create_task(trade_on())
    try:
        await market.has_traded(5)
        async with crash:
            pass
        traded = len(await market.trades())
        await market.has_traded(traded + 5)
    finally:
        is_over.set()
        await trading
    orders = [await trader.hears_of(order_id) for trader, order_id in placed]
    await asyncio.gather(alice.cancels_all(orders=[]), bob.cancels_all(orders=[]))
    orders = [await trader.sees_the_end_of(order_id) for trader, order_id in placed]
    assert {order.status for order in orders} <= {"filled", "canceled"}
    assert await alice.holds_nothing() and await bob.holds_nothing()
    trades = await market.trades()
    volume = sum(trade.quantity for trade in trades)
    turnover = sum(trade.quantity * trade.price for trade in trades)
    assert sum(order.filled for order in orders) == 2 * volume
    fees = {asset: Decimal(0) for asset in (market.base, market.quote)}
    for fill in [*await alice.fills(), *await bob.fills()]:
        fees[fill.fee_asset] += fill.fee
    assert (await alice.base()).total == 1_000 - volume
    assert (await bob.base()).total == 1_000 + volume - fees[market.base]
    assert (await alice.quote()).total == 1_000_000 + turnover - fees[market.quote]
    assert (await bob.quote()).total == 1_000_000 - turnover
