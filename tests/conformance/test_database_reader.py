"""What the gateway reads from the database, after a short history of one symbol."""

from dataclasses import dataclass, replace

import pytest

from exchange_core.candles import DAY_MS, Candle, CandleInterval, Ticker
from exchange_core.commands import CASH_DESK
from exchange_core.events import (
    CommandRefused,
    FundsDeposited,
    FundsWithdrawn,
    OrderAmended,
    OrderDecremented,
    OrderDone,
    OrderTriggered,
    SymbolStatusChanged,
)
from exchange_core.instruments import SymbolStatus
from exchange_core.ledger import PostingKind
from exchange_core.orders import OrderStatus, OrderType, Reason, SelfTradePrevention, Side, TimeInForce
from exchange_core.outcomes import CommandOutcome
from exchange_core.ports import FillView, OrderView, TradeView
from tests.conformance.execution_story import FIRST_AT_MS, STEP_MS, Story, instrument, slot
from tests.conformance.world import World

PRICE = 5_000_000
QUOTE_PER_LOT = PRICE * 100


@dataclass(frozen=True, slots=True)
class Told:
    """A history that is in the database: maker 1 sells 10, takers 2 and 3 buy 4 and 6, order 4 rests, 5 is rejected."""

    symbol: str
    partition: int
    base_id: int
    maker: str
    taker: str


@pytest.fixture
async def told(world: World) -> Told:
    partition, maker, taker = world.partition(), world.fresh("maker"), world.fresh("taker")
    story = Story(world.symbol(), partition, 6_000_000_000_000_000 + partition * 1_000)
    slots = [
        slot(partition, 1, story.listed(), story.accepted(1, maker, Side.SELL, PRICE, 10)),
        slot(
            partition,
            2,
            story.accepted(2, taker, Side.BUY, PRICE, 4),
            story.trade(1, (1, maker), (2, taker), Side.BUY, PRICE, 4),
            story.done(2, taker, Side.BUY, OrderStatus.FILLED, Reason.FILLED, 4),
        ),
        slot(
            partition,
            3,
            story.accepted(3, taker, Side.BUY, PRICE + 5, 8),
            story.trade(2, (1, maker), (3, taker), Side.BUY, PRICE, 6),
            story.done(1, maker, Side.SELL, OrderStatus.FILLED, Reason.FILLED, 10),
        ),
        slot(
            partition,
            4,
            story.accepted(4, maker, Side.SELL, PRICE + 100, 1, post_only=True, expires_at_ms=FIRST_AT_MS * 2),
            story.rejected(5, taker, PRICE, 1, Reason.SYMBOL_HALTED),
        ),
    ]
    async with world.projections.begin(partition) as projection:
        await projection.record(slots)
    return Told(story.symbol, partition, story.base_id, maker, taker)


async def record(world: World, told: Told, *slots) -> None:
    async with world.projections.begin(told.partition) as projection:
        await projection.record(slots)


def numbers(told: Told, orders) -> list[int]:
    return [order.order_id - told.base_id for order in orders]


async def test_an_order_shows_its_terms_and_its_fills(world, told):
    assert await world.reader.order(told.maker, told.base_id + 1) == OrderView(
        order_id=told.base_id + 1,
        client_order_id="client-1",
        user_id=told.maker,
        symbol=told.symbol,
        side=Side.SELL,
        order_type=OrderType.LIMIT,
        time_in_force=TimeInForce.GTC,
        price=PRICE,
        quantity=10,
        quote_quantity=None,
        trigger_price=None,
        display_quantity=None,
        expires_at_ms=None,
        post_only=False,
        self_trade_prevention=SelfTradePrevention.CANCEL_TAKER,
        filled_quantity=10,
        filled_quote=10 * QUOTE_PER_LOT,
        fee=6,
        status=OrderStatus.FILLED,
        reason=Reason.FILLED,
        seq=8,
        created_at_ms=FIRST_AT_MS + 1,
        updated_at_ms=FIRST_AT_MS + 3 * STEP_MS,
    )


