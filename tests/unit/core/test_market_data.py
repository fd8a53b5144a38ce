"""The JSON that clients see: exact numbers, ISO times."""

import json
from decimal import Decimal

import pytest

from exchange_core.events import TradeExecuted
from exchange_core.market_data import order_book_message, price_message, timestamp_text, trade_message
from tests.unit.core.room import BUY, SELL, Room, listed

INSTRUMENT = listed(
    symbol="BTCUSDT",
    quote="USDT",
    base_decimals=8,
    quote_decimals=8,
    tick_size=Decimal("0.01"),
    lot_size=Decimal("0.0001"),
)
AT_MS = 1_771_322_400_000


@pytest.mark.parametrize(
    ("at_ms", "text"),
    [(AT_MS, "2026-02-17T10:00:00Z"), (AT_MS + 7, "2026-02-17T10:00:00.007Z"), (0, "1970-01-01T00:00:00Z")],
)
def test_a_time_has_a_fraction_only_if_it_needs_one(at_ms: int, text: str) -> None:
    assert timestamp_text(at_ms) == text


def test_a_trade_is_told_in_the_documented_form() -> None:
    room = Room()
    room.place("ann", SELL, 5, 100)
    [trade] = [event for event in room.place("ben", BUY, 5, 100) if isinstance(event, TradeExecuted)]
    message = trade_message(trade, INSTRUMENT, AT_MS)
    assert b'"price":1,' in message and b'"quantity":0.0005,' in message
    assert json.loads(message) == {
        "event": "trade",
        "symbol": "BTCUSD",
        "price": 1,
        "quantity": 0.0005,
        "timestamp": "2026-02-17T10:00:00Z",
        "seq": trade.seq,
        "trade_id": 1,
        "taker_side": "buy",
    }


def test_the_cached_book_and_price_are_exact() -> None:
    book = order_book_message(INSTRUMENT, 9, AT_MS, [(5_000_000, 5_000)], [(5_000_001, 1), (5_000_100, 20_000)])
    assert b'"bids":[[50000,0.5]],"asks":[[50000.01,0.0001],[50001,2]]' in book
    assert json.loads(book)["seq"] == 9
    price = price_message(INSTRUMENT, 9, AT_MS, 5_000_000, 5_000)
    assert json.loads(price) == {
        "symbol": "BTCUSDT",
        "price": 50_000,
        "quantity": 0.5,
        "seq": 9,
        "timestamp": "2026-02-17T10:00:00Z",
    }
