"""Who watches which channel; one Redis subscription a channel; every message to all who watch it."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

import structlog

from exchange_adapters.emf import recorder
from exchange_adapters.metrics import MESSAGES_SENT
from exchange_core.errors import PortError
from exchange_core.ports import MarketCache, MessageSource
from exchange_core.topology import depth_channel, order_book_key
from exchange_fanout.books import SharedBook, Snapshot
from exchange_fanout.messages import Message
from exchange_fanout.subscriptions import DepthSubscription, Watcher

RETRY_S = 0.25
BURST = 256
"""So many sends of one message, or subscriptions, at a time."""
_DEPTH: Final = depth_channel("")

log = structlog.get_logger()


class FeedUnavailableError(Exception):
    """Redis did not take the subscription in time."""


@dataclass(slots=True, kw_only=True)
class _Feed:
    """A channel that somebody watches or waits to watch; one of depth diffs has the book that they lead on."""

    live: asyncio.Event = field(default_factory=asyncio.Event)
    waiting: int = 0
    watchers: dict[Watcher, None] = field(default_factory=dict)
    book: SharedBook | None = None

    @property
    def is_wanted(self) -> bool:
        return bool(self.waiting or self.watchers)


class Hub:
    """The meeting point of messages and connections.

    Three stages run for ever: `follow` keeps the Redis subscriptions equal to what is wanted, trying again while Redis
    is away; `broadcast` passes messages on; `read_books` reads the books that are not known from the cache, always
    after the subscription to their diffs. `watch` and `unwatch` never touch Redis themselves.
    """

    def __init__(self, source: MessageSource, cache: MarketCache) -> None:
        self._source = source
        self._cache = cache
        self._feeds: dict[str, _Feed] = {}
        self._changed = asyncio.Event()
        self._unknown: dict[str, None] = {}
        self._has_unknown = asyncio.Event()
        self.message_count = 0

    @property
    def channel_count(self) -> int:
        """How many channels are watched."""
        return len(self._feeds)

    async def watch(self, watchers: Sequence[Watcher], *, timeout_s: float) -> None:
        """Pass their channels' messages to all the watchers from the moment this returns, or to none of them.

        Raises FeedUnavailableError when Redis did not take the subscriptions within `timeout_s`.
        """
        feeds = [self._feed(watcher.channel) for watcher in watchers]
        for feed in feeds:
            feed.waiting += 1
        try:
            if not all(feed.live.is_set() for feed in feeds):
                self._changed.set()
                async with asyncio.timeout(timeout_s):
                    for feed in feeds:
                        await feed.live.wait()
            for feed, watcher in zip(feeds, watchers, strict=True):
                feed.watchers[watcher] = None
        except TimeoutError:
            raise FeedUnavailableError(", ".join(watcher.channel for watcher in watchers)) from None
        finally:
            for feed in feeds:
                feed.waiting -= 1
                self._forget_if_unwanted(feed)

    def join(self, watcher: Watcher) -> None:
        """The same for one watcher, from whenever Redis takes the subscription."""
        self._feed(watcher.channel).watchers[watcher] = None
        self._changed.set()

    def unwatch(self, watcher: Watcher) -> None:
        """Pass no more of them, from now on."""
        feed = self._feeds.get(watcher.channel)
        if feed is not None:
            feed.watchers.pop(watcher, None)
            self._forget_if_unwanted(feed)

    def snapshot(self, channel: str) -> Snapshot | None:
        """The book of a watched depth channel; None while it is not known: its watchers begin anew when it is."""
        feed = self._feeds.get(channel)
        return feed.book.snapshot() if feed is not None and feed.book is not None else None

    def _feed(self, channel: str) -> _Feed:
        feed = self._feeds.get(channel)
        if feed is None:
            feed = self._feeds[channel] = _Feed()
            if channel.startswith(_DEPTH):
                feed.book = SharedBook(channel.removeprefix(_DEPTH))
        return feed

    def _forget_if_unwanted(self, feed: _Feed) -> None:
        if not feed.is_wanted:
            self._changed.set()

    async def follow(self) -> None:
        """Subscribe and unsubscribe at Redis as the watchers come and go, for ever."""
        while True:
            await self._changed.wait()
            self._changed.clear()
            try:
                await self._settle()
            except PortError as error:
                log.warning("feed_subscription_failed", error=str(error), kind=type(error).__name__)
                await asyncio.sleep(RETRY_S)
                self._changed.set()

    async def _settle(self) -> None:
        await self._drop_unwanted()
        dark = [(channel, feed) for channel, feed in self._feeds.items() if feed.is_wanted and not feed.live.is_set()]
        for start in range(0, len(dark), BURST):
            at_once = [self._go_live(channel, feed) for channel, feed in dark[start : start + BURST]]
            for result in await asyncio.gather(*at_once, return_exceptions=True):
                if isinstance(result, BaseException):
                    raise result

    async def _go_live(self, channel: str, feed: _Feed) -> None:
        await self._source.subscribe(channel)
        feed.live.set()
        self._read_if_unknown(channel, feed)

    async def _drop_unwanted(self) -> None:
        """Before subscribing, which fails while Redis is away: what was asked for in vain must not pile up."""
        for channel, feed in tuple(self._feeds.items()):
            if not feed.is_wanted:
                feed.live.clear()
                if feed.book is not None:
                    feed.book.lose()
                await self._source.unsubscribe(channel)
                if not feed.is_wanted:
                    del self._feeds[channel]

    async def broadcast(self) -> None:
        """Pass every message to all who watch its channel, for ever."""
        async for channel, payload in self._source.messages():
            feed = self._feeds.get(channel)
            if feed is None:
                continue
            self.message_count += 1
            message = Message(payload)
            if feed.book is not None and not feed.book.take(message):
                self._read_if_unknown(channel, feed)
                continue
            recorder.count(MESSAGES_SENT, len(feed.watchers))
            for number, watcher in enumerate(tuple(feed.watchers), start=1):
                if watcher in feed.watchers:
                    watcher.deliver(message)
                if number % BURST == 0:
                    await asyncio.sleep(0)

    def _read_if_unknown(self, channel: str, feed: _Feed) -> None:
        if feed.book is not None and not feed.book.is_known:
            self._unknown[channel] = None
            self._has_unknown.set()

    async def read_books(self) -> None:
        """Read each book that is not known and send it to all who watch it, for ever.

        A symbol that has none in the cache (it is not listed, or Redis has lost it) waits for its next message.
        """
        while True:
            await self._has_unknown.wait()
            self._has_unknown.clear()
            for channel in tuple(self._unknown):
                del self._unknown[channel]
                try:
                    is_read = await self._read_book(channel)
                except PortError as error:
                    log.warning("book_not_read", channel=channel, error=str(error), kind=type(error).__name__)
                    is_read = False
                if not is_read:
                    self._unknown[channel] = None
            if self._unknown:
                await asyncio.sleep(RETRY_S)
                self._has_unknown.set()

    async def _read_book(self, channel: str) -> bool:
        """Whether nothing more is to be read for now."""
        feed = self._feeds.get(channel)
        book = None if feed is None else feed.book
        if feed is None or book is None or book.is_known or not feed.live.is_set():
            return True
        payload = await self._cache.get(order_book_key(book.symbol))
        if payload is None:
            return True
        if not feed.live.is_set() or not book.start(payload):
            return not feed.is_wanted
        for number, watcher in enumerate(tuple(feed.watchers), start=1):
            if isinstance(watcher, DepthSubscription) and watcher in feed.watchers:
                watcher.begin_anew()
            if number % BURST == 0:
                await asyncio.sleep(0)
        return True
