"""Who watches which channel; one Redis subscription a channel; every message to all who watch it."""

import asyncio
from dataclasses import dataclass, field

import structlog

from exchange_core.errors import PortError
from exchange_core.ports import MessageSource
from exchange_fanout.connections import Connection
from exchange_fanout.frames import text_frame

RETRY_S = 0.25
BURST = 256
"""After so many sends of one message the event loop gets a turn."""

log = structlog.get_logger()


class FeedUnavailableError(Exception):
    """Redis did not take the subscription in time."""


@dataclass(slots=True, kw_only=True)
class _Feed:
    """A channel that somebody watches or waits to watch."""

    live: asyncio.Event = field(default_factory=asyncio.Event)
    waiting: int = 0
    watchers: dict[Connection, None] = field(default_factory=dict)

    @property
    def is_wanted(self) -> bool:
        return bool(self.waiting or self.watchers)


class Hub:
    """The meeting point of messages and connections.

    `follow` keeps the Redis subscriptions equal to what is wanted, trying again while Redis is away; `broadcast` passes
    messages on. Both run for ever. `watch` and `unwatch` never touch Redis themselves.
    """

    def __init__(self, source: MessageSource) -> None:
        self._source = source
        self._feeds: dict[str, _Feed] = {}
        self._changed = asyncio.Event()
        self.message_count = 0

    @property
    def channel_count(self) -> int:
        """How many channels are watched."""
        return len(self._feeds)

    async def watch(self, connection: Connection, channel: str, *, timeout_s: float) -> None:
        """Pass the channel's messages to the connection from the moment this returns.

        Raises FeedUnavailableError when Redis did not take the subscription within `timeout_s`.
        """
        feed = self._feeds.setdefault(channel, _Feed())
        feed.waiting += 1
        try:
            if not feed.live.is_set():
                self._changed.set()
                async with asyncio.timeout(timeout_s):
                    await feed.live.wait()
            feed.watchers[connection] = None
        except TimeoutError:
            raise FeedUnavailableError(channel) from None
        finally:
            feed.waiting -= 1
            self._forget_if_unwanted(feed)

    def unwatch(self, connection: Connection, channel: str) -> None:
        """Pass no more of them, from now on."""
        feed = self._feeds.get(channel)
        if feed is not None:
            feed.watchers.pop(connection, None)
            self._forget_if_unwanted(feed)

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
        for channel, feed in tuple(self._feeds.items()):
            if feed.is_wanted and not feed.live.is_set():
                await self._source.subscribe(channel)
                feed.live.set()
            elif not feed.is_wanted:
                feed.live.clear()
                await self._source.unsubscribe(channel)
                if not feed.is_wanted:
                    del self._feeds[channel]

    async def broadcast(self) -> None:
        """Pass every message to all who watch its channel, for ever."""
        async for channel, message in self._source.messages():
            feed = self._feeds.get(channel)
            if feed is None:
                continue
            self.message_count += 1
            frame = text_frame(message)
            for number, connection in enumerate(tuple(feed.watchers), start=1):
                if connection in feed.watchers:
                    connection.send(frame)
                if number % BURST == 0:
                    await asyncio.sleep(0)
