"""Limit orders: how long they live, and when they do not live at all."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal

from tests.acceptance.market import Market
from tests.acceptance.stage import listed, rule
from tests.acceptance.trader import Balance, Trader


def in_seconds(seconds: float) -> str:
    """A date so far ahead, as a client writes it."""
    return (datetime.now(UTC) + timedelta(seconds=seconds)).isoformat()


@rule("limit-gtc-takes-then-rests")
async def test_a_limit_order_takes_what_it_can_and_rests_with_the_remainder(
    market: Market, alice: Trader, bob: Trader
) -> None:
    await alice.sells(1, at=99)
    await alice.sells(1, at=100)
    await alice.sells(1, at=101)
    bought = await bob.buys(5, at=100)
    assert bought.status == "partially_filled" and bought.traded == [(99, 1), (100, 1)]
    await market.shows(bids=[(100, 3)], asks=[(101, 1)])


@rule("ioc-remainder-expires", "end-status-and-filled")
async def test_immediate_or_cancel_takes_what_it_can_and_does_not_rest(
    market: Market, alice: Trader, bob: Trader
) -> None:
    await alice.sells(2, at=100)
    bought = await bob.buys(5, at=100, time_in_force="ioc")
    assert bought.ending == ("expired", "immediate_or_cancel") and bought.filled == 2
    await market.shows(bids=[], asks=[])
    assert await bob.quote() == Balance(available=1_000_000 - 200, held=0)


@rule("fok-fills-whole")
async def test_fill_or_kill_fills_from_many_orders_and_from_what_icebergs_hide(
    market: Market, alice: Trader, bob: Trader, carol: Trader
) -> None:
    await alice.sells(1, at=99)
    await bob.sells(5, at=100, display_quantity=1)
    bought = await carol.buys(6, at=100, time_in_force="fok")
    assert bought.status == "filled" and bought.filled == 6


@rule("fok-or-leaves-book-untouched")
async def test_fill_or_kill_that_lacks_a_lot_leaves_the_book_untouched(
    market: Market, alice: Trader, bob: Trader, carol: Trader
) -> None:
    first = await alice.sells(1, at=99)
    second = await bob.sells(5, at=100, display_quantity=1)
    seq = (await market.book())["seq"]
    killed = await carol.buys("6.0001", at=100, time_in_force="fok")
    assert killed.ending == ("expired", "fill_or_kill") and killed.filled == 0
    await market.shows(bids=[], asks=[(99, 1), (100, 1)])
    assert (await alice.looks_up(first)).seq == first.seq and (await bob.looks_up(second)).seq == second.seq <= seq
    assert await carol.holds_nothing()


@rule("gtd-is-gtc-until-date")
async def test_good_till_date_rests_and_trades_before_its_date(market: Market, alice: Trader, bob: Trader) -> None:
    rested = await alice.sells(2, at=100, time_in_force="gtd", expires_at=in_seconds(600))
    assert rested.status == "open"
    await market.shows(asks=[(100, 2)])
    assert (await bob.buys(1, at=100)).traded == [(100, 1)]
    assert (await alice.cancels(rested)).ending == ("canceled", "user_canceled")


@rule("gtd-expires-at-date", "end-status-and-filled")
async def test_good_till_date_expires_at_its_date(market: Market, alice: Trader, bob: Trader) -> None:
    rested = await alice.sells(2, at=100, time_in_force="gtd", expires_at=in_seconds(12))
    await bob.buys("0.5", at=100)
    ended = await alice.sees_the_end_of(rested)
    assert ended.ending == ("expired", "date_reached") and ended.filled == Decimal("0.5")
    assert datetime.fromisoformat(ended.terms["updated_at"]) >= datetime.fromisoformat(ended.terms["expires_at"])
    assert ended.seq > rested.seq, "the journal says it"
    await market.shows(asks=[])
    assert await alice.base() == Balance(available=Decimal("999.5"), held=0)


@rule("gtd-past-refused")
async def test_a_date_that_is_past_is_refused(market: Market, alice: Trader) -> None:
    refused = await alice.cannot_sell(1, at=100, time_in_force="gtd", expires_at=in_seconds(-1))
    assert refused == "expiry_passed"
    assert await alice.orders() == [] and await alice.holds_nothing()


@rule("post-only-rests")
async def test_a_post_only_order_that_would_not_trade_rests(market: Market, alice: Trader, bob: Trader) -> None:
    await alice.sells(1, at=101)
    rested = await bob.buys(1, at=100, post_only=True)
    assert rested.status == "open"
    await market.shows(bids=[(100, 1)], asks=[(101, 1)])
    assert (await alice.sells(1, at=100)).traded == [(100, 1)]


@rule("post-only-would-take")
async def test_a_post_only_order_that_would_trade_even_in_part_expires_whole(
    market: Market, alice: Trader, bob: Trader
) -> None:
    await alice.sells(1, at=100)
    expired = await bob.buys(5, at=100, post_only=True)
    assert expired.ending == ("expired", "would_take") and expired.filled == 0
    await market.shows(bids=[], asks=[(100, 1)])
    assert await bob.holds_nothing()


@rule("post-only-not-ioc-fok")
async def test_post_only_goes_with_orders_that_may_rest(market: Market, alice: Trader) -> None:
    for time_in_force in ("ioc", "fok"):
        refused = await alice.cannot_buy(1, at=100, post_only=True, time_in_force=time_in_force)
        assert refused == "invalid_value"
    assert await alice.cannot_buy(1, post_only=True) == "invalid_value"
    assert await alice.holds_nothing()


@rule("end-untraded-expires")
async def test_immediate_and_fill_or_kill_orders_with_nothing_traded_expire(
    market: Market, alice: Trader, bob: Trader
) -> None:
    await alice.sells(1, at=101)
    immediate = await bob.buys(1, at=100, time_in_force="ioc")
    whole = await bob.buys(1, at=100, time_in_force="fok")
    assert immediate.ending == ("expired", "immediate_or_cancel")
    assert whole.ending == ("expired", "fill_or_kill")
    assert immediate.filled == whole.filled == 0


@rule("iceberg-shows-display", "iceberg-holds-full-size")
async def test_an_iceberg_shows_a_part_and_holds_for_the_whole(market: Market, alice: Trader, bob: Trader) -> None:
    await alice.sells(10, at=100, display_quantity=2)
    await bob.buys(6, at=99, display_quantity=4)
    await market.shows(asks=[(100, 2)], bids=[(99, 4)])
    assert await alice.base() == Balance(available=990, held=10)
    assert await bob.quote() == Balance(available=1_000_000 - 594, held=594)


@rule("iceberg-refills-at-the-back")
async def test_what_an_iceberg_shows_next_queues_up_behind_the_others(
    market: Market, alice: Trader, bob: Trader, carol: Trader
) -> None:
    iceberg = await alice.sells(5, at=100, display_quantity=2)
    plain = await bob.sells(2, at=100)
    await market.shows(asks=[(100, 4)])
    bought = await carol.buys(5, at=100)
    sold = {fill.trade_id: "alice" for fill in (await alice.looks_up(iceberg)).fills}
    sold |= {fill.trade_id: "bob" for fill in (await bob.looks_up(plain)).fills}
    assert [(sold[fill.trade_id], fill.quantity) for fill in bought.fills] == [("alice", 2), ("bob", 2), ("alice", 1)]
    await market.shows(asks=[(100, 1)])
    assert await alice.base() == Balance(available=995, held=2), "one shown, one hidden"


@rule("iceberg-shows-display")
@listed(max_open_orders=10)
async def test_the_last_of_an_iceberg_shows_no_more_than_is_left(market: Market, alice: Trader, bob: Trader) -> None:
    await alice.sells(5, at=100, display_quantity=3)
    await bob.buys(3, at=100)
    await market.shows(asks=[(100, 2)])
