"""Icebergs: what they show, and that each refill goes to the back of its level."""

from exchange_core.events import TradeExecuted
from exchange_core.orders import OrderStatus, TimeInForce
from tests.unit.core.room import BUY, SELL, Room, endings, trades


def test_an_iceberg_shows_its_display_and_holds_for_all_of_it() -> None:
    room = Room()
    room.place("ann", SELL, 10, 100, display_quantity=3)
    assert room.asks() == [(100, 3)] and room.auditor.held("ann", "BTC") == 100


def test_each_refill_goes_to_the_back_of_its_level() -> None:
    room = Room()
    iceberg = room.place("ann", SELL, 7, 100, display_quantity=3)[0].cause
    plain = room.place("ben", SELL, 4, 100)[0].cause
    events = room.place("cas", BUY, 11, 100)
    fills = [(event.maker_order_id, event.quantity) for event in events if isinstance(event, TradeExecuted)]
    assert fills == [(iceberg, 3), (plain, 4), (iceberg, 3), (iceberg, 1)]
    assert [order_id for order_id, _, _ in endings(events)] == [plain, iceberg, events[0].cause]
    assert room.asks() == []


def test_what_is_shown_survives_a_restart() -> None:
    room = Room()
    room.place("ann", SELL, 7, 100, display_quantity=3)
    room.place("ben", SELL, 4, 100)
    room.place("cas", BUY, 2, 100)
    room.restart()
    assert room.asks() == [(100, 5)]
    assert trades(room.place("cas", BUY, 6, 100)) == [(100, 1), (100, 4), (100, 1)]


def test_an_iceberg_that_took_rests_with_a_full_display() -> None:
    room = Room()
    room.place("ann", SELL, 2, 100)
    room.place("ben", BUY, 10, 100, display_quantity=4)
    assert room.bids() == [(100, 4)]
    room.restart()
    assert room.bids() == [(100, 4)]


def test_fill_or_kill_counts_what_icebergs_hide_but_not_behind_ones_own_order() -> None:
    room = Room()
    room.place("ann", SELL, 6, 100, display_quantity=2)
    assert endings(room.place("ben", BUY, 6, 100, time_in_force=TimeInForce.FOK))[-1][1] is OrderStatus.FILLED
    room.place("ann", SELL, 6, 100, display_quantity=2)
    room.place("ben", SELL, 1, 100)
    assert endings(room.place("ben", BUY, 3, 100, time_in_force=TimeInForce.FOK))[-1][1] is OrderStatus.EXPIRED
    assert room.asks() == [(100, 3)]


def test_a_smaller_iceberg_keeps_its_place_and_shows_no_more_than_it_has() -> None:
    room = Room()
    order_id = room.place("ann", SELL, 6, 100, display_quantity=4)[0].cause
    room.amend("ann", order_id, quantity=2)
    assert room.asks() == [(100, 2)]
    room.close_slot()
