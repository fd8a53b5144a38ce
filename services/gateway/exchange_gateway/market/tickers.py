"""What a symbol does now: its last price and best prices from the cache, its last 24 hours from the database.

The cache is the matcher's and is ahead of the database; without it, all is as it was settled. The 24 hours of all
symbols are read in one query, at most once a second, whoever asks.
"""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

import structlog

from exchange_core.candles import Ticker
from exchange_core.errors import PortError
from exchange_core.instruments import Instrument
from exchange_core.ports import Clock, DatabaseReader, MarketCache
from exchange_core.topology import order_book_key, price_key
from exchange_gateway.exact_json import parse_cached
from exchange_gateway.fields import time_ms
from exchange_gateway.market.catalogue import InstrumentCatalogue
from exchange_gateway.market.prices import best_of, steps_of
from exchange_gateway.problems import ProblemError

DAY_AGE_S: Final = 1.0
CACHE_TIMEOUT_S: Final = 0.25
SYMBOLS_AT_ONCE: Final = 16

log = structlog.get_logger()


@dataclass(frozen=True, slots=True, kw_only=True)
class LastTrade:
    """Price in ticks, quantity in lots; the price is the last one as of `seq`."""

    price: int
    quantity: int
    seq: int
    at_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class SymbolNow:
    """What there is to tell, prices in ticks; None for what is not there or cannot be read."""

    last: LastTrade | None
    day: Ticker | None
    bid: int | None
    ask: int | None


class TickerBoard:
    """Tickers of all listed symbols."""

    def __init__(
        self, *, catalogue: InstrumentCatalogue, cache: MarketCache, reader: DatabaseReader, clock: Clock
    ) -> None:
        self._catalogue = catalogue
        self._cache = cache
        self._reader = reader
        self._clock = clock
        self._days: Mapping[str, Ticker] = {}
        self._days_fresh_until_s = 0.0
        self._reading = asyncio.Lock()
        self._gate = asyncio.Semaphore(SYMBOLS_AT_ONCE)

    async def now(self, instrument: Instrument) -> SymbolNow:
        """One symbol's; neither a missing cache nor a missing database makes it fail."""
        await self._read_days()
        symbol = instrument.symbol
        async with self._gate:
            price, book = await self._cached(price_key(symbol)), await self._cached(order_book_key(symbol))
        day = self._days.get(symbol)
        last = _last_trade(price, instrument)
        if day is not None and (last is None or last.seq < day.seq):
            last = LastTrade(price=day.last, quantity=day.last_quantity, seq=day.seq, at_ms=day.at_ms)
        if day is not None and last is not None:
            day = replace(day, last=last.price, high=max(day.high, last.price), low=min(day.low, last.price))
        return SymbolNow(
            last=last,
            day=day,
            bid=steps_of(best_of(book.get("bids")), instrument.tick_size),
            ask=steps_of(best_of(book.get("asks")), instrument.tick_size),
        )

    async def all(self) -> list[tuple[Instrument, SymbolNow]]:
        """All listed symbols', by symbol."""
        listed = self._catalogue.listed()
        return list(zip(listed, await asyncio.gather(*[self.now(instrument) for instrument in listed]), strict=True))

    async def _read_days(self) -> None:
        if self._is_fresh():
            return
        async with self._reading:
            if self._is_fresh():
                return
            self._days_fresh_until_s = asyncio.get_running_loop().time() + DAY_AGE_S
            symbols = [instrument.symbol for instrument in self._catalogue.listed()]
            try:
                found = await self._reader.tickers(symbols, self._clock.now_ms())
            except PortError as error:
                log.warning("tickers_not_readable", error=f"{type(error).__name__}: {error}")
            else:
                self._days = {ticker.symbol: ticker for ticker in found}

    def _is_fresh(self) -> bool:
        return asyncio.get_running_loop().time() < self._days_fresh_until_s

    async def _cached(self, key: str) -> Mapping[str, Any]:
        """The object under a key; empty for one that is not there or not readable."""
        try:
            async with asyncio.timeout(CACHE_TIMEOUT_S):
                data = await self._cache.get(key)
            value = None if data is None else parse_cached(data)
        except (PortError, TimeoutError, ValueError) as error:
            log.warning("cache_not_readable", key=key, error=type(error).__name__)
            return {}
        return value if isinstance(value, dict) else {}


def _last_trade(message: Mapping[str, Any], instrument: Instrument) -> LastTrade | None:
    price = steps_of(message.get("price"), instrument.tick_size)
    quantity = steps_of(message.get("quantity"), instrument.lot_size)
    match message:
        case {"seq": int(seq), "timestamp": str(text)} if price is not None and quantity is not None:
            try:
                return LastTrade(price=price, quantity=quantity, seq=seq, at_ms=time_ms("timestamp", text))
            except ProblemError:
                return None
    return None
