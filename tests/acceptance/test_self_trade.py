"""Self-trade prevention: two orders of one user never trade, and the taker says who gives way."""

from tests.acceptance.market import Market
from tests.acceptance.stage import rule
from tests.acceptance.trader import Balance, Order, Trader

EXPIRED = ("expired", "self_trade")


async def three_asks(alice: Trader, bob: Trader) -> list[Order]:
    """Bob offers 2 at 100, then alice 3 at 100, then bob 4 at 101."""
    return [await bob.sells(2, at=100), await alice.sells(3, at=100), await bob.sells(4, at=101)]


@rule("stp-cancel-taker", "stp-earlier-fills-stand", "stp-ends-as-expired")
async def test_by_default_the_taker_ends_and_what_it_traded_before_stands(
    market: Market, alice: Trader, bob: Trader
) -> None:
    _, own, _ = await three_asks(alice, bob)
    taker = await alice.buys(9, at=101)
    assert taker.traded == [(100, 2)] and taker.ending == EXPIRED
    assert (await alice.looks_up(own)).status == "open"
    await market.shows(asks=[(100, 3), (101, 4)], bids=[])
    assert await alice.quote() == Balance(available=1_000_000 - 200, held=0)


@rule("stp-cancel-maker", "stp-earlier-fills-stand", "stp-ends-as-expired")
async def test_cancel_maker_ends_the_resting_order_and_goes_on(market: Market, alice: Trader, bob: Trader) -> None:
    _, own, _ = await three_asks(alice, bob)
    taker = await alice.buys(9, at=101, self_trade_prevention="cancel_maker")
    assert taker.traded == [(100, 2), (101, 4)] and taker.status == "partially_filled"
    assert (await alice.looks_up(own)).ending == EXPIRED
    await market.shows(asks=[], bids=[(101, 3)])
    assert (await alice.base()).held == 0


@rule("stp-cancel-both", "stp-ends-as-expired")
async def test_cancel_both_ends_both(market: Market, alice: Trader, bob: Trader) -> None:
    _, own, _ = await three_asks(alice, bob)
    taker = await alice.buys(9, at=101, self_trade_prevention="cancel_both")
    assert taker.traded == [(100, 2)] and taker.ending == EXPIRED
    assert (await alice.looks_up(own)).ending == EXPIRED
    await market.shows(asks=[(101, 4)], bids=[])
    assert await alice.holds_nothing()


@rule("stp-decrement")
async def test_decrement_shrinks_both_by_the_overlap_without_a_trade(
    market: Market, alice: Trader, bob: Trader
) -> None:
    _, own, _ = await three_asks(alice, bob)
    taker = await alice.buys(9, at=101, self_trade_prevention="decrement")
    assert taker.status == "filled" and taker.traded == [(100, 2), (101, 4)] and taker.quantity == 6
    assert (await alice.looks_up(own)).ending == EXPIRED, "it has reached zero"
    assert [trade.price for trade in await market.trades()] == [100, 101]
    await market.shows(asks=[], bids=[])
    assert await alice.holds_nothing()


@rule("stp-decrement", "stp-ends-as-expired")
async def test_decrement_leaves_the_larger_one_with_the_rest(market: Market, alice: Trader, bob: Trader) -> None:
    own = await alice.sells(3, at=100)
    taker = await alice.buys(1, at=100, self_trade_prevention="decrement")
    assert taker.ending == EXPIRED and taker.filled == 0
    shrunk = await alice.looks_up(own)
    assert shrunk.status == "open" and shrunk.quantity == 2
    await market.shows(asks=[(100, 2)])
    assert await alice.base() == Balance(available=998, held=2)
    assert (await alice.quote()).held == 0
    amended = await alice.amends(own, quantity=5)  # its hold is reckoned from what it is now
    assert amended.quantity == 5 and await alice.base() == Balance(available=995, held=5)


@rule("stp-decrement")
async def test_decrement_shrinks_a_budget_by_what_the_overlap_would_have_cost(
    market: Market, alice: Trader, bob: Trader
) -> None:
    await alice.sells(2, at=100)
    await bob.sells(9, at=110)
    taker = await alice.buys(quote_quantity=310, self_trade_prevention="decrement")
    assert taker.status == "filled" and taker.traded == [(110, 1)]
    assert await alice.quote() == Balance(available=1_000_000 - 110, held=0)
    assert await alice.base() == Balance(available=1_001, held=0)


@rule("stp-taker-decides")
async def test_the_setting_of_the_resting_order_does_not_count(market: Market, alice: Trader) -> None:
    own = await alice.sells(1, at=100, self_trade_prevention="cancel_both")
    taker = await alice.buys(1, at=100, self_trade_prevention="cancel_taker")
    assert taker.ending == EXPIRED
    assert (await alice.looks_up(own)).status == "open"


@rule("stp-applies-to-amends")
async def test_an_amended_order_does_not_trade_with_its_owner(market: Market, alice: Trader, bob: Trader) -> None:
    own = await alice.sells(1, at=100)
    bid = await alice.buys(2, at=95, self_trade_prevention="cancel_maker")
    amended = await alice.amends(bid, price=100)
    assert amended.is_open and amended.filled == 0
    assert (await alice.looks_up(own)).ending == EXPIRED
    await market.shows(bids=[(100, 2)], asks=[])
    assert await market.trades() == []


@rule("bug-self-trade-scan")
async def test_own_orders_are_met_in_the_sequence_of_matching(market: Market, alice: Trader, bob: Trader) -> None:
    own = await alice.sells(1, at=102)  # the oldest, but the last that would be matched
    await bob.sells(1, at=101)
    await bob.sells(1, at=100)
    enough = await alice.buys(2, at=102)
    assert enough.status == "filled" and enough.traded == [(100, 1), (101, 1)], "it never met its own"
    assert (await alice.looks_up(own)).status == "open"
    await bob.sells(1, at=100)
    assert (await alice.buys(2, at=102)).ending == EXPIRED
    await bob.sells(1, at=101)
    whole = await alice.buys(1, at=102, time_in_force="fok")
    assert whole.status == "filled", "fill or kill looks no further than it needs"
