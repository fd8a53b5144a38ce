"""Matching: who trades with whom, at which price, and under which number."""

from decimal import Decimal
from random import Random

from tests.acceptance.market import Market
from tests.acceptance.stage import listed, rule
from tests.acceptance.trader import Trader
from tests.eventually import eventually


@rule("match-price-time")
async def test_the_best_price_trades_first_and_at_one_price_whoever_came_first(
    market: Market, alice: Trader, bob: Trader, carol: Trader, dave: Trader
) -> None:
    dear = await alice.sells(1, at=101)
    first = await bob.sells(1, at=100)
    second = await carol.sells(1, at=100)
    bought = await dave.buys("2.5", at=101)
    assert bought.traded == [(100, 1), (100, 1), (101, Decimal("0.5"))]
    sold = [await bob.looks_up(first), await carol.looks_up(second), await alice.looks_up(dear)]
    assert [order.fills[0].trade_id for order in sold] == [fill.trade_id for fill in bought.fills]


@rule("match-price-time")
async def test_the_highest_bid_trades_first(market: Market, alice: Trader, bob: Trader, carol: Trader) -> None:
    await alice.buys(1, at=99)
    await bob.buys(1, at=100)
    sold = await carol.sells(2, at=98)
    assert sold.traded == [(100, 1), (99, 1)]


@rule("match-maker-price")
async def test_a_trade_happens_at_the_price_of_the_one_who_was_there_first(
    market: Market, alice: Trader, bob: Trader
) -> None:
    await alice.sells(1, at=100)
    assert (await bob.buys(1, at=105)).traded == [(100, 1)]
    await bob.buys(1, at=105)
    assert (await alice.sells(1, at=100)).traded == [(105, 1)]


@rule("match-never-crossed")
async def test_a_book_at_rest_is_never_crossed(market: Market, alice: Trader, bob: Trader) -> None:
    random = Random(11)
    for _ in range(12):
        trader, price = random.choice((alice, bob)), random.randrange(95, 106)
        if random.random() < 0.5:
            await trader.buys(random.randrange(1, 4), at=price, self_trade_prevention="cancel_maker")
        else:
            await trader.sells(random.randrange(1, 4), at=price, self_trade_prevention="cancel_maker")
        book = await market.book()
        assert not book["bids"] or not book["asks"] or book["bids"][0][0] < book["asks"][0][0]
    assert await market.trades(), "orders met"


@rule("match-fill-limit")
@listed(max_open_orders=1_000)
async def test_an_order_trades_with_500_others_and_no_more(market: Market, alice: Trader, bob: Trader) -> None:
    sale = {"op": "place", **alice.order("sell", "0.01", 100)}
    for _ in range(5):
        results = await alice.batches(*[sale] * 100)
        assert {result["http_status"] for result in results} == {202}
    await alice.sells("0.01", at=100)
    await market.shows(asks=[(100, "5.01")])
    bought = await bob.buys("5.01", at=100)
    assert bought.ending == ("expired", "fill_limit") and bought.filled == 5 and len(bought.fills) == 500
    await market.shows(asks=[(100, "0.01")], bids=[])
    assert await bob.holds_nothing()


@rule("seq-gapless")
async def test_all_that_happens_to_a_symbol_is_numbered_without_gaps(
    market: Market, alice: Trader, bob: Trader
) -> None:
    rested = await alice.sells(1, at=100)
    assert rested.seq == 2, "the listing was 1"
    bought = await bob.buys(1, at=100)
    (trade,) = await market.trades()
    sold = await alice.looks_up(rested)
    # 3: bob's order is in; 4: the trade; 5 and 6: both orders are done
    assert (trade.seq, sold.seq, bought.seq) == (4, 5, 6)
    canceled = await bob.cancels(await bob.buys(1, at=99))
    assert canceled.seq == 8
    await market.becomes("halted")

    async def book_is_at_9() -> bool:
        return bool((await market.book())["seq"] == 9)

    await eventually(book_is_at_9)


@rule("seq-decides")
async def test_orders_of_one_moment_trade_in_the_order_of_their_numbers(
    market: Market, alice: Trader, bob: Trader
) -> None:
    results = await alice.batches(*[{"op": "place", **alice.order("sell", 1, 100)}] * 8)
    orders = [await alice.hears_of(result["answer"]["order_id"]) for result in results]
    assert len({order.terms["updated_at"] for order in orders}) < len(orders), "some share a moment"
    by_number = sorted(orders, key=lambda order: order.seq)
    bought = await bob.buys(8, at=100)
    sold = [(await alice.looks_up(order)).fills[0].trade_id for order in by_number]
    assert sold == [fill.trade_id for fill in bought.fills]


@rule("trade-id-gapless")
async def test_trade_ids_count_from_one(market: Market, alice: Trader, bob: Trader) -> None:
    for price in (100, 101, 102):
        await alice.sells(1, at=price)
    await bob.buys(2, at=101)
    await bob.buys(1, at=102)
    assert [trade.trade_id for trade in await market.trades()] == [1, 2, 3]
