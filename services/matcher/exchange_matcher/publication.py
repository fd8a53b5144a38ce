"""What is worth seeing now: the caches and the trade messages in Redis. Best effort, and never in the way.

While Redis is away nothing waits for it: after a failure it is left alone for a second. The caches of every symbol are
written again every few seconds, so that they are right soon after Redis comes back, empty or not.
"""

import asyncio
from collections.abc import Iterable, Mapping
from typing import Final

import orjson
import structlog

from exchange_core.engine import PartitionEngine
from exchange_core.errors import PortError
from exchange_core.events import Event, InstrumentListed, SymbolStatusChanged, TradeExecuted
from exchange_core.instruments import Instrument
from exchange_core.market_data import BOOK_CACHE_LEVELS, order_book_message, price_message, trade_message
from exchange_core.ports import MarketPublisher
from exchange_core.topology import INSTRUMENTS_CHANNEL, order_book_key, price_key, trades_channel
from exchange_core.wire import to_plain

REFRESH_S: Final = 5.0
_REFRESH_SYMBOLS: Final = 50
_TIMEOUT_S: Final = 0.5
_PAUSE_AFTER_FAILURE_S: Final = 1.0


class MarketPublication:
    """Publishes what the slots of one partition changed."""

    def __init__(self, publisher: MarketPublisher, partition: int) -> None:
        self._publisher = publisher
        self._published_at_s: dict[str, float] = {}
        self._failed_at_s: float | None = None
        self._log = structlog.get_logger().bind(partition=partition)

    async def publish(self, engine: PartitionEngine, events: Iterable[Event], at_ms: int) -> None:
        """The trades and listings of these events in order, and the caches of every symbol they touch."""
        symbols: dict[str, None] = {}
        messages: list[tuple[str, bytes]] = []
        for event in events:
            instrument = engine.instruments.get(event.symbol)
            if instrument is None:
                continue
            symbols[event.symbol] = None
            if isinstance(event, TradeExecuted):
                messages.append((trades_channel(event.symbol), trade_message(event, instrument, at_ms)))
            elif isinstance(event, InstrumentListed | SymbolStatusChanged):
                messages.append((INSTRUMENTS_CHANNEL, _instrument_message(instrument)))
        if symbols:
            await self._write(engine, symbols, messages, at_ms)

    async def refresh(self, engine: PartitionEngine, at_ms: int) -> None:
        """Write the caches again of symbols that were not written for a while."""
        before_s = asyncio.get_running_loop().time() - REFRESH_S
        stale = [symbol for symbol in engine.instruments if self._published_at_s.get(symbol, before_s) <= before_s]
        if stale:
            await self._write(engine, stale[:_REFRESH_SYMBOLS], [], at_ms)

    async def _write(
        self, engine: PartitionEngine, symbols: Iterable[str], messages: list[tuple[str, bytes]], at_ms: int
    ) -> None:
        now_s = asyncio.get_running_loop().time()
        if self._failed_at_s is not None and now_s < self._failed_at_s + _PAUSE_AFTER_FAILURE_S:
            return
        cache: dict[str, bytes] = {}
        for symbol in symbols:
            cache.update(cache_entries(engine, symbol, at_ms))
        try:
            async with asyncio.timeout(_TIMEOUT_S):
                await self._publisher.publish(cache, messages)
        except (PortError, TimeoutError) as error:
            if self._failed_at_s is None:
                self._log.warning("publication_failed", error=f"{type(error).__name__}: {error}")
            self._failed_at_s = asyncio.get_running_loop().time()
            self._published_at_s.clear()
            return
        if self._failed_at_s is not None:
            self._log.info("publication_works_again")
            self._failed_at_s = None
        self._published_at_s.update(dict.fromkeys(symbols, now_s))


def cache_entries(engine: PartitionEngine, symbol: str, at_ms: int) -> Mapping[str, bytes]:
    """The cached book and last price of a symbol as the engine has them now."""
    instrument = engine.instruments[symbol]
    seq = engine.seq(symbol)
    bids, asks = engine.depth(symbol, BOOK_CACHE_LEVELS)
    entries = {order_book_key(symbol): order_book_message(instrument, seq, at_ms, bids, asks)}
    last = engine.last_trade(symbol)
    if last is not None:
        price, quantity, traded_at_ms = last
        entries[price_key(symbol)] = price_message(instrument, seq, traded_at_ms, price, quantity)
    return entries


def _instrument_message(instrument: Instrument) -> bytes:
    return orjson.dumps({"event": "instrument", "symbol": instrument.symbol, "instrument": to_plain(instrument)})
