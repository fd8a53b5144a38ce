"""What everybody sees: the feed, the book, candles and the ticker."""

import asyncio
import zlib
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import pairwise
from random import Random
from typing import Any

from tests.acceptance.market import Market, Trade
from tests.acceptance.stage import rule
from tests.acceptance.trader import Order, Trader
from tests.eventually import eventually


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
            del book["timestamp"]  # that of its last publication
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


Level = tuple[Decimal, Decimal]
SIDES = ("bids", "asks")


class ShownBook:
    """A book as the depth channel tells it: a snapshot, then every diff in its turn."""

    def __init__(self) -> None:
        self.seq = 0
        self.sides: dict[str, dict[Decimal, Decimal]] = {}

    def take_in(self, message: dict[str, Any]) -> None:
        """A snapshot replaces it, a diff that follows changes it; its checksum must be right then."""
        if message["event"] == "snapshot":
            self.sides = {side: dict(map(tuple, message[side])) for side in SIDES}
        elif message["seq"] <= self.seq:
            return
        else:
            assert message["prev_seq"] == self.seq, "each diff follows the one before"
            for side in SIDES:
                self.sides[side] |= dict(map(tuple, message[side]))
                self.sides[side] = {price: quantity for price, quantity in self.sides[side].items() if quantity}
        self.seq = message["seq"]
        assert message["checksum"] == checksum(self.bids, self.asks)

    @property
    def bids(self) -> list[Level]:
        """Best first."""
        return sorted(self.sides["bids"].items(), reverse=True)

    @property
    def asks(self) -> list[Level]:
        """Best first."""
        return sorted(self.sides["asks"].items())


def checksum(bids: Iterable[Level], asks: Iterable[Level]) -> int:
    """As the rule says it, from the numbers themselves."""

    def digits(number: Decimal) -> str:
        text = format(Decimal(number), "f")
        text = text.rstrip("0").rstrip(".") if "." in text else text
        return text.replace(".", "").lstrip("0")

    levels = [*list(asks)[:10], *list(bids)[:10]]
    return zlib.crc32("".join(digits(price) + digits(quantity) for price, quantity in levels).encode())


async def trade_wildly(random: Random, *traders: Trader) -> None:
    """Many orders near 100, of which some meet and some are canceled."""
    resting: list[tuple[Trader, Order]] = []
    for _ in range(25):
        trader, buys = random.choice(traders), random.random() < 0.5
        place, middle = (trader.buys, 9_950) if buys else (trader.sells, 10_050)
        price = Decimal(middle + random.randrange(-70, 70)) / 100
        quantity = 1 + Decimal(random.randrange(1, 40_000)) / 10_000
        order = await place(quantity, at=price, self_trade_prevention="cancel_maker")
        resting.append((trader, order))
        if random.random() < 0.4:
            owner, order = resting.pop(random.randrange(len(resting)))
            await owner.tries_to_cancel(order)


@rule("feed-depth-snapshot", "feed-depth-chain", "feed-depth-checksum")
async def test_a_snapshot_and_the_diffs_after_it_are_the_book(
    market: Market, alice: Trader, bob: Trader, carol: Trader
) -> None:
    traders, random = (alice, bob, carol), Random(5)
    await trade_wildly(random, *traders)
    async with market.feed("depth") as feed:
        first = await feed.hears("snapshot")
        assert first["bids"] and first["asks"]
        await trade_wildly(random, *traders)
        last = await alice.buys(1, at=90)
        await feed.hears("depth", lambda diff: diff["seq"] >= last.seq)
        book = ShownBook()
        for message in feed.messages:
            if message["event"] in ("snapshot", "depth"):
                book.take_in(message)
    assert len(feed.heard("depth")) > 10 and len(feed.heard("snapshot")) == 1
    published = await market.book()
    assert published["seq"] == book.seq == last.seq
    assert [book.bids, book.asks] == [[tuple(level) for level in published[side]] for side in SIDES]


@rule("feed-depth-zero")
async def test_a_level_that_is_gone_is_told_with_quantity_0(market: Market, alice: Trader, bob: Trader) -> None:
    async with market.feed("depth") as feed:
        await feed.hears("snapshot")
        sold = await alice.sells(2, at=101)
        stays = await alice.sells(1, at=102)
        bought = await bob.buys(1, at=101)
        await bob.buys(1, at=101)
        await feed.hears("depth", lambda diff: diff["seq"] >= bought.seq + 4)
    told = [tuple(map(Decimal, level)) for diff in feed.heard("depth") for level in diff["asks"]]
    assert told == [(101, 2), (102, 1), (101, 1), (101, 0)]
    assert sold.seq < stays.seq < bought.seq
    assert feed.heard("depth")[-1]["checksum"] == checksum([], [(Decimal(102), Decimal(1))])


