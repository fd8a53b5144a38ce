"""Rows of candles as clients ask for them: stored ones, and between them the spans in which nothing was traded."""

from dataclasses import dataclass, replace
from typing import Final

from exchange_core.candles import Candle, CandleInterval, oldest_second_ms, without_trades
from exchange_core.ports import DatabaseReader

CANDLES_DEFAULT: Final = 100
CANDLES_MAX: Final = 1_000
_END_OF_TIME_MS: Final = 2**62


@dataclass(frozen=True, slots=True, kw_only=True)
class CandlePage:
    """Candles without a gap, oldest first; `next_from_ms` is where the next page begins, None at the end."""

    candles: list[Candle]
    next_from_ms: int | None


async def candle_page(
    reader: DatabaseReader,
    symbol: str,
    interval: CandleInterval,
    *,
    from_ms: int | None,
    to_ms: int,
    limit: int,
) -> CandlePage:
    """The first `limit` candles that open in from_ms ≤ t < to_ms, or without `from_ms` the last before `to_ms`.

    They begin with the first trade there was: before it there is no price. Those of a second begin where they are kept.
    """
    length_ms = interval.length_ms
    last_ms = interval.open_at_ms(to_ms - 1)
    if from_ms is None:
        first_ms = max(0, last_ms - (limit - 1) * length_ms)
    else:
        first_ms = interval.open_at_ms(from_ms + length_ms - 1)
    if interval is CandleInterval.SECOND:
        newest = await reader.candle_before(symbol, interval, _END_OF_TIME_MS)
        first_ms = max(first_ms, oldest_second_ms(newest.open_at_ms) if newest else to_ms)
    stored = await reader.candles(symbol, interval, from_ms=first_ms, to_ms=to_ms, limit=limit)
    before = await _close_before(reader, symbol, interval, first_ms)
    if before is None:
        if not stored:
            return CandlePage(candles=[], next_from_ms=None)
        first_ms, before = stored[0].open_at_ms, stored[0]
    found = {candle.open_at_ms: candle for candle in stored}
    candles: list[Candle] = []
    open_at_ms = first_ms
    while open_at_ms <= last_ms and len(candles) < limit:
        before = found.get(open_at_ms) or without_trades(before, open_at_ms)
        candles.append(before)
        open_at_ms += length_ms
    return CandlePage(candles=candles, next_from_ms=open_at_ms if open_at_ms <= last_ms else None)


async def _close_before(reader: DatabaseReader, symbol: str, interval: CandleInterval, at_ms: int) -> Candle | None:
    """The candle that says the price at `at_ms`; where seconds begin to be kept, that of a minute."""
    found = await reader.candle_before(symbol, interval, at_ms)
    if found is None and interval is CandleInterval.SECOND:
        minute = CandleInterval.MINUTE
        found = await reader.candle_before(symbol, minute, minute.open_at_ms(at_ms))
        return None if found is None else replace(found, interval=interval)
    return found
