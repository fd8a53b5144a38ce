"""Market orders: by quantity and by amount, and how far they go."""

from decimal import Decimal

from tests.acceptance.market import Market
from tests.acceptance.stage import rule
from tests.acceptance.trader import Balance, Trader


@rule("market-takes-the-best")
async def test_a_market_order_takes_the_best_there_is(market: Market, alice: Trader, bob: Trader) -> None:
    await alice.sells(1, at=101)
    await alice.sells(1, at=100)
    await alice.sells(1, at=102)
    bought = await bob.buys("2.5")
    assert bought.status == "filled"
    assert bought.traded == [(100, 1), (101, 1), (102, Decimal("0.5"))]
    await alice.buys(1, at=99)
    assert (await bob.sells(1)).traded == [(99, 1)]


@rule("market-protection-price", "band-stops-taker")
async def test_a_market_order_stops_at_the_band_around_the_last_trade(
    market: Market, alice: Trader, bob: Trader, carol: Trader
) -> None:
    await carol.sells(1, at=119)  # within the band around 100, the instrument's reference
    await alice.sells(1, at=96)
    bought = await bob.buys(1, at=96)  # within the band around 119 too: the gateway may not have seen the 96 yet
    assert bought.status == "filled"  # the band is 76.8 to 115.2 now
    await alice.sells(1, at=105)
    bought = await bob.buys(3)
    assert bought.traded == [(105, 1)] and bought.ending == ("expired", "price_band")
    await market.shows(asks=[(119, 1)], bids=[])


@rule("market-protection-without-trade")
async def test_before_the_first_trade_the_band_lies_around_the_best_opposite_price(
    market: Market, alice: Trader, bob: Trader
) -> None:
    await alice.sells(1, at=90)
    await alice.sells(1, at=108)
    await alice.sells(1, at="108.01")
    bought = await bob.buys(3)
    assert bought.traded == [(90, 1), (108, 1)] and bought.ending == ("expired", "price_band")


@rule("market-buy-holds-protection")
async def test_a_market_buy_must_afford_its_protection_price_and_gets_the_rest_back(
    market: Market, alice: Trader, bob: Trader
) -> None:
    await alice.sells(10, at=100)
    await bob.buys(1, at=100)
    poor = await market.newcomer("poor", quote="119.99")
    assert await poor.cannot_buy(1) == "insufficient_funds"
    fair = await market.newcomer("fair", quote=120)
    assert (await fair.buys(1)).traded == [(100, 1)]
    assert await fair.quote() == Balance(available=20, held=0)


@rule("market-never-rests", "bug-market-rests")
async def test_no_part_of_a_market_order_ever_rests(market: Market, alice: Trader, bob: Trader) -> None:
    nothing = await bob.buys(1)
    assert nothing.ending == ("expired", "no_liquidity") and nothing.filled == 0
    await alice.sells(1, at=100)
    part = await bob.buys(2)
    assert part.ending == ("expired", "no_liquidity") and part.filled == 1
    await alice.buys(1, at=100)
    part = await bob.sells(2)
    assert part.ending == ("expired", "no_liquidity") and part.filled == 1
    by_amount = await bob.buys(quote_quantity=50)
    assert by_amount.ending == ("expired", "no_liquidity") and by_amount.filled == 0
    await market.shows(bids=[], asks=[])
    assert await bob.orders(open_only=True) == [] and await bob.holds_nothing()


@rule("market-quote-buy-budget")
async def test_a_buy_by_amount_spends_no_more_in_whole_lots(market: Market, alice: Trader, bob: Trader) -> None:
    await alice.sells(1, at=100)
    await alice.sells(5, at=103)
    carol = await market.newcomer("carol", quote=250)
    bought = await carol.buys(quote_quantity=250)
    assert bought.status == "filled"
    assert bought.traded == [(100, 1), (103, Decimal("1.4563"))]  # the next lot would cost more than is left
    left = 250 - 100 - 103 * Decimal("1.4563")
    assert 0 < left < 103 * Decimal("0.0001")
    assert await carol.quote() == Balance(available=left, held=0)


@rule("market-quote-sell-target")
async def test_a_sale_by_amount_raises_no_more_in_whole_lots(market: Market, alice: Trader, bob: Trader) -> None:
    await alice.buys(1, at=100)
    await alice.buys(5, at=97)
    sold = await bob.sells(quote_quantity=250)
    assert sold.status == "filled"
    assert sold.traded == [(100, 1), (97, Decimal("1.5463"))]
    raised = 100 + 97 * Decimal("1.5463")
    assert raised <= 250 < raised + 97 * Decimal("0.0001")
    assert await bob.quote() == Balance(available=1_000_000 + raised, held=0)
    assert await bob.base() == Balance(available=1_000 - Decimal("2.5463"), held=0)


@rule("market-quote-buy-budget")
async def test_a_buy_by_an_amount_that_makes_up_no_lot_expires(market: Market, alice: Trader, bob: Trader) -> None:
    await alice.sells(1, at=100)
    await bob.buys("0.5", at=100)
    spent = await bob.buys(quote_quantity=1)
    assert spent.status == "filled" and spent.filled == Decimal("0.01")
    assert await bob.cannot_buy(quote_quantity="0.5") == "notional_too_small"
    assert await bob.holds_nothing()
