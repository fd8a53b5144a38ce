"""What is refused before anything is held, each with a code of its own."""

import asyncio
from decimal import Decimal

from tests.acceptance.market import Market
from tests.acceptance.stage import listed, rule
from tests.acceptance.trader import Balance, Trader
from tests.eventually import eventually


@rule("guard-unknown-symbol")
async def test_a_symbol_that_is_not_listed_is_refused(market: Market, alice: Trader) -> None:
    order = alice.order("buy", 1, 100)
    assert await alice.cannot(**order | {"symbol": "NOSUCHCOIN"}) == "unknown_symbol"


@rule("guard-bad-side", "guard-bad-type")
async def test_a_side_or_a_type_that_does_not_exist_is_refused(market: Market, alice: Trader) -> None:
    order = alice.order("buy", 1, 100)
    assert await alice.cannot(**order | {"side": "hold"}) == "invalid_side"
    assert await alice.cannot(**order | {"type": "wish"}) == "invalid_type"


@rule("guard-off-lot", "guard-quantity-range")
@listed(lot_size="0.1", min_quantity="0.5", max_quantity=10)
async def test_a_quantity_must_be_of_whole_lots_and_within_the_limits(market: Market, alice: Trader) -> None:
    assert await alice.cannot_buy("1.05", at=100) == "quantity_off_lot"
    for quantity in ("0.4", "10.1", 0, -1):
        assert await alice.cannot_buy(quantity, at=100) == "quantity_out_of_range", quantity
    for quantity in ("0.5", "1.1", 10):
        assert (await alice.buys(quantity, at=100)).status == "open"


@rule("guard-off-tick", "guard-price-not-positive")
@listed(tick_size="0.05")
async def test_a_price_must_be_of_whole_ticks_and_above_zero(market: Market, alice: Trader) -> None:
    assert await alice.cannot_buy(1, at="100.01") == "price_off_tick"
    assert await alice.cannot_sell(1, type="stop", trigger_price="99.99") == "price_off_tick"
    for price in (0, -100):
        assert await alice.cannot_sell(1, at=price) == "price_not_positive", price
    assert (await alice.buys(1, at="100.05")).status == "open"


@rule("guard-notional")
@listed(min_notional=10)
async def test_an_order_worth_too_little_is_refused(market: Market, alice: Trader) -> None:
    assert await alice.cannot_buy("0.0999", at=100) == "notional_too_small"
    assert await alice.cannot_sell("0.1", at=99) == "notional_too_small"
    assert await alice.cannot_buy("0.09") == "notional_too_small"
    assert await alice.cannot_buy(quote_quantity="9.99") == "notional_too_small"
    assert (await alice.buys("0.1", at=100)).status == "open"


@rule("guard-funds")
async def test_an_order_that_cannot_be_paid_for_is_refused(market: Market) -> None:
    alice = await market.newcomer("alice", base=1, quote=100)
    assert await alice.cannot_buy("1.0001", at=100) == "insufficient_funds"
    assert await alice.cannot_sell("1.0001", at=100) == "insufficient_funds"
    await alice.buys("0.6", at=100)
    assert await alice.cannot_buy("0.5", at=100) == "insufficient_funds", "held funds pay for one order only"
    assert (await alice.buys("0.4", at=100)).status == "open"
    assert await alice.quote() == Balance(available=0, held=100)


@rule("guard-funds")
async def test_many_orders_at_once_cannot_spend_the_same_funds(market: Market) -> None:
    alice = await market.newcomer("alice", quote=100)
    answers = await asyncio.gather(
        *[alice.promises(alice.order("buy", "0.3", 100)) for _ in range(6)], return_exceptions=True
    )
    accepted = [answer for answer in answers if isinstance(answer, dict)]
    assert len(accepted) == 3 and await alice.quote() == Balance(available=10, held=90)


@rule("guard-too-many-open-orders")
@listed(max_open_orders=3)
async def test_a_user_has_so_many_open_orders_and_no_more(market: Market, alice: Trader, bob: Trader) -> None:
    orders = [
        await alice.buys(1, at=99),
        await alice.sells(1, at=101),
        await alice.sells(1, type="stop", trigger_price=90),
    ]
    held = await alice.quote()
    one_more = alice.order("buy", 1, 98)
    assert await alice.judges(one_more) == "too_many_open_orders"
    assert await alice.quote() == held

    async def the_gateway_has_counted() -> bool:
        known = len(await alice.orders())
        assert await alice.judges(one_more) == "too_many_open_orders"
        return len(await alice.orders()) == known  # not even a rejected one

    await eventually(the_gateway_has_counted, timeout_s=30)
    assert await alice.quote() == held
    assert (await bob.buys(1, at=98)).status == "open", "bob has room"
    await alice.cancels(orders[0])
    assert (await alice.buys(1, at=98)).status == "open"


@rule("guard-duplicate-client-id")
async def test_a_client_order_id_is_used_for_one_order(market: Market, alice: Trader, bob: Trader) -> None:
    first = await alice.buys(1, at=99, client_order_id="my-first")
    for body in (alice.order("buy", 2, 99), alice.order("sell", 1, 99), alice.order("buy", 1, 98)):
        assert await alice.cannot(**body, client_order_id="my-first") == "duplicate_client_order_id"
    assert await alice.quote() == Balance(available=1_000_000 - 99, held=99)
    await alice.cancels(first)
    assert await alice.cannot_buy(2, at=99, client_order_id="my-first") == "duplicate_client_order_id"
    assert (await bob.buys(2, at=99, client_order_id="my-first")).status == "open", "it is bob's first"


