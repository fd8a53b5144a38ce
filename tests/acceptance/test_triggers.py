"""Stops and take-profits: outside the book until a trade reaches their trigger price."""

from decimal import Decimal

from tests.acceptance.market import Market
from tests.acceptance.stage import rule
from tests.acceptance.trader import Balance, Trader


async def trade_at(price: Decimal | int, seller: Trader, buyer: Trader) -> None:
    """The two trade a little at this price; nothing of it is left in the book."""
    await seller.sells("0.02", at=price)
    assert (await buyer.buys("0.02", at=price)).traded == [(price, Decimal("0.02"))]


@rule("trigger-waits-outside-book")
async def test_a_stop_waits_outside_the_book_with_its_hold_taken(market: Market, alice: Trader, bob: Trader) -> None:
    waiting = await alice.sells(2, type="stop", trigger_price=95)
    limit = await alice.buys(1, at=106, type="stop_limit", trigger_price=105)
    assert waiting.status == limit.status == "open"
    assert await alice.base() == Balance(available=998, held=2)
    assert await alice.quote() == Balance(available=1_000_000 - 106, held=106)
    await market.shows(bids=[], asks=[])
    await bob.buys(1, at=90)
    await market.shows(bids=[(90, 1)], asks=[])


@rule("stop-triggers-with-market")
async def test_a_stop_to_sell_triggers_at_its_price_or_below(
    market: Market, alice: Trader, bob: Trader, carol: Trader
) -> None:
    stop = await alice.sells(1, type="stop", trigger_price=95)
    deeper = await alice.sells(1, type="stop", trigger_price="94.99")
    await bob.buys(5, at=90)
    await trade_at(96, bob, carol)
    assert (await alice.looks_up(stop)).status == "open"
    await trade_at(95, bob, carol)
    assert (await alice.looks_up(stop)).traded == [(90, 1)], "which fires the deeper one too"
    assert (await alice.looks_up(deeper)).traded == [(90, 1)]


@rule("stop-triggers-with-market")
async def test_a_stop_to_buy_triggers_at_its_price_or_above(
    market: Market, alice: Trader, bob: Trader, carol: Trader
) -> None:
    stop = await alice.buys(1, type="stop", trigger_price=105)
    await bob.sells(5, at=110)
    await trade_at(104, carol, bob)
    assert (await alice.looks_up(stop)).status == "open"
    await trade_at(106, carol, bob)
    assert (await alice.looks_up(stop)).traded == [(110, 1)]


@rule("take-profit-triggers-against-market")
async def test_a_take_profit_to_sell_triggers_at_its_price_or_above(
    market: Market, alice: Trader, bob: Trader, carol: Trader
) -> None:
    profit = await alice.sells(1, type="take_profit", trigger_price=105)
    await bob.buys(5, at=90)
    await trade_at(104, carol, bob)
    assert (await alice.looks_up(profit)).status == "open"
    await trade_at(105, carol, bob)
    assert (await alice.looks_up(profit)).traded == [(90, 1)]


@rule("take-profit-triggers-against-market")
async def test_a_take_profit_to_buy_triggers_at_its_price_or_below(
    market: Market, alice: Trader, bob: Trader, carol: Trader
) -> None:
    profit = await alice.buys(1, at=96, type="take_profit_limit", trigger_price=95)
    await trade_at(96, carol, bob)
    assert (await alice.looks_up(profit)).status == "open"
    await trade_at(94, carol, bob)
    await market.shows(bids=[(96, 1)])


@rule("trigger-by-trades-only")
async def test_resting_orders_trigger_nothing(market: Market, alice: Trader, bob: Trader, carol: Trader) -> None:
    await trade_at(100, bob, carol)
    stop = await alice.sells(1, type="stop", trigger_price=95)
    await bob.buys(5, at=94)
    await bob.sells(5, at=96)
    await carol.cancels(await carol.buys(1, at=90))
    assert (await alice.looks_up(stop)).status == "open"


@rule("trigger-reached-fires-at-once", "trigger-becomes-market")
async def test_a_trigger_that_is_reached_already_fires_at_once(
    market: Market, alice: Trader, bob: Trader, carol: Trader
) -> None:
    await trade_at(100, bob, carol)
    await bob.buys(1, at=99)
    fired = await alice.sells(3, type="stop", trigger_price=101)
    assert fired.traded == [(99, 1)] and fired.ending == ("expired", "no_liquidity")
    rested = await alice.sells(2, at=102, type="take_profit_limit", trigger_price=99)
    assert rested.status == "open"
    await market.shows(asks=[(102, 2)])


@rule("trigger-in-order-of-entry")
async def test_orders_that_one_trade_triggers_fire_in_the_order_in_which_they_came(
    market: Market, alice: Trader, bob: Trader, carol: Trader
) -> None:
    far = await alice.sells(1, type="stop", trigger_price=93)
    near = await bob.sells(1, type="stop", trigger_price=97)
    middle = await alice.sells(1, type="stop", trigger_price=95)
    for price in (91, 90, 89):
        await carol.buys(1, at=price)
    await trade_at(92, bob, carol)
    fired = [await alice.looks_up(far), await bob.looks_up(near), await alice.looks_up(middle)]
    assert [order.traded for order in fired] == [[(91, 1)], [(90, 1)], [(89, 1)]]


@rule("trigger-becomes-market")
async def test_a_triggered_market_order_does_not_rest(
    market: Market, alice: Trader, bob: Trader, carol: Trader
) -> None:
    stop = await alice.sells(1, type="stop", trigger_price=95)
    await trade_at(95, bob, carol)
    assert (await alice.looks_up(stop)).ending == ("expired", "no_liquidity")
    assert await alice.holds_nothing()


@rule("trigger-becomes-limit")
async def test_a_triggered_limit_order_queues_up_from_then_on(
    market: Market, alice: Trader, bob: Trader, carol: Trader
) -> None:
    await alice.sells(1, at=98, type="stop_limit", trigger_price=95)
    await bob.sells(1, at=98)
    await trade_at(95, bob, carol)
    await market.shows(asks=[(98, 2)])
    assert (await carol.buys(1, at=98)).traded == [(98, 1)]
    assert await alice.fills() == [], "bob stood in the book before"


@rule("trigger-becomes-limit")
async def test_a_triggered_post_only_order_does_not_take(
    market: Market, alice: Trader, bob: Trader, carol: Trader
) -> None:
    order = await alice.sells(1, at=90, type="stop_limit", trigger_price=95, post_only=True)
    await bob.buys(1, at=91)
    await trade_at(95, bob, carol)
    assert (await alice.looks_up(order)).ending == ("expired", "would_take")


@rule("trigger-becomes-market", "market-protection-price")
async def test_a_triggered_market_order_stops_at_its_protection_price(
    market: Market, alice: Trader, bob: Trader, carol: Trader
) -> None:
    stop = await alice.buys(3, type="stop", trigger_price=105)  # protected at 126
    assert await alice.quote() == Balance(available=1_000_000 - 378, held=378)
    await bob.sells(1, at=110)
    await bob.sells(1, at=120)
    await trade_at(105, carol, bob)
    await market.shows(asks=[])
    stopped = await alice.looks_up(stop)
    assert stopped.traded == [(110, 1), (120, 1)] and stopped.ending == ("expired", "no_liquidity")
    assert await alice.quote() == Balance(available=1_000_000 - 230, held=0)
