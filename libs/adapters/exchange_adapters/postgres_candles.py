"""The table `candles`: written with the trades it sums up, in one statement for a run of slots; read by both sides.

A candle of the run is added to the stored one of its span, which makes it exact as long as every slot is added once:
`positions.candles_slot` sees to that, also beside a persister of a version that knows no candles (see migration 0002).
"""

from collections.abc import Sequence
from typing import Any, Final

from exchange_core.candles import Candle, CandleInterval, Ticker, oldest_second_ms, ticker_spans_ms

_INTERVALS: Final = {interval.length_s: interval for interval in CandleInterval}
_COLUMNS: Final = "symbol, interval_s, open_at_ms, open, high, low, close, base_volume, quote_volume, trade_count, seq"
_ADD: Final = """
    ON CONFLICT (symbol, interval_s, open_at_ms) DO UPDATE SET
        high = greatest(candles.high, excluded.high),
        low = least(candles.low, excluded.low),
        close = excluded.close,
        base_volume = candles.base_volume + excluded.base_volume,
        quote_volume = candles.quote_volume + excluded.quote_volume,
        trade_count = candles.trade_count + excluded.trade_count,
        seq = excluded.seq
"""
_TYPES: Final = (
    "text",
    "integer",
    "bigint",
    "bigint",
    "bigint",
    "bigint",
    "bigint",
    "numeric",
    "numeric",
    "bigint",
    "bigint",
)
_WRITE: Final = f"""
    INSERT INTO candles ({_COLUMNS})
    SELECT * FROM unnest({", ".join(f"${number}::{name}[]" for number, name in enumerate(_TYPES, 1))})
    {_ADD}
    RETURNING {_COLUMNS}
"""  # noqa: S608 - made of constants
_FORGET_SECONDS: Final = """
    DELETE FROM candles USING unnest($1::text[], $2::bigint[]) AS kept(symbol, oldest_ms)
    WHERE candles.symbol = kept.symbol AND interval_s = 1 AND open_at_ms < oldest_ms
"""
_CATCH_UP: Final = f"""
    INSERT INTO candles ({_COLUMNS})
    SELECT symbol, interval_s, at_ms - at_ms % (interval_s * 1000) AS open_at_ms,
        (array_agg(price ORDER BY trade_id))[1], max(price), min(price), (array_agg(price ORDER BY trade_id DESC))[1],
        sum(quantity), sum(quote_amount), count(*), max(seq)
    FROM trades CROSS JOIN unnest($4::integer[]) AS lengths(interval_s)
    WHERE partition = $1 AND slot > $2 AND slot <= $3
    GROUP BY symbol, interval_s, open_at_ms
    {_ADD}
    RETURNING {_COLUMNS}
"""  # noqa: S608 - made of constants
_CAUGHT_UP: Final = "UPDATE positions SET candles_slot = slot, outcomes_after = slot WHERE partition = $1"
"""What became of the commands of those slots cannot be told from the database: see migration 0003."""
_BETWEEN: Final = f"""
    SELECT {_COLUMNS} FROM candles
    WHERE symbol = $1 AND interval_s = $2 AND open_at_ms >= $3 AND open_at_ms < $4 ORDER BY open_at_ms LIMIT $5
"""  # noqa: S608
_BEFORE: Final = f"""
    SELECT {_COLUMNS} FROM candles
    WHERE symbol = $1 AND interval_s = $2 AND open_at_ms < $3 ORDER BY open_at_ms DESC LIMIT 1
"""  # noqa: S608
_TICKERS: Final = """
    SELECT last.symbol, last.price, last.quantity, last.seq, last.at_ms, day.*
    FROM unnest($1::text[]) AS wanted(symbol)
    CROSS JOIN LATERAL (
        SELECT symbol, price, quantity, seq, at_ms FROM trades
        WHERE trades.symbol = wanted.symbol ORDER BY trade_id DESC LIMIT 1
    ) AS last
    CROSS JOIN LATERAL (
        SELECT (array_agg(open ORDER BY open_at_ms))[1] AS open, max(high) AS high, min(low) AS low,
            coalesce(sum(base_volume), 0) AS base_volume, coalesce(sum(quote_volume), 0) AS quote_volume,
            coalesce(sum(trade_count), 0) AS trade_count
        FROM candles
        WHERE candles.symbol = wanted.symbol
            AND (interval_s = 60 AND open_at_ms >= $2 AND open_at_ms < $3 OR interval_s = 3600 AND open_at_ms >= $3)
    ) AS day
    ORDER BY last.symbol
"""


