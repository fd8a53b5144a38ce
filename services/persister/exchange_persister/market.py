"""What settlement tells everybody on Redis: candles and tickers of what has traded, after the commit, at most once.

Of every symbol and interval the newest candle of the group of slots, and the one before it if the group closed it; of
every symbol its ticker, which stays in the cache. They lag behind the matcher's trades by the stream and the
settlement, and who misses one asks the gateway.
"""

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from typing import Final

import structlog

from exchange_core.candles import Candle, CandleInterval, candle_message, ticker_message
from exchange_core.errors import PortError
from exchange_core.instruments import Instrument
from exchange_core.ports import Clock, MarketPublisher, Projections
from exchange_core.topology import candle_channel, ticker_channel

_TIMEOUT_S: Final = 0.25
_PAUSE_AFTER_FAULT_S: Final = 5.0
_CANDLES_TOLD: Final = 2


class MarketNews:
    """Publishes, without ever holding settlement up for longer than a quarter of a second in five."""

    def __init__(self, projections: Projections, publisher: MarketPublisher, clock: Clock) -> None:
        self._projections = projections
        self._publisher = publisher
        self._clock = clock
        self._silent_until_s = 0.0
        self._log = structlog.get_logger()

    async def publish(self, candles: Sequence[Candle], instruments: Mapping[str, Instrument]) -> None:
        """Tell of these candles, which are committed, and of their tickers; a fault is logged and forgotten."""
        now_s = asyncio.get_running_loop().time()
        if not candles or now_s < self._silent_until_s:
            return
        try:
            async with asyncio.timeout(_TIMEOUT_S):
                symbols = sorted({candle.symbol for candle in candles})
                tickers = await self._projections.tickers(symbols, self._clock.now_ms())
                cache = {
                    ticker_channel(ticker.symbol): ticker_message(ticker, instruments[ticker.symbol])
                    for ticker in tickers
                }
                messages = [*candle_messages(candles, instruments), *cache.items()]
                await self._publisher.publish(cache, messages)
        except (PortError, TimeoutError) as error:
            self._silent_until_s = now_s + _PAUSE_AFTER_FAULT_S
            self._log.warning("market_news_lost", count=len(candles), error=f"{type(error).__name__}: {error}")


def candle_messages(candles: Sequence[Candle], instruments: Mapping[str, Instrument]) -> Iterator[tuple[str, bytes]]:
    """(channel, message) of the last candles of each symbol and interval, oldest first."""
    rows: dict[tuple[str, CandleInterval], list[Candle]] = {}
    for candle in candles:
        rows.setdefault((candle.symbol, candle.interval), []).append(candle)
    for (symbol, interval), row in rows.items():
        for candle in row[-_CANDLES_TOLD:]:
            yield candle_channel(symbol, interval), candle_message(candle, instruments[symbol])
