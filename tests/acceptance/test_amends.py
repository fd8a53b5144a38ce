"""Amendments: who keeps his place, which money moves, and what a refusal leaves alone."""

from tests.acceptance.market import Market
from tests.acceptance.stage import listed, rule
from tests.acceptance.test_triggers import trade_at
from tests.acceptance.trader import Balance, Order, Trader


async def is_first_at_100(trader: Trader, order: Order, taker: Trader) -> bool:
    """Whether of all that is offered at 100 this order trades first: the taker takes a little."""
    before = (await trader.looks_up(order)).filled
    await taker.buys("0.1", at=100)
    return (await trader.looks_up(order)).filled > before


@rule("amend-smaller-keeps-place")
async def test_a_smaller_quantity_keeps_the_place(market: Market, alice: Trader, bob: Trader, carol: Trader) -> None:
    order = await alice.sells(5, at=100)
    await bob.sells(5, at=100)
    assert (await alice.amends(order, quantity=2)).quantity == 2
    await market.shows(asks=[(100, 7)])
    assert await is_first_at_100(alice, order, carol)
    assert await alice.base() == Balance(available=998, held=2 - (await alice.looks_up(order)).filled)


@rule("amend-larger-goes-back", "amend-moves-hold")
async def test_a_larger_quantity_goes_to_the_back(market: Market, alice: Trader, bob: Trader, carol: Trader) -> None:
    order = await alice.sells(2, at=100)
    await bob.sells(2, at=100)
    await alice.amends(order, quantity=5)
    assert await alice.base() == Balance(available=995, held=5)
    assert not await is_first_at_100(alice, order, carol)
    await market.shows(asks=[(100, "6.9")])


@rule("amend-price-goes-back")
async def test_a_new_price_goes_to_the_back_even_when_it_is_changed_back(
    market: Market, alice: Trader, bob: Trader, carol: Trader
) -> None:
    order = await alice.sells(2, at=100)
    await bob.sells(2, at=100)
    await alice.amends(order, price=101)
    await market.shows(asks=[(100, 2), (101, 2)])
    await alice.amends(order, price=100)
    assert not await is_first_at_100(alice, order, carol)


@rule("amend-price-goes-back")
async def test_a_smaller_quantity_at_a_new_price_goes_to_the_back_too(
    market: Market, alice: Trader, bob: Trader, carol: Trader
) -> None:
    order = await alice.sells(2, at=101)
    await bob.sells(2, at=100)
    await alice.amends(order, price=100, quantity=1)
    assert not await is_first_at_100(alice, order, carol)


@rule("amend-crossing-takes", "bug-amend-crosses")
async def test_a_new_price_that_crosses_trades_at_the_makers_prices_and_rests_with_the_rest(
    market: Market, alice: Trader, bob: Trader
) -> None:
    await alice.sells(1, at=100)
    await alice.sells(1, at=101)
    order = await bob.buys(3, at=95)
    amended = await bob.amends(order, price=101)
    assert amended.traded == [(100, 1), (101, 1)] and amended.status == "partially_filled"
    await market.shows(bids=[(101, 1)], asks=[])
    assert await bob.quote() == Balance(available=1_000_000 - 201 - 101, held=101)


@rule("amend-post-only-stays", "amend-refused-keeps-place")
async def test_a_post_only_order_is_not_amended_across_the_spread(
    market: Market, alice: Trader, bob: Trader, carol: Trader
) -> None:
    await bob.buys(1, at=98)
    order = await alice.sells(2, at=100, post_only=True)
    await carol.sells(2, at=100)
    held = await alice.base()
    assert await alice.cannot_amend(order, price=98) == "would_take"
    assert (await alice.looks_up(order)).price == 100 and await alice.base() == held
    assert await is_first_at_100(alice, order, bob)
    assert (await alice.amends(order, price=99)).price == 99, "to a price that does not cross it is"


@rule("amend-above-filled")
async def test_a_new_quantity_must_be_above_what_is_filled(market: Market, alice: Trader, bob: Trader) -> None:
    order = await alice.sells(5, at=100)
    await bob.buys(2, at=100)
    for quantity in (1, 2):
        assert await alice.cannot_amend(order, quantity=quantity) == "quantity_not_above_filled"
    assert await alice.base() == Balance(available=995, held=3)
    assert (await alice.amends(order, quantity="2.0001")).is_open
    await market.shows(asks=[(100, "0.0001")])


