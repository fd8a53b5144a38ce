"""The price band and the circuit breaker."""

from datetime import timedelta
from typing import Any

from tests.acceptance.market import Market
from tests.acceptance.stage import listed, rule
from tests.acceptance.test_triggers import trade_at
from tests.acceptance.trader import Number, Trader
from tests.eventually import eventually


async def the_band_is(market: Market, trader: Trader, side: str, lowest: Number, highest: Number) -> None:
    """Wait until the gateway, which looks at the market now and then, refuses just what is beyond."""

    async def is_so() -> bool:
        codes: list[Any] = []
        for price, step in ((lowest, -1), (highest, 1)):
            just_in, just_out = trader.order(side, 1, price), trader.order(side, 1, market.ticks_from(price, step))
            codes += [await trader.judges(body | {"post_only": True}) for body in (just_in, just_out)]
        assert codes == ["taken", "price_out_of_band"] * 2
        return True

    await eventually(is_so, timeout_s=30)


@rule("guard-price-band", "band-around-last-trade")
async def test_a_limit_must_lie_within_the_band_around_the_last_trade(
    market: Market, alice: Trader, bob: Trader
) -> None:
    await trade_at(90, alice, bob)
    await the_band_is(market, alice, "buy", 72, 108)
    await the_band_is(market, alice, "sell", 72, 108)
    assert await alice.holds_nothing()


@rule("guard-price-band", "band-around-opposite")
async def test_before_the_first_trade_the_best_opposite_price_counts(
    market: Market, alice: Trader, bob: Trader
) -> None:
    await alice.sells(1, at=110)
    await the_band_is(market, bob, "buy", 88, 132)


@rule("guard-price-band", "band-around-reference")
async def test_in_an_empty_book_the_instruments_reference_counts(market: Market, alice: Trader) -> None:
    await the_band_is(market, alice, "buy", 80, 120)
    await the_band_is(market, alice, "sell", 80, 120)


@rule("band-stops-taker")
async def test_a_limit_order_stops_at_the_band_and_does_not_rest_beyond_it(
    market: Market, alice: Trader, bob: Trader, carol: Trader
) -> None:
    await carol.sells(1, at=119)
    await carol.sells(1, at=100)
    await bob.buys(1, at=119, time_in_force="ioc")  # the last trade: 100
    await trade_at(96, alice, bob)  # within the band around 119 too, which is all the gateway may have seen
    await the_band_is(market, alice, "sell", "76.8", "115.2")
    refused = await bob.cannot_buy(1, at=119)
    assert refused == "price_out_of_band"
    await carol.sells(1, at=105)
    stopped = await bob.buys(2)
    assert stopped.traded == [(105, 1)] and stopped.ending == ("expired", "price_band")
    await market.shows(asks=[(119, 1)], bids=[])


@rule("breaker-trips", "breaker-reopens")
@listed(breaker_bps=500, breaker_window_ms=60_000, breaker_halt_ms=12_000)
async def test_a_move_too_far_too_fast_halts_the_symbol_for_a_while(
    market: Market, alice: Trader, bob: Trader, carol: Trader
) -> None:
    await alice.sells(1, at=100)
    await alice.sells(1, at="105.01")
    left = await alice.sells(1, at=107)
    stop = await carol.buys("0.5", type="stop", trigger_price=105)
    await bob.buys(1, at=100)
    bought = await bob.buys(1, at=106)
    assert bought.status == "filled"
    await market.is_now("cancel_only")
    assert await bob.cannot_buy(1, at=107) == "symbol_halted"
    assert (await alice.cancels(await alice.looks_up(left))).status == "canceled", "cancels work"
    await market.is_now("trading")
    assert (await carol.looks_up(stop)).ending == ("expired", "no_liquidity"), "it fired into an empty book"
    assert (await carol.looks_up(stop)).seq > bought.seq + 2, "the journal has the halt and its end"


@rule("breaker-reopens")
@listed(breaker_bps=500, breaker_window_ms=60_000, breaker_halt_ms=2_000)
async def test_what_was_triggered_before_the_halt_fires_after_it(
    market: Market, alice: Trader, bob: Trader, carol: Trader
) -> None:
    for price in (100, 106, 107):
        await alice.sells(1, at=price)
    stop = await carol.buys(1, type="stop", trigger_price=105)
    await bob.buys(1, at=100)
    await bob.buys(1, at=106)
    fired = await carol.sees_the_end_of(stop)
    assert fired.traded == [(107, 1)]
    trades = await market.trades()
    assert trades[-1].at - trades[-2].at >= timedelta(seconds=2)


@rule("breaker-trips")
@listed(breaker_bps=500, breaker_window_ms=500, breaker_halt_ms=600_000)
async def test_a_move_within_the_limit_or_over_a_longer_time_halts_nothing(
    market: Market, alice: Trader, bob: Trader
) -> None:
    await trade_at(100, alice, bob)
    await trade_at(105, alice, bob)
    (*_, last) = await market.trades()
    await market.time_is_past(last.at + timedelta(milliseconds=501))
    await trade_at(112, alice, bob)
    assert (await bob.buys(1, at=100)).status == "open", "still trading"


@rule("trigger-band-around-trigger")
async def test_the_band_of_an_order_that_waits_lies_around_its_trigger(
    market: Market, alice: Trader, bob: Trader
) -> None:
    waiting = {"type": "stop_limit", "trigger_price": 150}
    assert await alice.judges(alice.order("buy", 1, 180, **waiting)) == "taken"
    for price in ("180.01", "119.99"):
        assert await alice.judges(alice.order("buy", 1, price, **waiting)) == "price_out_of_band"
    await alice.buys(1, type="stop", trigger_price=150)
    assert (await alice.quote()).held == 180, "its protection price is the edge of that band"
    reached = {"type": "take_profit_limit", "trigger_price": 150}  # the market, at 100, is below it already
    assert await alice.judges(alice.order("buy", 1, 120, **reached)) == "taken"
    assert await alice.judges(alice.order("buy", 1, "120.01", **reached)) == "price_out_of_band"
