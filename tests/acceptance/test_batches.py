"""Many commands in one request."""

from tests.acceptance.market import Market
from tests.acceptance.stage import rule
from tests.acceptance.trader import Balance, Trader


@rule("batch-order", "batch-reuses-funds")
async def test_cancels_go_first_then_amendments_then_new_orders_with_what_they_set_free(market: Market) -> None:
    alice = await market.newcomer("alice", quote=500)
    first, second = await alice.buys(3, at=100), await alice.buys(2, at=100)
    assert await alice.quote() == Balance(available=0, held=500)
    results = await alice.batches(
        {"op": "place", **alice.order("buy", 2, 100)},  # needs what both others free
        {"op": "amend", "order_id": second.order_id, "quantity": "3", "price": "99"},  # needs what the cancel frees
        {"op": "cancel", "order_id": first.order_id},
    )
    assert [result["http_status"] // 100 for result in results] == [2, 2, 2], results
    await alice.hears_of(results[0]["answer"]["order_id"])
    await market.shows(bids=[(100, 2), (99, 3)])
    assert await alice.quote() == Balance(available=3, held=497)


@rule("batch-items-stand-alone")
async def test_one_items_refusal_does_not_stop_the_others(market: Market, alice: Trader, bob: Trader) -> None:
    bobs = await bob.sells(1, at=105)
    good = {"op": "place", **alice.order("buy", 1, 99)}
    results = await alice.batches(
        good | {"price": "99.001"},
        {"op": "cancel", "order_id": bobs.order_id},
        {"op": "dance"},
        good,
        good | {"quantity": "0"},
    )
    assert [result["http_status"] for result in results] == [422, 404, 400, 202, 422]
    codes = [result["problem"]["code"] for result in results if "problem" in result]
    assert codes == ["price_off_tick", "order_not_found", "invalid_value", "quantity_out_of_range"]
    await market.shows(bids=[(99, 1)], asks=[(105, 1)])


@rule("batch-limit")
async def test_more_than_a_hundred_commands_are_refused_as_a_whole(market: Market, alice: Trader) -> None:
    item = {"op": "place", **alice.order("buy", "0.1", 99)}
    assert await alice.refusal_of(alice.batches(*[item] * 101)) == "invalid_value"
    assert await alice.orders() == [] and await alice.holds_nothing()
    assert {result["http_status"] for result in await alice.batches(*[item] * 100)} == {202}
    await market.shows(bids=[(99, 10)])
