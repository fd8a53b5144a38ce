"""The JSON that clients see: exact numbers, ISO times."""

import binascii
import json
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exchange_core.events import TradeExecuted
from exchange_core.market_data import (
    Level,
    book_checksum,
    changed_levels,
    depth_message,
    order_book_message,
    price_message,
    timestamp_text,
    trade_message,
    written_levels,
)
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


sides = st.dictionaries(st.integers(1, 10**7), st.integers(1, 10**9), max_size=30).map(
    lambda side: sorted(side.items())
)


@given(before=sides, after=sides)
def test_the_changed_levels_lead_from_one_side_to_the_next_and_name_nothing_else(
    before: list[Level], after: list[Level]
) -> None:
    changes = changed_levels(before, after)
    assert len({price for price, _ in changes}) == len(changes)
    assert not set(changes) & set(before), "what stands as it stood is not told again"
    side = dict(before)
    for price, quantity in changes:
        if quantity:
            side[price] = quantity
        else:
            del side[price]
    assert sorted(side.items()) == sorted(after)


def naive_checksum(book: dict[str, list[list[str]]]) -> int:
    """Kraken's rule said another way: digits one by one, and a CRC that is fed piece by piece."""
    crc = 0
    for side in ("asks", "bids"):
        for level in book[side][:10]:
            for number in level:
                digits = [digit for digit in number if digit != "."]
                while digits and digits[0] == "0":
                    digits.pop(0)
                crc = binascii.crc32("".join(digits).encode("ascii"), crc)
    return crc & 0xFFFFFFFF


@given(bids=sides, asks=sides)
def test_the_checksum_of_a_diff_is_that_of_the_cached_book(bids: list[Level], asks: list[Level]) -> None:
    cached = json.loads(order_book_message(INSTRUMENT, 9, AT_MS, bids, asks), parse_float=str, parse_int=str)
    diff = depth_message(INSTRUMENT, seq=9, prev_seq=7, at_ms=AT_MS, before=([], []), after=(bids, asks))
    assert json.loads(diff)["checksum"] == naive_checksum(cached)


def test_the_checksum_of_a_known_book() -> None:
    asks = [("50000.01", "0.0001"), ("0.07", "2")]
    assert book_checksum([("50000", "0.5")], asks) == binascii.crc32(b"5000001172500005")
    assert book_checksum([], []) == 0


def test_a_depth_diff_is_told_in_the_documented_form() -> None:
    before = ([(5_000_000, 5_000), (4_999_900, 1)], [(5_000_001, 1)])
    after = ([(5_000_000, 4_000)], [(5_000_001, 1), (5_000_100, 20_000)])
    message = depth_message(INSTRUMENT, seq=9, prev_seq=7, at_ms=AT_MS, before=before, after=after)
    assert b'"bids":[[50000,0.4],[49999,0]],"asks":[[50001,2]],' in message
    assert json.loads(message) == {
        "event": "depth",
        "symbol": "BTCUSDT",
        "seq": 9,
        "prev_seq": 7,
        "timestamp": "2026-02-17T10:00:00Z",
        "bids": [[50_000, 0.4], [49_999, 0]],
        "asks": [[50_001, 2]],
        "checksum": binascii.crc32(b"50000011500012500004"),
    }


def test_a_level_that_is_known_is_not_written_again() -> None:
    known = {(5_000_000, 5_000): "[50000,0.5]"}
    written = written_levels([(5_000_000, 5_000), (7, 20_000)], INSTRUMENT, known)
    assert written == {(5_000_000, 5_000): "[50000,0.5]", (7, 20_000): "[0.07,2]"}
    assert written[5_000_000, 5_000] is known[5_000_000, 5_000]


def test_a_diff_that_changes_nothing_still_moves_on() -> None:
    book = ([(5_000_000, 5_000)], [])
    message = json.loads(depth_message(INSTRUMENT, seq=8, prev_seq=7, at_ms=AT_MS, before=book, after=book))
    assert (message["prev_seq"], message["seq"], message["bids"], message["asks"]) == (7, 8, [], [])