async def test_what_a_run_changed_is_told_as_it_is_read_later(world, told):
    story = Story(told.symbol, told.partition, told.base_id)
    story.seq = 20
    slots = [
        slot(told.partition, 5, story.accepted(7, told.maker, Side.SELL, PRICE, 5)),
        slot(told.partition, 6, story.trade(3, (7, told.maker), (3, told.taker), Side.BUY, PRICE, 2)),
    ]
    async with world.projections.begin(told.partition) as projection:
        await projection.record(slots)
        changed = {order.order_id - told.base_id: order for order in projection.orders}
    assert changed.keys() == {3, 7}
    assert changed[3].filled_quantity == 8 and changed[7].filled_quantity == 2
    assert changed[7] == await world.reader.order(told.maker, told.base_id + 7)
    assert changed[3] == await world.reader.order(told.taker, told.base_id + 3)


async def test_orders_show_where_they_stand(world, told):
    stands = {}
    for user_id in (told.maker, told.taker):
        for order in await world.reader.orders(user_id, symbol=None, open_only=False, before_order_id=None, limit=10):
            stands[order.order_id - told.base_id] = (order.status, order.reason, order.filled_quantity, order.fee)
    assert stands == {
        1: (OrderStatus.FILLED, Reason.FILLED, 10, 6),
        2: (OrderStatus.FILLED, Reason.FILLED, 4, 7),
        3: (OrderStatus.PARTIALLY_FILLED, None, 6, 7),
        4: (OrderStatus.OPEN, None, 0, 0),
        5: (OrderStatus.REJECTED, Reason.SYMBOL_HALTED, 0, 0),
    }


async def test_an_order_is_found_by_the_clients_id(world, told):
    order = await world.reader.order_by_client_id(told.maker, "client-4")
    assert (order.order_id, order.post_only, order.expires_at_ms) == (told.base_id + 4, True, FIRST_AT_MS * 2)
    assert await world.reader.order_by_client_id(told.taker, "client-4") is None


async def test_somebody_elses_order_is_not_found(world, told):
    assert await world.reader.order(told.taker, told.base_id + 1) is None
    assert await world.reader.order(told.maker, told.base_id + 99) is None


async def test_orders_come_newest_first_and_can_be_filtered_and_paged(world, told):
    async def orders(symbol=None, open_only=False, before=None, limit=10):
        found = await world.reader.orders(
            told.taker, symbol=symbol, open_only=open_only, before_order_id=before, limit=limit
        )
        return numbers(told, found)

    assert await orders() == [5, 3, 2]
    assert await orders(limit=2) == [5, 3]
    assert await orders(before=told.base_id + 3) == [2]
    assert await orders(open_only=True) == [3]
    assert await orders(symbol=told.symbol) == [5, 3, 2]
    assert await orders(symbol="NOSUCHSYMBOL") == []


async def test_fills_show_a_users_own_side(world, told):
    fills = await world.reader.fills(told.maker, symbol=None, order_id=None, before=None, limit=10)
    expected = FillView(
        symbol=told.symbol,
        trade_id=2,
        order_id=told.base_id + 1,
        side=Side.SELL,
        is_maker=True,
        price=PRICE,
        quantity=6,
        fee=3,
        fee_asset="USDT",
        seq=7,
        at_ms=FIRST_AT_MS + 3 * STEP_MS,
    )
    assert list(fills) == [
        expected,
        replace(expected, trade_id=1, quantity=4, seq=4, at_ms=FIRST_AT_MS + 2 * STEP_MS),
    ]


async def test_fills_can_be_filtered_and_paged(world, told):
    async def trade_ids(symbol=None, order_id=None, before=None, limit=10):
        found = await world.reader.fills(told.taker, symbol=symbol, order_id=order_id, before=before, limit=limit)
        assert all((fill.side, fill.fee_asset, fill.fee) == (Side.BUY, "BTC", 7) for fill in found)
        return [fill.trade_id for fill in found]

    assert await trade_ids() == [2, 1]
    assert await trade_ids(limit=1) == [2]
    assert await trade_ids(order_id=told.base_id + 2) == [1]
    assert await trade_ids(before=(FIRST_AT_MS + 3 * STEP_MS, told.symbol, 2)) == [1]
    assert await trade_ids(symbol="NOSUCHSYMBOL") == []


async def test_trades_are_everybodys_newest_first(world, told):
    newest = TradeView(
        symbol=told.symbol,
        trade_id=2,
        price=PRICE,
        quantity=6,
        taker_side=Side.BUY,
        seq=7,
        at_ms=FIRST_AT_MS + 3 * STEP_MS,
    )
    oldest = replace(newest, trade_id=1, quantity=4, seq=4, at_ms=FIRST_AT_MS + 2 * STEP_MS)
    assert list(await world.reader.trades(told.symbol, before_trade_id=None, limit=10)) == [newest, oldest]
    assert list(await world.reader.trades(told.symbol, before_trade_id=None, limit=1)) == [newest]
    assert list(await world.reader.trades(told.symbol, before_trade_id=2, limit=10)) == [oldest]
    assert list(await world.reader.trades("NOSUCHSYMBOL", before_trade_id=None, limit=10)) == []


