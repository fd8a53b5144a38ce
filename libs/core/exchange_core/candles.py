"""Candles and tickers: what a symbol's trades come to over fixed spans of time (docs/semantics.md, "Market data").

A trade belongs to the span that its slot's time falls in, in UTC. Only spans with trades are stored; whoever shows a
row of candles fills the spans between with the close before them and no volume. Prices are in ticks, base volumes in
lots, quote volumes in the quote asset's units.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from decimal import ROUND_HALF_EVEN, Decimal
from enum import StrEnum
from typing import Final

from exchange_core.events import TradeExecuted
from exchange_core.instruments import Instrument
from exchange_core.market_data import timestamp_text
from exchange_core.money import steps_text, units_text

DAY_MS: Final = 24 * 3600 * 1000
_MINUTE_MS: Final = 60 * 1000


class CandleInterval(StrEnum):
    """The lengths there are; shortest first. Each is a multiple of those before it."""

    SECOND = "1s"
    MINUTE = "1m"
    FIVE_MINUTES = "5m"
    QUARTER_HOUR = "15m"
    HOUR = "1h"
    FOUR_HOURS = "4h"
    DAY = "1d"

    @property
    def length_s(self) -> int:
        """In seconds."""
        return _LENGTHS_S[self]

    @property
    def length_ms(self) -> int:
        """In milliseconds."""
        return _LENGTHS_S[self] * 1000

    def open_at_ms(self, at_ms: int) -> int:
        """When the span that holds `at_ms` begins."""
        return at_ms - at_ms % self.length_ms


_LENGTHS_S: Final = {
    CandleInterval.SECOND: 1,
    CandleInterval.MINUTE: 60,
    CandleInterval.FIVE_MINUTES: 300,
    CandleInterval.QUARTER_HOUR: 900,
    CandleInterval.HOUR: 3600,
    CandleInterval.FOUR_HOURS: 4 * 3600,
    CandleInterval.DAY: 24 * 3600,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Candle:
    """The trades of one span. `seq` is the last one's."""

    symbol: str
    interval: CandleInterval
    open_at_ms: int
    open: int
    high: int
    low: int
    close: int
    base_volume: int
    quote_volume: int
    trade_count: int
    seq: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Ticker:
    """The last trade of a symbol, and its trades of the last 24 hours, to the minute.

    Without a trade in 24 hours `open`, `high` and `low` are the last price and the volumes are 0.
    """

    symbol: str
    last: int
    last_quantity: int
    open: int
    high: int
    low: int
    base_volume: int
    quote_volume: int
    trade_count: int
    seq: int
    at_ms: int

    @property
    def change(self) -> int:
        """In ticks, since the first trade of the 24 hours."""
        return self.last - self.open

    @property
    def change_percent(self) -> Decimal:
        """To four decimals, which are shown without trailing zeros."""
        percent = Decimal(100 * self.change) / Decimal(self.open)
        return percent.quantize(Decimal("0.0001"), rounding=ROUND_HALF_EVEN) + 0  # no negative zero


def oldest_second_ms(newest_at_ms: int) -> int:
    """Candles of one second are kept for the 24 hours before the symbol's newest trade, from a whole minute on.

    They are there to watch a market, and would outnumber all others together; the whole minute lets the candle of the
    minute before say at which price the kept ones begin.
    """
    return CandleInterval.MINUTE.open_at_ms(newest_at_ms - DAY_MS)


def ticker_spans_ms(now_ms: int) -> tuple[int, int]:
    """The 24 hours up to now as few candles: minutes from the first, up to the second, and hours from there."""
    first_ms = CandleInterval.MINUTE.open_at_ms(now_ms - DAY_MS) + _MINUTE_MS
    return first_ms, CandleInterval.HOUR.open_at_ms(first_ms - 1) + CandleInterval.HOUR.length_ms