@rule("repeat-is-the-same-order")
async def test_the_same_id_and_body_again_is_the_same_order(market: Market, alice: Trader, bob: Trader) -> None:
    body = alice.order("buy", 1, 99) | {"client_order_id": "once"}
    first, *again = await asyncio.gather(*[alice.promises(body) for _ in range(4)])
    assert again == [first] * 3
    same = {**body, "quantity": "1.00", "price": "99.0"}
    assert await alice.promises(same) == first, "a number is what it is worth"
    await bob.sells(1, at=99)
    assert await alice.promises(body) == first, "also when it has traded"
    assert len(await alice.orders()) == 1 and len(await market.trades()) == 1
    assert await alice.quote() == Balance(available=1_000_000 - 99, held=0)


@rule("guard-before-hold", "refusal-is-conclusive")
async def test_a_refusal_leaves_everything_as_it_was(market: Market, alice: Trader, bob: Trader) -> None:
    await bob.sells(1, at=101)
    before = (await market.book())["seq"]
    refused = [
        alice.order("buy", 1, "101.001"),
        alice.order("buy", "1.00001", 101),
        alice.order("buy", 1, "121.3"),
        alice.order("sell", 1_000, 101) | {"time_in_force": "gtd", "expires_at": "2020-01-01T00:00:00Z"},
        alice.order("sell", 0, 101),
    ]
    for number, body in enumerate(refused):
        await alice.cannot(**body, client_order_id=f"refused-{number}")
        assert await alice.refusal_of(alice.looks_up_by_client_id(f"refused-{number}")) == "order_not_found"
    assert await alice.orders() == []
    assert await alice.base() == Balance(available=1_000, held=0)
    assert await alice.quote() == Balance(available=1_000_000, held=0)
    assert (await market.book())["seq"] == before, "the matcher never heard of them"
    assert await market.trades() == []


@rule("refusal-is-conclusive", "guard-too-many-open-orders")
@listed(max_open_orders=3)
async def test_what_the_matcher_refuses_is_rejected_for_good(market: Market, alice: Trader, bob: Trader) -> None:
    results = await alice.batches(*[{"op": "place", **alice.order("buy", 1, 99)}] * 6)
    promised = [result["answer"]["order_id"] for result in results if result["http_status"] == 202]
    refused = [result["problem"]["code"] for result in results if result["http_status"] != 202]
    orders = [await alice.hears_of(order_id) for order_id in promised]
    rejected = [order for order in orders if not order.is_open]
    assert len(orders) - len(rejected) == 3
    assert {order.ending for order in rejected} <= {("rejected", "too_many_open_orders")}
    assert set(refused) <= {"too_many_open_orders"}
    assert await alice.quote() == Balance(available=1_000_000 - 297, held=297)
    assert (await bob.sells(6, at=99)).filled == 3
    assert [await alice.looks_up(order) for order in rejected] == rejected


@rule("guard-halted-symbol", "status-halted")
async def test_a_halted_symbol_takes_cancels_only(market: Market, alice: Trader, bob: Trader) -> None:
    order = await alice.sells(1, at=100)
    await market.becomes("halted")
    assert await bob.cannot_buy(1, at=100) == "symbol_halted"
    assert await alice.cannot_amend(order, quantity="0.5") == "symbol_halted"
    assert (await alice.cancels(order)).status == "canceled"
    assert await market.trades() == [] and await bob.holds_nothing()
    await market.becomes("trading")
    assert (await bob.buys(1, at=100)).status == "open"


@rule("status-cancel-only", "guard-halted-symbol")
async def test_in_cancel_only_nothing_is_placed_and_nothing_amended(market: Market, alice: Trader, bob: Trader) -> None:
    orders = [await alice.sells(1, at=100), await alice.sells(1, type="stop", trigger_price=90)]
    await market.becomes("cancel_only")
    assert await bob.cannot_buy(1, at=100) == "symbol_halted"
    assert await alice.cannot_amend(orders[0], price=101) == "symbol_halted"
    ended = await alice.cancels_all(orders=orders)
    assert {order.status for order in ended} == {"canceled"}
    await market.shows(asks=[])


@rule("status-by-journal")
async def test_only_an_operator_changes_the_status_and_the_journal_knows(market: Market, alice: Trader) -> None:
    path = f"/admin/symbols/{market.symbol}/status"
    assert await alice.refusal_of(alice.call("POST", path, {"status": "halted"})) == "forbidden"
    order = await alice.sells(1, at=100)
    await market.becomes("halted")
    canceled = await alice.cancels(order)
    assert canceled.seq == order.seq + 2, "between them stands the change of status"


@rule("status-halted")
async def test_what_a_halt_finds_triggered_fires_when_it_ends(
    market: Market, alice: Trader, bob: Trader, carol: Trader
) -> None:
    await market.becomes("halted")
    assert await alice.cannot_sell(1, type="stop", trigger_price=95) == "symbol_halted"
    await market.becomes("trading")
    await bob.buys(1, at=95)
    await bob.buys(1, at=94)
    stop = await alice.sells(1, type="stop", trigger_price=95)
    assert (await carol.sells(1, at=95)).traded == [(95, Decimal(1))]
    assert (await alice.looks_up(stop)).traded == [(94, 1)]