async def test_candles_are_found_by_their_span(world, told):
    at_ms = FIRST_AT_MS + 2 * STEP_MS
    second = Candle(
        symbol=told.symbol,
        interval=CandleInterval.SECOND,
        open_at_ms=at_ms,
        open=PRICE,
        high=PRICE,
        low=PRICE,
        close=PRICE,
        base_volume=4,
        quote_volume=4 * QUOTE_PER_LOT,
        trade_count=1,
        seq=4,
    )
    later = replace(
        second, open_at_ms=at_ms + STEP_MS, base_volume=6, quote_volume=6 * QUOTE_PER_LOT, trade_count=1, seq=7
    )

    async def candles(interval=CandleInterval.SECOND, from_ms=0, to_ms=2**62, limit=10):
        return list(await world.reader.candles(told.symbol, interval, from_ms=from_ms, to_ms=to_ms, limit=limit))

    assert await candles() == [second, later]
    assert await candles(from_ms=at_ms, to_ms=at_ms + STEP_MS) == [second]
    assert await candles(from_ms=at_ms + 1) == [later]
    assert await candles(limit=1) == [second]
    (day,) = await candles(CandleInterval.DAY)
    assert (day.base_volume, day.quote_volume, day.trade_count, day.seq) == (10, 10 * QUOTE_PER_LOT, 2, 7)
    assert await world.reader.candle_before(told.symbol, CandleInterval.SECOND, at_ms + STEP_MS) == second
    assert await world.reader.candle_before(told.symbol, CandleInterval.SECOND, at_ms) is None
    assert await world.reader.candle_before("NOSUCHSYMBOL", CandleInterval.SECOND, 2**62) is None


async def test_a_ticker_sums_up_24_hours(world, told):
    ticker = Ticker(
        symbol=told.symbol,
        last=PRICE,
        last_quantity=6,
        open=PRICE,
        high=PRICE,
        low=PRICE,
        base_volume=10,
        quote_volume=10 * QUOTE_PER_LOT,
        trade_count=2,
        seq=7,
        at_ms=FIRST_AT_MS + 3 * STEP_MS,
    )
    symbols = ["NOSUCHSYMBOL", told.symbol]
    for source in (world.reader, world.projections):
        assert list(await source.tickers(symbols, FIRST_AT_MS + 4 * STEP_MS)) == [ticker]
        quiet = replace(ticker, base_volume=0, quote_volume=0, trade_count=0)
        assert list(await source.tickers(symbols, FIRST_AT_MS + DAY_MS + 60_000)) == [quiet]
    # AND a trade on the next day moves the first ones out, minute by minute
    story = Story(told.symbol, told.partition, told.base_id)
    story.seq = 20
    dear = replace(
        slot(
            told.partition,
            5,
            story.accepted(6, told.taker, Side.BUY, PRICE + 100, 1),
            story.trade(3, (4, told.maker), (6, told.taker), Side.BUY, PRICE + 100, 1),
        ),
        at_ms=FIRST_AT_MS + DAY_MS,
    )
    await record(world, told, dear)
    (now,) = await world.reader.tickers([told.symbol], FIRST_AT_MS + DAY_MS - 60_000)
    assert (now.open, now.high, now.low, now.last, now.trade_count) == (PRICE, PRICE + 100, PRICE, PRICE + 100, 3)
    (then,) = await world.reader.tickers([told.symbol], FIRST_AT_MS + DAY_MS + 60_000)
    assert (then.open, then.low, then.trade_count, then.seq) == (PRICE + 100, PRICE + 100, 1, 22)


