"""Market orders by quantity, at a protection price, and by budget."""

import pytest

from exchange_core.events import OrderAccepted, OrderDone, TradeExecuted
from exchange_core.holds import required_hold
from exchange_core.orders import OrderStatus, OrderType, Reason, Side, TimeInForce
from tests.unit.core.room import BUY, SELL, Room, endings, trades

MARKET = {"order_type": OrderType.MARKET, "time_in_force": TimeInForce.IOC}


def test_a_market_order_takes_up_to_its_protection_price_and_never_rests() -> None:
    room = Room()
    for price in (100, 105, 111):
        room.place("ann", SELL, 2, price)
    events = room.place("ben", BUY, 6, 110, **MARKET)
    assert trades(events) == [(100, 2), (105, 2)]
    assert endings(events)[-1][1:] == (OrderStatus.EXPIRED, Reason.PRICE_BAND)
    assert room.bids() == [] and room.asks() == [(111, 2)]
    assert room.auditor.held("ben", "USD") == 0


def test_a_market_order_into_an_empty_book_expires_for_want_of_anybody() -> None:
    room = Room()
    events = room.place("ben", SELL, 6, 90, **MARKET)
    assert endings(events) == [(events[0].cause, OrderStatus.EXPIRED, Reason.NO_LIQUIDITY)]
    assert room.asks() == []


def test_a_market_order_that_gets_all_it_wants_is_filled() -> None:
    room = Room()
    room.place("ann", BUY, 6, 100)
    events = room.place("ben", SELL, 6, 90, **MARKET)
    assert endings(events)[-1][1:] == (OrderStatus.FILLED, Reason.FILLED)


def test_buying_for_a_budget_spends_at_most_that_in_whole_lots() -> None:
    room = Room()
    room.place("ann", SELL, 2, 100)
    room.place("ann", SELL, 5, 110)
    events = room.place("ben", BUY, None, None, quote_quantity=1_400, **MARKET)
    assert trades(events) == [(100, 2), (110, 2)]  # 600 + 660; the 140 left do not buy a lot at 330
    done = events[-1]
    assert isinstance(done, OrderDone)
    assert (done.status, done.reason, done.released, done.filled_quantity) == (
        OrderStatus.FILLED,
        Reason.BUDGET_SPENT,
        140,
        4,
    )
    assert all(event.taker_release == 0 for event in events if isinstance(event, TradeExecuted))


def test_a_budget_that_does_not_buy_a_lot_expires_whole() -> None:
    room = Room()
    room.place("ann", SELL, 2, 100)
    events = room.place("ben", BUY, None, None, quote_quantity=299, **MARKET)
    assert endings(events) == [(events[0].cause, OrderStatus.EXPIRED, Reason.BUDGET_SPENT)]
    assert room.auditor.available("ben", "USD") == 299


def test_a_budget_outlives_the_book() -> None:
    room = Room()
    room.place("ann", SELL, 2, 100)
    events = room.place("ben", BUY, None, None, quote_quantity=5_000, **MARKET)
    done = events[-1]
    assert isinstance(done, OrderDone)
    assert (done.status, done.reason, done.released) == (OrderStatus.EXPIRED, Reason.NO_LIQUIDITY, 4_400)


def test_selling_for_a_budget_raises_at_most_that_and_gives_the_lots_back_that_it_did_not_need() -> None:
    room = Room()
    room.place("ann", BUY, 2, 120)
    room.place("ann", BUY, 5, 100)
    order = room.order("ben", SELL, None, 90, quote_quantity=1_350, **MARKET)
    assert order.hold == 1_350 // (90 * 3) * 10 == required_hold(order, room.instrument)
    room.hold("ben", "BTC", order.hold)
    events = room.send(order)
    assert trades(events) == [(120, 2), (100, 2)]  # 720 + 600; 30 more is no whole lot
    done = events[-1]
    assert isinstance(done, OrderDone)
    assert (done.status, done.reason, done.released) == (OrderStatus.FILLED, Reason.BUDGET_SPENT, 10)


def test_selling_for_a_budget_at_the_protection_price_sells_all_it_holds() -> None:
    room = Room()
    room.place("ann", BUY, 9, 90)
    events = room.place("ben", SELL, None, 90, quote_quantity=1_000, **MARKET)
    assert trades(events) == [(90, 3)]
    assert endings(events)[-1][1:] == (OrderStatus.FILLED, Reason.FILLED)


@pytest.mark.parametrize("side", Side)
def test_a_taker_stops_at_the_band_around_the_last_trade(side: Side) -> None:
    room = Room(band_bps=1_000)
    room.place("ann", BUY, 1, 100)
    room.place("ben", SELL, 1, 100)
    for price in (100, 110, 111) if side is BUY else (100, 90, 89):
        room.place("ann", side.opposite, 1, price)
    events = room.place("ben", side, 3, 200 if side is BUY else 1)
    assert trades(events) == ([(100, 1), (110, 1)] if side is BUY else [(100, 1), (90, 1)])
    assert endings(events)[-1] == (events[0].cause, OrderStatus.EXPIRED, Reason.PRICE_BAND)


def test_without_a_trade_the_band_is_around_the_best_opposite_price() -> None:
    room = Room(band_bps=1_000, reference_price=1_000)
    room.place("ann", SELL, 1, 100)
    room.place("ann", SELL, 1, 111)
    events = room.place("ben", BUY, None, None, quote_quantity=3_000, **MARKET)
    assert trades(events) == [(100, 1)]
    assert endings(events)[-1][1:] == (OrderStatus.EXPIRED, Reason.PRICE_BAND)


def test_an_order_trades_with_a_bounded_number_of_others() -> None:
    room = Room(max_open_orders=1_000)
    for _ in range(501):
        room.place("ann", SELL, 1, 100)
    events = room.place("ben", BUY, 501, 100)
    assert len(trades(events)) == 500
    assert endings(events)[-1] == (events[0].cause, OrderStatus.EXPIRED, Reason.FILL_LIMIT)
    assert room.asks() == [(100, 1)] and room.bids() == []


def test_market_orders_leave_their_terms_in_the_journal() -> None:
    room = Room()
    accepted = room.place("ben", BUY, None, None, quote_quantity=500, client_order_id="c-7", trace_id="t-7", **MARKET)[
        0
    ]
    assert isinstance(accepted, OrderAccepted)
    assert (accepted.quote_quantity, accepted.client_order_id, accepted.trace_id) == (500, "c-7", "t-7")
    room.close_slot()
