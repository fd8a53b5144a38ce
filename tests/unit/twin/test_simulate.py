"""What the bots of `crossbook simulate` decide: every order sound, quotes around the price, never too many."""

import random
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest

from crossbook.clients.quotes import SIZES, FairPrice, Market, Move, Quote, Resting, next_move, quotes, take
from crossbook.demo import INSTRUMENTS
from crossbook.simulate import SimulationTally
from exchange_core.checks import band
from exchange_core.money import parse_decimal, to_steps
from exchange_core.orders import Side

MARKETS = [Market.of({"max_open_orders": 200} | instrument) for instrument in INSTRUMENTS]
COARSE: dict[str, Any] = {
    "symbol": "AAABBB",
    "base": "AAA",
    "quote": "BBB",
    "tick_size": 5,
    "lot_size": 10,
    "min_quantity": 20,
    "max_quantity": 300,
    "min_notional": Decimal(1001),
    "band_bps": 500,
    "reference_price": 25,
    "max_open_orders": 4,
}
MARKETS.append(Market.of(COARSE))
every_market = pytest.mark.parametrize("market", MARKETS, ids=lambda market: market.symbol)


@every_market
def test_every_order_of_a_wandering_market_is_on_tick_on_lot_and_within_the_limits(market: Market) -> None:
    chance = random.Random(7)
    fair = FairPrice(market.reference_ticks, chance)
    last = market.reference_ticks
    for _ in range(2_000):
        price = fair.step(market, last)
        side, ticks, lots = take(market, price, last, 0, chance)
        placed = [(quote.side, quote.price_ticks) for quote in quotes(market, price, last, rank=chance.randrange(3))]
        lowest, highest = band(last, market.band_bps)
        for order_side, order_ticks in [*placed, (side, ticks)]:
            assert lowest <= order_ticks <= highest
            order_lots = market.quantity_lots(order_ticks, chance.randint(1, SIZES))
            assert market.lowest_lots <= order_lots <= market.highest_lots
            order = market.order(order_side, order_ticks, order_lots)
            order_price, quantity = parse_decimal(order["price"]), parse_decimal(order["quantity"])
            assert to_steps(order_price, market.tick_size) == order_ticks
            assert to_steps(quantity, market.lot_size) == order_lots
            assert order_price * quantity >= market.min_notional
        assert lots >= market.lowest_lots
        last = ticks if chance.random() < 0.1 else last


def test_the_same_seed_walks_the_same_way_and_another_does_not() -> None:
    def walk(seed: int) -> list[int]:
        fair = FairPrice(5_000_000, random.Random(seed))
        return [fair.step(MARKETS[0], 5_000_000) for _ in range(50)]

    assert walk(1) == walk(1) != walk(2)
    assert len(set(walk(1))) > 40


@every_market
def test_bids_stand_below_the_fair_price_and_asks_above_it(market: Market) -> None:
    wanted = quotes(market, market.reference_ticks, market.reference_ticks, rank=0)
    assert len(wanted) <= 2 * market.levels <= market.max_open_orders // 2
    assert all((quote.price_ticks < market.reference_ticks) == (quote.side is Side.BUY) for quote in wanted)
    assert len(set(wanted)) == len(wanted)


def test_a_narrow_band_leaves_out_the_quotes_beyond_it() -> None:
    narrow = replace(MARKETS[0], band_bps=6)
    assert len(quotes(narrow, narrow.reference_ticks, narrow.reference_ticks, rank=0)) == 2


BID, ASK = Quote(Side.BUY, 90), Quote(Side.SELL, 110)
NEAR_BID, FAR_ASK = Resting("near", Quote(Side.BUY, 91)), Resting("far", Quote(Side.SELL, 120))


@pytest.mark.parametrize(
    ("wanted", "resting", "move"),
    [
        ([], [], Move(None, None)),
        ([BID, ASK], [], Move(None, BID)),
        ([BID, ASK], [NEAR_BID], Move(None, ASK)),
        ([BID, ASK], [FAR_ASK], Move(None, BID)),
        ([BID, ASK], [NEAR_BID, FAR_ASK], Move(FAR_ASK, ASK)),
        ([BID], [NEAR_BID, FAR_ASK], Move(FAR_ASK, None)),
        ([], [FAR_ASK], Move(FAR_ASK, None)),
        ([BID], [NEAR_BID], Move(NEAR_BID, BID)),
    ],
    ids=["idle", "first", "missing", "too few", "misplaced", "too many", "none wanted", "renewed"],
)
def test_a_maker_makes_the_one_change_that_matters(wanted: list[Quote], resting: list[Resting], move: Move) -> None:
    assert next_move(wanted, resting, 2) == move


def test_a_maker_never_has_more_open_than_it_wants_and_follows_the_price() -> None:
    market, chance = MARKETS[0], random.Random(3)
    fair = FairPrice(market.reference_ticks, chance)
    resting: list[Resting] = []
    for number in range(500):
        price = fair.step(market, market.reference_ticks)
        move = next_move(quotes(market, price, market.reference_ticks, rank=0), resting, 10)
        if move.cancel is not None:
            resting.remove(move.cancel)
        if move.place is not None:
            resting.append(Resting(str(number), move.place))
        assert len(resting) <= 2 * market.levels
    assert len(resting) == 2 * market.levels
    assert all(abs(order.quote.price_ticks - price) < price // 50 for order in resting)


def test_a_taker_that_has_bought_much_sells_and_the_other_way_round() -> None:
    market, chance = MARKETS[0], random.Random(5)
    limit = 100 * market.quantity_lots(market.reference_ticks, SIZES)

    def sides(net_lots: int) -> set[Side]:
        ticks = market.reference_ticks
        return {take(market, ticks, ticks, net_lots, chance)[0] for _ in range(100)}

    assert sides(limit) == {Side.SELL}
    assert sides(-limit) == {Side.BUY}
    assert sides(0) == {Side.BUY, Side.SELL}


@every_market
def test_the_funds_cover_both_sides_of_what_an_account_may_have_open(market: Market) -> None:
    funds = market.funds(market.reference_ticks)
    lots = market.quantity_lots(market.reference_ticks, SIZES) * 2 * market.levels
    assert funds[market.base] >= lots * market.lot_size
    assert funds[market.quote] >= lots * market.lot_size * market.reference_ticks * market.tick_size


def test_the_summary_tells_refusals_by_code() -> None:
    tally = SimulationTally(order_count=1200, cancel_count=3)
    tally.refusals.update(["order_closed", "order_closed", "symbol_halted"])
    text = "\n".join(tally.lines())
    assert "1,200" in text and "not watched" in text and "order_closed 2, symbol_halted 1" in text