class CandleRun:
    """The candles of trades that come in order; apart from those that are stored already."""

    def __init__(self) -> None:
        self._seconds: dict[tuple[str, int], list[int]] = {}

    def add(self, trade: TradeExecuted, quote_amount: int, at_ms: int) -> None:
        """Add the next trade of its symbol; `quote_amount` is what it is worth in quote units."""
        key = (trade.symbol, at_ms - at_ms % 1000)
        price = trade.price
        sums = self._seconds.get(key)
        if sums is None:
            self._seconds[key] = [price, price, price, price, trade.quantity, quote_amount, 1, trade.seq]
        else:
            _add_to(sums, (price, price, price, price, trade.quantity, quote_amount, 1, trade.seq))

    def candles(self) -> list[Candle]:
        """Of all intervals; of one symbol and interval, oldest first."""
        return [candle for interval in CandleInterval for candle in self._of(interval)]

    def _of(self, interval: CandleInterval) -> Iterator[Candle]:
        found: dict[tuple[str, int], list[int]] = {}
        for (symbol, second_ms), sums in self._seconds.items():
            key = (symbol, interval.open_at_ms(second_ms))
            if key in found:
                _add_to(found[key], sums)
            else:
                found[key] = list(sums)
        for (symbol, open_at_ms), sums in found.items():
            yield Candle(symbol=symbol, interval=interval, open_at_ms=open_at_ms, **dict(zip(_SUMS, sums, strict=True)))


_SUMS: Final = ("open", "high", "low", "close", "base_volume", "quote_volume", "trade_count", "seq")


def _add_to(sums: list[int], later: Sequence[int]) -> None:
    """Both in the order of _SUMS."""
    sums[1] = max(sums[1], later[1])
    sums[2] = min(sums[2], later[2])
    sums[3] = later[3]
    sums[4] += later[4]
    sums[5] += later[5]
    sums[6] += later[6]
    sums[7] = later[7]


def without_trades(after: Candle, open_at_ms: int) -> Candle:
    """A span in which nothing happened: the close before it, and no volume."""
    close = after.close
    return replace(
        after,
        open_at_ms=open_at_ms,
        open=close,
        high=close,
        low=close,
        base_volume=0,
        quote_volume=0,
        trade_count=0,
    )


def candle_message(candle: Candle, instrument: Instrument) -> bytes:
    """The candle event of the WebSocket, in human units."""
    prices = (candle.open, candle.high, candle.low, candle.close)
    open_, high, low, close = (steps_text(ticks, instrument.tick_size) for ticks in prices)
    return (
        f'{{"event":"candle","symbol":"{candle.symbol}","interval":"{candle.interval}"'
        f',"open_at":"{timestamp_text(candle.open_at_ms)}"'
        f',"open":{open_},"high":{high},"low":{low},"close":{close}'
        f',"base_volume":{steps_text(candle.base_volume, instrument.lot_size)}'
        f',"quote_volume":{units_text(candle.quote_volume, instrument.quote_decimals)}'
        f',"trade_count":{candle.trade_count},"seq":{candle.seq}}}'
    ).encode()


def ticker_message(ticker: Ticker, instrument: Instrument) -> bytes:
    """The ticker event of the WebSocket, which is in the cache as well; `price` and `quantity` are the last trade's."""
    prices = (ticker.last, ticker.open, ticker.high, ticker.low, ticker.change)
    price, open_, high, low, change = (steps_text(ticks, instrument.tick_size) for ticks in prices)
    return (
        f'{{"event":"ticker","symbol":"{ticker.symbol}"'
        f',"price":{price},"quantity":{steps_text(ticker.last_quantity, instrument.lot_size)}'
        f',"open":{open_},"high":{high},"low":{low}'
        f',"change":{change},"change_percent":{percent_text(ticker.change_percent)}'
        f',"base_volume":{steps_text(ticker.base_volume, instrument.lot_size)}'
        f',"quote_volume":{units_text(ticker.quote_volume, instrument.quote_decimals)}'
        f',"trade_count":{ticker.trade_count},"seq":{ticker.seq},"timestamp":"{timestamp_text(ticker.at_ms)}"}}'
    ).encode()


def percent_text(percent: Decimal) -> str:
    """Without an exponent and without trailing zeros."""
    text = f"{percent:f}"
    return text.rstrip("0").rstrip(".") if "." in text else text