INTERVALS_S = {"1s": 1, "1m": 60, "5m": 300, "15m": 900, "1h": 3_600, "4h": 4 * 3_600, "1d": 24 * 3_600}


def span_of(trade: Trade, length_s: int) -> datetime:
    """When the span that the trade falls in begins."""
    seconds = int(trade.at.timestamp())
    return datetime.fromtimestamp(seconds - seconds % length_s, UTC)


def candle_of(trades: list[Trade]) -> dict[str, Any]:
    """What these trades of one span come to."""
    prices = [trade.price for trade in trades]
    return {
        "open": prices[0],
        "high": max(prices),
        "low": min(prices),
        "close": prices[-1],
        "base_volume": sum(trade.quantity for trade in trades),
        "quote_volume": sum(trade.quantity * trade.price for trade in trades),
        "trade_count": len(trades),
        "seq": trades[-1].seq,
    }


@rule("candle-from-trades", "candle-seq")
async def test_candles_hold_what_the_trades_in_them_come_to(market: Market, alice: Trader, bob: Trader) -> None:
    for price, quantity in ((100, 1), (103, "0.5"), (98, 2), ("99.99", "0.0101"), (101, 1)):
        await alice.sells(quantity, at=price)
        await bob.buys(quantity, at=price)
    trades = await market.trades()
    for interval, length_s in INTERVALS_S.items():
        candles = (await market.get("candles", interval=interval))["candles"]
        begins = [span_of(trade, length_s) for trade in trades]
        expected = {
            begin: candle_of([trade for trade, its in zip(trades, begins, strict=True) if its == begin])
            for begin in begins
        }
        shown = {datetime.fromisoformat(candle["open_at"]): candle for candle in candles if candle["trade_count"]}
        assert shown.keys() == expected.keys(), interval
        for begin, candle in expected.items():
            assert {name: shown[begin][name] for name in candle} == candle, interval


@rule("candle-empty-minutes")
async def test_a_span_without_trades_repeats_the_close_before_it(market: Market, alice: Trader, bob: Trader) -> None:
    await alice.sells(2, at=100)
    await bob.buys(1, at=100)
    (first,) = await market.trades()
    await market.time_is_past(first.at + timedelta(seconds=3))
    await bob.buys(1, at=101)
    candles = (await market.get("candles", interval="1s"))["candles"]
    begins = [datetime.fromisoformat(candle["open_at"]) for candle in candles]
    assert {later - earlier for earlier, later in pairwise(begins)} == {timedelta(seconds=1)}
    assert begins[0] == span_of(first, 1), "before the first trade there is no price"
    with_trades = [index for index, candle in enumerate(candles) if candle["trade_count"]]
    assert len(with_trades) == 2 and with_trades[1] >= 3
    for candle in candles[1 : with_trades[1]]:
        assert {candle[name] for name in ("open", "high", "low", "close")} == {100}
        assert candle["base_volume"] == candle["quote_volume"] == 0 and candle["seq"] == first.seq


@rule("ticker-24h")
async def test_the_ticker_tells_the_last_price_and_what_24_hours_came_to(
    market: Market, alice: Trader, bob: Trader
) -> None:
    for price, quantity in ((100, 1), (104, 2), (95, 1), (102, "0.5")):
        await alice.sells(quantity, at=price)
        await bob.buys(quantity, at=price)
    await alice.sells(1, at=103)
    await bob.buys(1, at=99)
    expected = {
        "price": 102,
        "quantity": Decimal("0.5"),
        "bid": 99,
        "ask": 103,
        "open": 100,
        "high": 104,
        "low": 95,
        "change": 2,
        "change_percent": 2,
        "base_volume": Decimal("4.5"),
        "quote_volume": 100 + 208 + 95 + 51,
        "trade_count": 4,
    }

    async def is_told() -> bool:
        ticker = await market.get("ticker")
        assert {name: ticker[name] for name in expected} == expected
        return True

    await eventually(is_told, timeout_s=30)