@rule("amend-moves-hold", "bug-replace-holds-twice")
async def test_the_difference_of_holds_alone_is_taken_or_given_back(market: Market) -> None:
    alice = await market.newcomer("alice", quote=500)
    order = await alice.buys(5, at=100)
    assert await alice.quote() == Balance(available=0, held=500)
    await alice.amends(order, price=99, quantity=5)  # with nothing available
    assert await alice.quote() == Balance(available=5, held=495)
    await alice.amends(order, price=110, quantity=4)
    assert await alice.quote() == Balance(available=60, held=440)
    await alice.amends(order, price=100, quantity=5)
    assert await alice.quote() == Balance(available=0, held=500)


@rule("amend-moves-hold")
async def test_the_hold_is_that_of_what_is_left_to_fill(market: Market, alice: Trader, bob: Trader) -> None:
    order = await bob.buys(5, at=100)
    await alice.sells(2, at=100)
    await bob.amends(order, quantity=4, price=90)
    assert await bob.quote() == Balance(available=1_000_000 - 200 - 180, held=180)


@rule("amend-waiting-order")
async def test_an_order_that_waits_for_its_trigger_can_be_amended_and_keeps_its_turn(
    market: Market, alice: Trader, bob: Trader, carol: Trader
) -> None:
    first = await alice.sells(1, at=96, type="stop_limit", trigger_price=95)
    second = await bob.sells(1, at=96, type="stop_limit", trigger_price=95)
    await alice.amends(first, quantity=3, price="94.5")
    assert await alice.base() == Balance(available=997, held=3)
    await alice.amends(first, price=96)
    await trade_at(95, bob, carol)
    await market.shows(asks=[(96, 4)])
    await carol.buys(3, at=96)
    assert (await alice.looks_up(first)).filled == 3 and (await bob.looks_up(second)).filled == 0


@rule("amend-unaffordable-refused", "amend-refused-keeps-place", "bug-amend-destroys")
async def test_an_amendment_that_cannot_be_paid_for_leaves_the_order_as_it_was(
    market: Market, bob: Trader, carol: Trader
) -> None:
    alice = await market.newcomer("alice", base=3)
    order = await alice.sells(2, at=100)
    await bob.sells(2, at=100)
    assert await alice.cannot_amend(order, quantity=4) == "insufficient_funds"
    assert await alice.looks_up(order) == order
    assert await alice.base() == Balance(available=1, held=2)
    assert await is_first_at_100(alice, order, carol)


@rule("amend-off-step-refused", "amend-out-of-band-refused", "amend-refused-keeps-place", "bug-amend-destroys")
async def test_whatever_is_refused_leaves_the_order_with_its_hold_and_in_its_place(
    market: Market, alice: Trader, bob: Trader, carol: Trader
) -> None:
    order = await alice.sells(2, at=100)
    await bob.sells(2, at=100)
    for changes, code in (
        ({"price": "100.001"}, "price_off_tick"),
        ({"quantity": "1.00001"}, "quantity_off_lot"),
        ({"price": "120.01"}, "price_out_of_band"),
        ({"price": "79.99"}, "price_out_of_band"),
        ({"price": 0}, "price_not_positive"),
        ({"quantity": 1_001}, "quantity_out_of_range"),
        ({"quantity": "0.0001"}, "notional_too_small"),
    ):
        assert await alice.cannot_amend(order, **changes) == code, changes
    assert await alice.looks_up(order) == order
    assert await alice.base() == Balance(available=998, held=2)
    assert await is_first_at_100(alice, order, carol)


@rule("amend-moves-hold")
@listed(maker_fee_bps=10, taker_fee_bps=20)
async def test_an_order_amended_many_times_leaves_nothing_locked(market: Market, alice: Trader, bob: Trader) -> None:
    order = await alice.buys(5, at=95)
    for price, quantity in ((96, 4), (94, 7), ("94.01", "6.5"), (97, "6.5")):
        await alice.amends(order, price=price, quantity=quantity)
    await bob.sells(3, at=97)
    await alice.amends(order, quantity=4)
    await alice.cancels(order)
    assert await alice.quote() == Balance(available=1_000_000 - 3 * 97, held=0)
