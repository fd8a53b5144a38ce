"""How orders end: by their owner, all at once, by a timer; and what an end means."""

import asyncio

from tests.acceptance.market import Market
from tests.acceptance.stage import rule
from tests.acceptance.trader import Balance, Trader


@rule("cancel-ends-order")
async def test_a_cancel_ends_an_order_in_the_book_or_waiting(market: Market, alice: Trader) -> None:
    for order in (
        await alice.sells(1, at=100),
        await alice.sells(1, type="stop", trigger_price=90),
        await alice.buys(5, at=99, display_quantity=1),
    ):
        assert (await alice.cancels(order)).ending == ("canceled", "user_canceled")
    await market.shows(bids=[], asks=[])
    assert await alice.holds_nothing()


@rule("end-status-and-filled")
async def test_a_canceled_order_says_how_much_of_it_traded(market: Market, alice: Trader, bob: Trader) -> None:
    order = await alice.sells(3, at=100)
    await bob.buys(2, at=100)
    assert (await alice.looks_up(order)).status == "partially_filled"
    canceled = await alice.cancels(order)
    assert canceled.ending == ("canceled", "user_canceled") and canceled.filled == 2


@rule("end-filled-is-final", "cancel-closed-refused", "amend-closed-refused")
async def test_a_filled_order_never_changes_again(market: Market, alice: Trader, bob: Trader) -> None:
    order = await alice.sells(1, at=100)
    await bob.buys(1, at=100)
    filled = await alice.looks_up(order)
    assert filled.ending == ("filled", "filled")
    assert await alice.cannot_cancel(order) == "order_closed"
    assert await alice.cannot_amend(order, quantity=2) == "order_closed"
    await alice.cancels_all()
    await bob.cancels(await bob.buys(1, at=99))  # something else happens
    assert await alice.looks_up(order) == filled


@rule("cancel-closed-refused")
async def test_a_cancel_of_a_canceled_order_is_refused(market: Market, alice: Trader) -> None:
    order = await alice.cancels(await alice.sells(1, at=100))
    assert await alice.cannot_cancel(order) == "order_closed"
    assert await alice.cannot_cancel(await alice.buys(1, at=99, time_in_force="ioc")) == "order_closed"


@rule("cancel-foreign-looks-unknown", "amend-closed-refused")
async def test_somebody_elses_order_looks_like_none_at_all(market: Market, alice: Trader, bob: Trader) -> None:
    order = await alice.sells(1, at=100)
    unknown = str(int(order.order_id) + 1)
    for asked in (order.order_id, unknown):
        assert await bob.cannot_look_up(asked) == "order_not_found"
        assert await bob.cannot_cancel(asked) == "order_not_found"
        assert await bob.cannot_amend(asked, quantity=2) == "order_not_found"
    assert await bob.refusal_text_of_cancel(order.order_id) == await bob.refusal_text_of_cancel(unknown)
    assert await alice.looks_up(order) == order


@rule("cancel-races-fill")
async def test_when_a_cancel_races_a_fill_one_of_them_wins_and_both_are_told_the_same(
    market: Market, alice: Trader, bob: Trader
) -> None:
    for _ in range(5):
        order = await alice.sells(1, at=100)
        canceling, bought = await asyncio.gather(alice.tries_to_cancel(order), bob.buys(1, at=100, time_in_force="ioc"))
        end = await alice.sees_the_end_of(order)
        if end.status == "filled":
            assert bought.filled == 1
            assert canceling == "order_closed"
        else:
            assert end.ending == ("canceled", "user_canceled") and end.filled == 0
            assert bought.ending == ("expired", "immediate_or_cancel") and bought.filled == 0
            assert canceling == "canceled"
    assert await alice.holds_nothing() and await bob.holds_nothing()


@rule("cancel-all-in-symbol", "cancel-all-own-only")
async def test_cancel_all_ends_the_callers_orders_in_one_symbol(market: Market, alice: Trader, bob: Trader) -> None:
    elsewhere = await market.exchange.list_market()
    (alice_there,) = await elsewhere.admit(alice.account)
    there = await alice_there.sells(1, at=100)
    here = [
        await alice.sells(1, at=101),
        await alice.buys(1, at=99),
        await alice.sells(1, type="stop", trigger_price=90),
    ]
    bobs = await bob.sells(1, at=101)
    ended = await alice.cancels_all(orders=here)
    assert {order.ending for order in ended} == {("canceled", "user_canceled")}
    assert (await alice_there.looks_up(there)).status == "open"
    assert (await bob.looks_up(bobs)).status == "open"
    await market.shows(bids=[], asks=[(101, 1)])
    assert await alice.holds_nothing()


@rule("cancel-all-everywhere", "cancel-all-own-only")
async def test_without_a_symbol_cancel_all_ends_them_everywhere(market: Market, alice: Trader, bob: Trader) -> None:
    elsewhere = await market.exchange.list_market()
    (alice_there,) = await elsewhere.admit(alice.account)
    there, here = await alice_there.sells(1, at=100), await alice.buys(1, at=99)
    bobs = await bob.buys(1, at=99)
    ended = await alice.cancels_all(None, orders=[here, there])
    assert {order.status for order in ended} == {"canceled"}
    assert (await bob.looks_up(bobs)).status == "open"


@rule("cancel-all-oldest-first", "bug-cancel-order-leak")
async def test_cancel_all_ends_orders_in_the_order_in_which_they_came(market: Market, alice: Trader) -> None:
    orders = [
        await alice.sells(1, at=104),
        await alice.buys(1, at=98),
        await alice.sells(1, type="stop", trigger_price=90),
        await alice.sells(1, at=101),
        await alice.buys(1, at=99),
        await alice.sells(1, at=103),
    ]
    ended = await alice.cancels_all(orders=orders)
    first = ended[0].seq
    assert [order.seq for order in ended] == list(range(first, first + len(orders)))


@rule("cancel-timer-fires")
async def test_a_timer_that_is_not_renewed_ends_all_orders_in_the_symbol(
    market: Market, alice: Trader, bob: Trader
) -> None:
    orders = [await alice.sells(1, at=101), await alice.buys(1, type="stop", trigger_price=110)]
    bobs = await bob.sells(1, at=101)
    await alice.will_be_canceled_after(1)
    ended = [await alice.sees_the_end_of(order) for order in orders]
    assert {order.ending for order in ended} == {("canceled", "cancel_timer")}
    assert (await bob.looks_up(bobs)).status == "open"
    assert (await alice.sells(1, at=101)).status == "open", "it goes off once"
    assert await alice.base() == Balance(available=999, held=1)


@rule("cancel-timer-renewed", "cancel-timer-disarmed")
async def test_a_timer_that_is_renewed_or_disarmed_does_not_go_off(
    market: Market, alice: Trader, bob: Trader, carol: Trader
) -> None:
    renewed, disarmed = await alice.sells(1, at=101), await bob.sells(1, at=101)
    await alice.will_be_canceled_after(2)
    await bob.will_be_canceled_after(2)
    await alice.will_be_canceled_after(600)
    await bob.will_be_canceled_after(0)
    # carol's is set last and for as long: when it has gone off, theirs would have
    canary = await carol.sells(1, at=101)
    await carol.will_be_canceled_after(2)
    assert (await carol.sees_the_end_of(canary)).ending == ("canceled", "cancel_timer")
    assert (await alice.looks_up(renewed)).status == "open"
    assert (await bob.looks_up(disarmed)).status == "open"