async def test_the_ledger_shows_a_users_own_side_newest_first(world, told):
    async def lines(user_id=told.maker, asset=None, symbol=None, before=None, limit=20):
        return list(await world.reader.ledger(user_id, asset=asset, symbol=symbol, before=before, limit=limit))

    whole = await lines()
    assert [entry.place for entry in whole] == sorted([entry.place for entry in whole], reverse=True)
    assert [(entry.kind, entry.asset, entry.available, entry.held) for entry in whole[:3]] == [
        (PostingKind.TRADE, "USDT", 6 * QUOTE_PER_LOT - 3, 0),
        (PostingKind.FEE, "BTC", 0, -7),
        (PostingKind.TRADE, "BTC", 0, -(6 * 10_000 - 7)),
    ]
    assert {entry.trade_id for entry in whole} == {1, 2}
    assert all((entry.symbol, entry.order_id, entry.transfer_id) == (told.symbol, 0, "") for entry in whole)
    assert await lines(limit=2) == whole[:2]
    assert await lines(before=whole[1].place) == whole[2:]
    assert await lines(asset="BTC") == [entry for entry in whole if entry.asset == "BTC"]
    assert await lines(symbol="NOSUCHSYMBOL") == []
    assert await lines(user_id="nobody") == []
    # AND what a release and a deposit are about
    story = Story(told.symbol, told.partition, told.base_id)
    story.seq = 20
    deposit = FundsDeposited(
        seq=1, symbol=CASH_DESK, cause=told.base_id + 90, user_id=told.maker, asset="BTC", amount=5,
        transfer_id="wire-1", operator_id="operator",
    )  # fmt: skip
    ended = story.done(4, told.maker, Side.SELL, OrderStatus.CANCELED, Reason.USER_CANCELED, 0, released=9)
    await record(world, told, slot(told.partition, 5, ended, deposit))
    paid_in, released = (await lines())[:2]
    assert (paid_in.kind, paid_in.available, paid_in.transfer_id) == (PostingKind.DEPOSIT, 5, "wire-1")
    assert (released.available, released.held, released.order_id) == (9, -9, told.base_id + 4)


async def test_outcomes_are_found_by_command(world, told):
    head = {"symbol": told.symbol, "user_id": told.maker}
    operator = {"operator_id": world.fresh("operator"), "cause": told.base_id + 72}
    canceled = OrderDone(
        **head, seq=11, cause=told.base_id + 70, order_id=told.base_id + 4, side=Side.SELL,
        status=OrderStatus.CANCELED, reason=Reason.USER_CANCELED, filled_quantity=0, released=0,
    )  # fmt: skip
    refused = CommandRefused(
        **head, seq=12, cause=told.base_id + 71, order_id=told.base_id + 4, reason=Reason.ORDER_CLOSED, command="amend"
    )
    status = SymbolStatusChanged(seq=13, symbol=told.symbol, status=SymbolStatus.HALTED, **operator)
    await record(world, told, slot(told.partition, 5, canceled, refused, status))
    wanted = [told.base_id + number for number in (70, 71, 72, 73)]
    found = {outcome.command_id: outcome for outcome in await world.reader.outcomes(wanted)}
    assert found.keys() == set(wanted[:3])
    assert found[wanted[0]] == CommandOutcome(
        command_id=wanted[0],
        user_id=told.maker,
        command="cancel",
        symbol=told.symbol,
        order_id=told.base_id + 4,
        order_count=1,
        reason=None,
        seq=11,
        at_ms=FIRST_AT_MS + 5 * STEP_MS,
    )
    assert (found[wanted[1]].command, found[wanted[1]].reason) == ("amend", Reason.ORDER_CLOSED)
    assert (found[wanted[2]].command, found[wanted[2]].user_id) == ("status", operator["operator_id"])
    # AND a command that comes twice keeps its first outcome
    await record(world, told, slot(told.partition, 6, replace(refused, seq=14, cause=wanted[0])))
    (first,) = await world.reader.outcomes(wanted[:1])
    assert first.reason is None