async def write_candles(connection: Any, candles: Sequence[Candle]) -> list[Candle]:
    """Add candles of trades that are not in the table yet; those of the table as they then stand, in the same order."""
    if not candles:
        return []
    columns = zip(*[_row(candle) for candle in candles], strict=True)
    written = {_key(candle): candle for candle in map(_candle, await connection.fetch(_WRITE, *columns))}
    await _forget_seconds(connection, candles)
    return [written[_key(candle)] for candle in candles]


async def catch_up(connection: Any, partition: int, after_slot: int, through_slot: int) -> None:
    """Add the trades of after_slot < slot ≤ through_slot, which a version without candles wrote, and say so."""
    lengths_s = [*_INTERVALS]
    rows = await connection.fetch(_CATCH_UP, partition, after_slot, through_slot, lengths_s)
    await _forget_seconds(connection, [_candle(row) for row in rows])
    await connection.execute(_CAUGHT_UP, partition)


async def read_candles(
    connection: Any, symbol: str, interval: CandleInterval, from_ms: int, to_ms: int, limit: int
) -> list[Candle]:
    """As DatabaseReader.candles."""
    return [_candle(row) for row in await connection.fetch(_BETWEEN, symbol, interval.length_s, from_ms, to_ms, limit)]


async def read_candle_before(connection: Any, symbol: str, interval: CandleInterval, at_ms: int) -> Candle | None:
    """As DatabaseReader.candle_before."""
    row = await connection.fetchrow(_BEFORE, symbol, interval.length_s, at_ms)
    return None if row is None else _candle(row)


async def read_tickers(connection: Any, symbols: Sequence[str], now_ms: int) -> list[Ticker]:
    """As Projections.tickers."""
    rows = await connection.fetch(_TICKERS, symbols, *ticker_spans_ms(now_ms))
    return [
        Ticker(
            symbol=row["symbol"],
            last=row["price"],
            last_quantity=row["quantity"],
            open=row["price"] if row["open"] is None else row["open"],
            high=row["price"] if row["high"] is None else row["high"],
            low=row["price"] if row["low"] is None else row["low"],
            base_volume=int(row["base_volume"]),
            quote_volume=int(row["quote_volume"]),
            trade_count=int(row["trade_count"]),
            seq=row["seq"],
            at_ms=row["at_ms"],
        )
        for row in rows
    ]


async def _forget_seconds(connection: Any, candles: Sequence[Candle]) -> None:
    newest_ms: dict[str, int] = {}
    for candle in candles:
        if candle.interval is CandleInterval.SECOND:
            newest_ms[candle.symbol] = max(candle.open_at_ms, newest_ms.get(candle.symbol, 0))
    oldest_ms = [oldest_second_ms(at_ms) for at_ms in newest_ms.values()]
    await connection.execute(_FORGET_SECONDS, [*newest_ms], oldest_ms)


def _row(candle: Candle) -> tuple[Any, ...]:
    return (
        candle.symbol,
        candle.interval.length_s,
        candle.open_at_ms,
        candle.open,
        candle.high,
        candle.low,
        candle.close,
        candle.base_volume,
        candle.quote_volume,
        candle.trade_count,
        candle.seq,
    )


def _key(candle: Candle) -> tuple[str, CandleInterval, int]:
    return candle.symbol, candle.interval, candle.open_at_ms


def _candle(row: Any) -> Candle:
    return Candle(
        symbol=row["symbol"],
        interval=_INTERVALS[row["interval_s"]],
        open_at_ms=row["open_at_ms"],
        open=row["open"],
        high=row["high"],
        low=row["low"],
        close=row["close"],
        base_volume=int(row["base_volume"]),
        quote_volume=int(row["quote_volume"]),
        trade_count=row["trade_count"],
        seq=row["seq"],
    )
