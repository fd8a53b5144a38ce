"""What everybody sees: the feed, the book, candles and the ticker."""

import asyncio
from decimal import Decimal
from typing import Any

from tests.acceptance.market import Market
from tests.acceptance.stage import rule
from tests.acceptance.trader import Trader


@rule("feed-trade-seq")
async def test_trades_on_the_feed_carry_the_numbers_of_the_journal(market: Market, alice: Trader, bob: Trader) -> None:
    async with market.feed("trade") as feed:
        await alice.sells(1, at=100)
        await alice.sells(1, at=101)
        bought = await bob.buys("1.5", at=101)
        sold = await alice.sells(1, at=99, time_in_force="ioc")
        await feed.hears("trade", lambda trade: trade["trade_id"] == 2)
    assert sold.fills == []
    told = [(trade["trade_id"], trade["seq"], trade["price"], trade["quantity"]) for trade in feed.heard("trade")]
    assert told == [(fill.trade_id, fill.seq, fill.price, fill.quantity) for fill in bought.fills]
    assert told == [(1, 5, 100, 1), (2, 7, 101, Decimal("0.5"))]
    assert {trade["taker_side"] for trade in feed.heard("trade")} == {"buy"}


@rule("bug-one-sided-depth")
async def test_both_sides_of_the_book_are_of_the_moment_of_its_number(
    market: Market, alice: Trader, bob: Trader, carol: Trader
) -> None:
    """Every step changes both sides; whoever is shown its number is shown all of it."""
    shown: dict[int, dict[str, Any]] = {}
    expected: dict[int, tuple[list[Any], list[Any]]] = {}
    is_over = asyncio.Event()

    async def keep_looking() -> None:
        while not is_over.is_set():
            book = await market.book()
            assert shown.setdefault(book["seq"], book) == book

    looking = asyncio.create_task(keep_looking())
    for price in (101, 102, 103, 104):
        await alice.sells(1, at=price)
        bid = await bob.buys(2, at=price)  # takes the one, rests with the other
        expected[bid.seq + 1] = [[price, 1]], []
        await market.shows(bids=[(price, 1)], asks=[])
        ask = await carol.sells(2, at=price)
        expected[ask.seq + 1] = [], [[price, 1]]
        await market.shows(bids=[], asks=[(price, 1)])
        expected[(await carol.cancels(ask)).seq] = [], []
    is_over.set()
    await looking
    seen = expected.keys() & shown.keys()
    assert len(seen) >= 4
    for seq in seen:
        assert (shown[seq]["bids"], shown[seq]["asks"]) == expected[seq], seq