async def test_operators_commands_are_kept_newest_first(world, told):
    operator_id = world.fresh("operator")
    head = {"operator_id": operator_id, "symbol": CASH_DESK, "user_id": told.maker, "asset": "BTC"}
    paid_in = FundsDeposited(**head, seq=1, cause=told.base_id + 80, amount=5, transfer_id="wire-1")
    paid_out = FundsWithdrawn(**head, seq=2, cause=told.base_id + 81, amount=4, transfer_id="wire-2")
    refused = CommandRefused(
        **head, seq=3, cause=told.base_id + 82, order_id=0, reason=Reason.INVALID, detail="wire-3", command="deposit"
    )
    halted = SymbolStatusChanged(
        seq=11, symbol=told.symbol, cause=told.base_id + 83, status=SymbolStatus.HALTED, operator_id=operator_id
    )
    await record(world, told, slot(told.partition, 5, paid_in, paid_out), slot(told.partition, 6, refused, halted))

    async def log(before=None, limit=10, operator_id=operator_id):
        return list(await world.reader.operator_commands(operator_id=operator_id, before=before, limit=limit))

    whole = await log()
    assert [(one.command, one.symbol, one.reason) for one in whole] == [
        ("status", told.symbol, None),
        ("deposit", CASH_DESK, Reason.INVALID),
        ("withdraw", CASH_DESK, None),
        ("deposit", CASH_DESK, None),
    ]
    assert [one.detail for one in whole] == [
        {"status": "halted"},
        {"transfer_id": "wire-3"},
        {"user_id": told.maker, "asset": "BTC", "amount": 4, "transfer_id": "wire-2"},
        {"user_id": told.maker, "asset": "BTC", "amount": 5, "transfer_id": "wire-1"},
    ]
    assert await log(limit=1) == whole[:1]
    assert await log(before=(whole[1].at_ms, whole[1].command_id)) == whole[2:]
    assert [one for one in await log(operator_id=None, limit=1000) if one.operator_id == operator_id] == whole


async def test_open_orders_are_counted_no_further_than_asked(world, told):
    assert await world.reader.open_order_count(told.maker, told.symbol, 10) == 1
    assert await world.reader.open_order_count(told.taker, told.symbol, 10) == 1
    assert await world.reader.open_order_count(told.taker, "NOSUCHSYMBOL", 10) == 0
    story = Story(told.symbol, told.partition, told.base_id)
    story.seq = 20
    more = [story.accepted(number, told.maker, Side.SELL, PRICE + 100, 1) for number in (6, 7, 8)]
    await record(world, told, slot(told.partition, 5, *more))
    assert await world.reader.open_order_count(told.maker, told.symbol, 10) == 4
    assert await world.reader.open_order_count(told.maker, told.symbol, 2) == 2


async def test_instruments_show_their_present_status(world, told):
    change = SymbolStatusChanged(
        seq=11, symbol=told.symbol, cause=1, status=SymbolStatus.CANCEL_ONLY, operator_id="operator"
    )
    await record(world, told, slot(told.partition, 5, change))
    listed = {one.symbol: one for one in await world.reader.instruments()}
    expected = replace(instrument(told.symbol, told.partition), status=SymbolStatus.CANCEL_ONLY)
    assert listed[told.symbol] == expected
    assert list(listed) == sorted(listed)


async def test_later_slots_change_an_order_that_came_earlier(world, told):
    head = {"symbol": told.symbol, "cause": 1, "order_id": told.base_id + 3, "user_id": told.taker}
    side = {"side": Side.BUY}
    amended = OrderAmended(
        **head, **side, seq=11, price=PRICE - 1, quantity=20, hold=7, taken=7, released=0, keeps_priority=False
    )
    await record(
        world,
        told,
        slot(told.partition, 5, amended, OrderDecremented(**head, **side, seq=12, quantity=3, released=1)),
        slot(told.partition, 6, OrderTriggered(**head, seq=13)),
    )
    order = await world.reader.order(told.taker, told.base_id + 3)
    assert (order.price, order.quantity, order.filled_quantity) == (PRICE - 1, 17, 6)
    assert (order.status, order.seq) == (OrderStatus.PARTIALLY_FILLED, 13)
    assert order.updated_at_ms == FIRST_AT_MS + 6 * STEP_MS


async def test_a_user_who_trades_with_himself_sees_both_sides(world):
    partition, user_id = world.partition(), world.fresh("user")
    story = Story(world.symbol(), partition, 6_500_000_000_000_000 + partition * 1_000)
    slots = [
        slot(
            partition,
            1,
            story.listed(),
            story.accepted(1, user_id, Side.SELL, PRICE, 1),
            story.accepted(2, user_id, Side.BUY, PRICE, 1),
            story.trade(1, (1, user_id), (2, user_id), Side.BUY, PRICE, 1),
        )
    ]
    async with world.projections.begin(partition) as projection:
        await projection.record(slots)
    fills = await world.reader.fills(user_id, symbol=None, order_id=None, before=None, limit=10)
    assert sorted((fill.side, fill.is_maker, fill.fee_asset) for fill in fills) == [
        (Side.BUY, False, "BTC"),
        (Side.SELL, True, "USDT"),
    ]
