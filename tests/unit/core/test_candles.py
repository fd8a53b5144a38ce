"""Candles and tickers: which span a trade belongs to, what they come to, and how they are written."""

from dataclasses import replace
from decimal import Decimal
from itertools import pairwise

import orjson
import pytest

from exchange_core.candles import (
    DAY_MS,
    CandleInterval,
    CandleRun,
    Ticker,
    candle_message,
    oldest_second_ms,
    ticker_message,
    ticker_spans_ms,
    without_trades,
)
from exchange_core.events import TradeExecuted
from exchange_core.orders import Side
from tests.unit.matcher.support import INSTRUMENT, SYMBOL

MIDNIGHT_MS = 1_771_286_400_000
"""2026-02-17T00:00:00Z."""


def trade(number: int, price: int, quantity: int = 1) -> TradeExecuted:
    return TradeExecuted(
        seq=10 * number,
        symbol=SYMBOL,
        cause=1,
        trade_id=number,
        maker_order_id=1,
        taker_order_id=2,
        maker_user_id="maker",
        taker_user_id="taker",
        taker_side=Side.BUY,
        price=price,
        quantity=quantity,
        maker_fee=0,
        taker_fee=0,
        taker_release=0,
    )


TICKER = Ticker(
    symbol=SYMBOL,
    last=5_100_000,
    last_quantity=5,
    open=5_000_000,
    high=5_200_000,
    low=4_900_000,
    base_volume=70,
    quote_volume=123_456_789,
    trade_count=9,
    seq=44,
    at_ms=MIDNIGHT_MS,
)


def test_a_trade_is_in_one_candle_of_every_interval():
    run = CandleRun()
    run.add(trade(1, 100), 7, MIDNIGHT_MS + 5 * 3_600_000 + 1_234_567)
    opens = {str(candle.interval): candle.open_at_ms - MIDNIGHT_MS for candle in run.candles()}
    assert opens == {
        "1s": 19_234_000,
        "1m": 19_200_000,
        "5m": 19_200_000,
        "15m": 18_900_000,
        "1h": 18_000_000,
        "4h": 14_400_000,
        "1d": 0,
    }


def test_a_candle_says_first_highest_lowest_last_and_sums():
    run = CandleRun()
    for number, (price, at_ms) in enumerate([(100, 0), (103, 500), (98, 999), (101, 1_000)], 1):
        run.add(trade(number, price, quantity=number), 10 * number, MIDNIGHT_MS + at_ms)
    seconds = [one for one in run.candles() if one.interval is CandleInterval.SECOND]
    (minute,) = [one for one in run.candles() if one.interval is CandleInterval.MINUTE]
    first, second = seconds
    assert (first.open, first.high, first.low, first.close, first.seq) == (100, 103, 98, 98, 30)
    assert (first.base_volume, first.quote_volume, first.trade_count) == (6, 60, 3)
    assert (second.open, second.close, second.open_at_ms) == (101, 101, MIDNIGHT_MS + 1_000)
    assert (minute.open, minute.high, minute.low, minute.close, minute.seq) == (100, 103, 98, 101, 40)
    assert (minute.base_volume, minute.quote_volume, minute.trade_count) == (10, 100, 4)


def test_a_span_without_trades_repeats_the_close():
    run = CandleRun()
    run.add(trade(1, 100), 7, MIDNIGHT_MS)
    run.add(trade(2, 90), 7, MIDNIGHT_MS)
    minute = run.candles()[1]
    quiet = without_trades(minute, MIDNIGHT_MS + 60_000)
    assert (quiet.open, quiet.high, quiet.low, quiet.close) == (90, 90, 90, 90)
    assert (quiet.base_volume, quiet.quote_volume, quiet.trade_count, quiet.seq) == (0, 0, 0, 20)


def test_every_interval_is_a_multiple_of_the_one_before_it():
    lengths = [interval.length_ms for interval in CandleInterval]
    assert all(longer % shorter == 0 for shorter, longer in pairwise(lengths))


def test_seconds_are_kept_from_a_whole_minute_on():
    assert oldest_second_ms(MIDNIGHT_MS + 61_999) == MIDNIGHT_MS - DAY_MS + 60_000


@pytest.mark.parametrize(
    ("now_ms", "minutes_from_ms", "hours_from_ms"),
    [(0, 60_000, 3_600_000), (59 * 60_000, 3_600_000, 3_600_000), (3_600_000, 3_660_000, 7_200_000)],
)
def test_a_ticker_looks_back_24_hours_to_the_minute(now_ms: int, minutes_from_ms: int, hours_from_ms: int):
    day_before_ms = MIDNIGHT_MS - DAY_MS
    assert ticker_spans_ms(MIDNIGHT_MS + now_ms) == (day_before_ms + minutes_from_ms, day_before_ms + hours_from_ms)


def test_the_change_is_exact_and_its_percentage_rounded():
    assert (TICKER.change, TICKER.change_percent) == (100_000, Decimal("2.0000"))
    third = replace(TICKER, open=3, last=4)
    assert third.change_percent == Decimal("33.3333")
    assert str(replace(TICKER, open=10**7, last=10**7 - 1).change_percent) == "0.0000"


def test_messages_have_exact_numbers():
    run = CandleRun()
    run.add(trade(1, 5_000_001, 5), 123, MIDNIGHT_MS + 1_500)
    candle = candle_message(run.candles()[0], INSTRUMENT)
    assert candle.startswith(b'{"event":"candle","symbol":"BTCUSDT","interval":"1s","open_at":"2026-02-17T00:00:01Z"')
    assert orjson.loads(candle)["open"] == 50000.01
    message = orjson.loads(ticker_message(TICKER, INSTRUMENT))
    assert (message["event"], message["price"], message["change"]) == ("ticker", 51000, 1000)
    assert (message["change_percent"], message["timestamp"]) == (2, "2026-02-17T00:00:00Z")
