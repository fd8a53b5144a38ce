"""What orders hold, what trades cost, and that all of it adds up to the last unit."""

from decimal import Decimal

from tests.acceptance.market import Market
from tests.acceptance.stage import listed, rule
from tests.acceptance.trader import Balance, Trader

UNIT = Decimal("0.00000001")


@rule("fee-on-receipt", "fee-maker-taker")
@listed(maker_fee_bps=10, taker_fee_bps=25)
async def test_the_buyer_pays_in_base_the_seller_in_quote_each_at_his_rate(
    market: Market, alice: Trader, bob: Trader
) -> None:
    rested = await alice.sells(2, at=100)
    bought = await bob.buys(2, at=100)
    assert [(fill.fee, fill.fee_asset) for fill in bought.fills] == [(Decimal("0.005"), market.base)]
    assert (await bob.base()).total == 1_000 + 2 - Decimal("0.005")
    sold = await alice.looks_up(rested)
    assert [(fill.fee, fill.fee_asset) for fill in sold.fills] == [(Decimal("0.2"), market.quote)]
    assert (await alice.quote()).total == 1_000_000 + 200 - Decimal("0.2")


@rule("fee-maker-taker")
@listed(maker_fee_bps=10, taker_fee_bps=25)
async def test_the_same_rates_hold_when_the_buyer_was_there_first(market: Market, alice: Trader, bob: Trader) -> None:
    rested = await alice.buys(2, at=100)
    sold = await bob.sells(2, at=100)
    assert (sold.fee, sold.fills[0].fee_asset) == (Decimal("0.5"), market.quote)
    bought = await alice.looks_up(rested)
    assert (bought.fee, bought.fills[0].fee_asset) == (Decimal("0.002"), market.base)


@rule("fee-rounded-up")
@listed(maker_fee_bps=1, taker_fee_bps=3, lot_size="0.00000001", quote_decimals=10, min_quantity=UNIT, min_notional=0)
async def test_the_smallest_trade_still_pays_one_smallest_unit(market: Market, alice: Trader, bob: Trader) -> None:
    await alice.sells(UNIT, at="100.01")
    bought = await bob.buys(UNIT, at="100.01")
    assert bought.fee == UNIT, "of one unit received: three tenths of a thousandth, rounded up to one"
    assert (await bob.base()).total == 1_000
    # 0.0000010001 quote at one basis point is 0.00000000010001: rounded up at the tenth decimal
    assert (await alice.quote()).total == 1_000_000 + Decimal("0.0000010001") - Decimal("0.0000000002")


@rule("fee-conserved", "bug-unit-lost")
@listed(maker_fee_bps=7, taker_fee_bps=13, lot_size="0.00000001", quote_decimals=10, min_quantity=UNIT, min_notional=0)
async def test_what_one_gives_is_what_the_other_gets_and_the_fee(market: Market, alice: Trader, bob: Trader) -> None:
    await alice.sells("0.33333333", at="99.97")
    await alice.sells("1.00000001", at="101.03")
    await bob.buys("0.77777777", at="101.03")
    await bob.buys("0.12345679", at="100.51")
    await bob.sells("0.00000003", at="100.49")
    await alice.sells("0.2", at="99.99")
    fees = {market.base: Decimal(0), market.quote: Decimal(0)}
    for trader in (alice, bob):
        for fill in await trader.fills():
            fees[fill.fee_asset] += fill.fee
    assert all(fees.values())
    assert (await alice.base()).total + (await bob.base()).total + fees[market.base] == 2 * 1_000
    assert (await alice.quote()).total + (await bob.quote()).total + fees[market.quote] == 2 * 1_000_000


@rule("hold-covers-order", "bug-maker-fee-locked")
@listed(maker_fee_bps=10, taker_fee_bps=25)
async def test_fees_need_no_hold_so_all_of_a_balance_can_be_spent(market: Market, alice: Trader) -> None:
    bob = await market.newcomer("bob", quote=500)
    order = await bob.buys(5, at=100)
    assert await bob.quote() == Balance(available=0, held=500)
    sold = await alice.sells(5, at=100)
    assert sold.traded == [(100, 5)]
    assert (await bob.looks_up(order)).status == "filled"
    assert await bob.quote() == Balance(available=0, held=0)
    assert await bob.base() == Balance(available=Decimal("4.995"), held=0)


@rule("hold-covers-order")
async def test_a_sale_holds_its_quantity_and_a_buy_its_quantity_at_the_limit(market: Market, alice: Trader) -> None:
    await alice.sells("1.5", at=110)
    await alice.buys("2.5", at=90)
    assert await alice.base() == Balance(available=Decimal("998.5"), held=Decimal("1.5"))
    assert await alice.quote() == Balance(available=1_000_000 - 225, held=225)


@rule("hold-improvement-returned")
async def test_a_buyer_below_his_limit_gets_the_difference_back_at_once(
    market: Market, alice: Trader, bob: Trader
) -> None:
    await alice.sells(1, at=100)
    bought = await bob.buys(3, at=110)
    assert bought.status == "partially_filled" and bought.traded == [(100, 1)]
    assert await bob.quote() == Balance(available=1_000_000 - 100 - 220, held=220)


@rule("bug-improvement-locked")
async def test_no_residue_stays_locked_however_often_an_order_trades(
    market: Market, alice: Trader, bob: Trader
) -> None:
    for cents in range(7):
        await alice.sells("0.0103", at=Decimal(100) + Decimal(cents) / 100)
    bought = await bob.buys("0.0721", at="100.99")
    assert bought.status == "filled" and len(bought.fills) == 7
    spent = sum(price * quantity for price, quantity in bought.traded)
    assert await bob.quote() == Balance(available=1_000_000 - spent, held=0)


@rule("hold-released-at-end")
@listed(maker_fee_bps=10, taker_fee_bps=25)
async def test_however_an_order_ends_nothing_of_its_hold_stays_locked(
    market: Market, alice: Trader, bob: Trader
) -> None:
    await alice.sells(1, at=100)
    await bob.buys(1, at=101)  # filled below its limit
    await bob.buys(1, at=101, time_in_force="ioc")  # expired
    await bob.sells(1, at=99, time_in_force="fok")  # expired
    await bob.cancels(await bob.buys(1, at=99))  # canceled in the book
    await bob.cancels(await bob.sells(1, type="stop", trigger_price=90))  # canceled while it waited
    await alice.sells(1, at=100)
    await bob.buys(1, at=100, post_only=True)  # would have taken
    partly = await bob.buys(3, at=100)  # trades one
    await bob.cancels(partly)
    await bob.buys(1)  # a market order that finds nothing
    own = await bob.sells(1, at=102)
    await bob.buys(1, at=102)  # its own order is in the way
    await bob.cancels(own)
    assert await bob.holds_nothing()
    assert (await bob.quote()).total == 1_000_000 - 200
    assert (await bob.base()).total == 1_002 - (1 + 1) * Decimal("0.0025")
