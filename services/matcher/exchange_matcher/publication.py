"""What is worth seeing now: the caches, the trade messages and the depth diffs in Redis. Best effort, never in the way.

While Redis is away nothing waits for it: after a failure it is left alone for a second. The caches of every symbol are
written again every few seconds, so that they are right soon after Redis comes back, empty or not.

With every writing of a cached book goes the depth diff that leads to it from the last book that Redis took. Who stands
at the diff's `prev_seq` gets the book at `seq` by it; everybody else has missed something and must read the cache. That
holds whatever was lost: a diff that was refused is contained in the next one, one that arrived although its writing
seemed to fail leaves its readers at a seq that no later diff starts from. A matcher that has just recovered knows no
book before its own and sends an empty diff from `seq` to `seq`. So does each refresh of a quiet symbol, and who lost
the last diff before the silence learns of it.
"""

import asyncio
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Final

import orjson
import structlog

from exchange_core.engine import PartitionEngine
from exchange_core.errors import PortError
from exchange_core.events import Event, InstrumentListed, SymbolStatusChanged, TradeExecuted
from exchange_core.instruments import Instrument
from exchange_core.market_data import (
    BOOK_CACHE_LEVELS,
    Level,
    depth_message,
    order_book_message,
    price_message,
    trade_message,
    written_levels,
)
from exchange_core.ports import MarketPublisher
from exchange_core.topology import INSTRUMENTS_CHANNEL, depth_channel, order_book_key, price_key, trades_channel
from exchange_core.wire import to_plain

REFRESH_S: Final = 5.0
_REFRESH_SYMBOLS: Final = 50
_TIMEOUT_S: Final = 0.5
_PAUSE_AFTER_FAILURE_S: Final = 1.0


@dataclass(frozen=True, slots=True)
class PublishedBook:
    """The best levels of a symbol's book, as they stand after `seq`, and the text of each."""

    seq: int
    levels: tuple[Sequence[Level], Sequence[Level]]
    written: Mapping[Level, str]


class MarketPublication:
    """Publishes what the slots of one partition changed."""

    def __init__(self, publisher: MarketPublisher, partition: int) -> None:
        self._publisher = publisher
        self._published_at_s: dict[str, float] = {}
        self._books: dict[str, PublishedBook] = {}
        self._failed_at_s: float | None = None
        self._log = structlog.get_logger().bind(partition=partition)

    async def publish(self, engine: PartitionEngine, events: Iterable[Event], at_ms: int) -> None:
        """The trades and listings of these events in order, then cache and depth diff of every symbol they touch."""
        symbols: dict[str, None] = {}
        messages: list[tuple[str, bytes]] = []
        instruments = engine.instruments
        for event in events:
            instrument = instruments.get(event.symbol)
            if instrument is None:
                continue
            symbols[event.symbol] = None
            if isinstance(event, TradeExecuted):
                messages.append((trades_channel(event.symbol), trade_message(event, instrument, at_ms)))
            elif isinstance(event, InstrumentListed | SymbolStatusChanged):
                messages.append((INSTRUMENTS_CHANNEL, _instrument_message(instrument)))
        if symbols:
            await self._write(engine, symbols, messages, at_ms)

    def is_due(self, engine: PartitionEngine) -> bool:
        """Whether `refresh` would write."""
        return not self._is_left_alone() and any(self._stale(engine))

    async def refresh(self, engine: PartitionEngine, at_ms: int) -> None:
        """Write the caches again of symbols that were not written for a while."""
        if stale := list(islice(self._stale(engine), _REFRESH_SYMBOLS)):
            await self._write(engine, stale, [], at_ms)

    def _stale(self, engine: PartitionEngine) -> Iterator[str]:
        before_s = asyncio.get_running_loop().time() - REFRESH_S
        return (symbol for symbol in engine.instruments if self._published_at_s.get(symbol, before_s) <= before_s)

    def _is_left_alone(self) -> bool:
        now_s = asyncio.get_running_loop().time()
        return self._failed_at_s is not None and now_s < self._failed_at_s + _PAUSE_AFTER_FAILURE_S

    async def _write(
        self, engine: PartitionEngine, symbols: Iterable[str], messages: list[tuple[str, bytes]], at_ms: int
    ) -> None:
        if self._is_left_alone():
            return
        now_s = asyncio.get_running_loop().time()
        cache: dict[str, bytes] = {}
        books: dict[str, PublishedBook] = {}
        instruments = engine.instruments
        for symbol in symbols:
            instrument = instruments[symbol]
            before = self._books.get(symbol)
            book = books[symbol] = book_now(engine, instrument, before)
            cache.update(cache_entries(engine, instrument, book, at_ms))
            messages.append((depth_channel(symbol), diff_message(instrument, before or book, book, at_ms)))
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
        self._books.update(books)


def book_now(engine: PartitionEngine, instrument: Instrument, before: PublishedBook | None) -> PublishedBook:
    """What there is to publish of a symbol's book."""
    bids, asks = engine.depth(instrument.symbol, BOOK_CACHE_LEVELS)
    written = written_levels([*bids, *asks], instrument, before.written if before else None)
    return PublishedBook(engine.seq(instrument.symbol), (bids, asks), written)


def cache_entries(
    engine: PartitionEngine, instrument: Instrument, book: PublishedBook, at_ms: int
) -> Mapping[str, bytes]:
    """The cached book and last price of a symbol as the engine has them now."""
    symbol = instrument.symbol
    bids, asks = book.levels
    entries = {order_book_key(symbol): order_book_message(instrument, book.seq, at_ms, bids, asks, book.written)}
    last = engine.last_trade(symbol)
    if last is not None:
        price, quantity, traded_at_ms = last
        entries[price_key(symbol)] = price_message(instrument, book.seq, traded_at_ms, price, quantity)
    return entries


def diff_message(instrument: Instrument, before: PublishedBook, after: PublishedBook, at_ms: int) -> bytes:
    """The depth diff from one published book to the next."""
    return depth_message(
        instrument,
        seq=after.seq,
        prev_seq=before.seq,
        at_ms=at_ms,
        before=before.levels,
        after=after.levels,
        written=after.written,
    )


def _instrument_message(instrument: Instrument) -> bytes:
    return orjson.dumps({"event": "instrument", "symbol": instrument.symbol, "instrument": to_plain(instrument)})
