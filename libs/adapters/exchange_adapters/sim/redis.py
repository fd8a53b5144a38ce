"""Redis in memory, as `redis_market` and `redis_limits` find it: cache, sets, limits, and pub/sub at most once.

One SimRedis is one client; `connect` makes another one of the same server, with its own subscriptions. While a client
cannot reach the server (`faults.down("redis")`) what is published is not kept for it; a reader that lags behind by
MAX_BUFFERED messages is cut, loses them, and hears again what comes after. Whatever goes wrong is Unavailable.
"""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Final

from exchange_adapters.sim.faults import Faults
from exchange_adapters.sim.store import SimStore
from exchange_core.errors import PortError
from exchange_core.ports import Clock
from exchange_core.rate_limits import Charge, Standing, judge

MAX_BUFFERED: Final = 10_000


@dataclass(slots=True, eq=False)
class _Subscription:
    """What one client hears."""

    faults: Faults
    channels: set[str] = field(default_factory=set)
    buffer: deque[tuple[str, bytes]] = field(default_factory=deque)
    arrived: asyncio.Event = field(default_factory=asyncio.Event)

    def deliver(self, channel: str, message: bytes) -> None:
        is_lost = self.faults.is_down("redis") or self.faults.chance("redis.deliver") is not None
        if channel not in self.channels or is_lost:
            return
        if len(self.buffer) >= MAX_BUFFERED:
            self.buffer.clear()
        self.buffer.append((channel, message))
        self.arrived.set()


@dataclass(slots=True)
class _Server:
    keys: dict[str, bytes] = field(default_factory=dict)
    sets: dict[str, set[str]] = field(default_factory=dict)
    full_at_us: dict[str, int] = field(default_factory=dict)
    marked_until_ms: dict[str, int] = field(default_factory=dict)
    subscriptions: list[_Subscription] = field(default_factory=list)


class SimRedis(SimStore):
    """MarketPublisher, MarketCache, SubscriberSets, MessageSource, RateLimiter and OnceMarks in one."""

    def __init__(self, *, clock: Clock | None = None, faults: Faults | None = None) -> None:
        super().__init__(clock=clock, faults=faults)
        self._server = _Server()
        self._subscription = self._new_subscription()

    def connect(self, faults: Faults | None = None) -> "SimRedis":
        """Another client of the same server, with subscriptions of its own."""
        client = self.seen_by(faults or self._faults)
        client._subscription = client._new_subscription()
        return client

    def disconnect(self) -> None:
        """End this client: nothing is delivered to it any more."""
        if self._subscription in self._server.subscriptions:
            self._server.subscriptions.remove(self._subscription)

    async def publish(self, cache: Mapping[str, bytes], messages: Sequence[tuple[str, bytes]]) -> None:
        """As MarketPublisher.publish. Operation `redis.publish`; a delivery is lost by a fault of `redis.deliver`."""
        async with self._faults.call("redis.publish", is_read=True):
            self._server.keys.update(cache)
            for channel, message in messages:
                for subscription in self._server.subscriptions:
                    subscription.deliver(channel, message)

    async def get(self, key: str) -> bytes | None:
        """As MarketCache.get. Operation `redis.get`."""
        async with self._faults.call("redis.get", is_read=True):
            return self._server.keys.get(key)

    async def add(self, key: str, member: str) -> None:
        """As SubscriberSets.add. Operation `redis.add`."""
        async with self._faults.call("redis.add", is_read=True):
            self._server.sets.setdefault(key, set()).add(member)

    async def remove(self, key: str, member: str) -> None:
        """As SubscriberSets.remove. Operation `redis.remove`."""
        async with self._faults.call("redis.remove", is_read=True):
            self._server.sets.get(key, set()).discard(member)

    async def take(self, asked: Sequence[Sequence[Charge]]) -> list[list[Standing]]:
        """As RateLimiter.take, by the store's clock. Operation `redis.take`."""
        async with self._faults.call("redis.take", is_read=True):
            return [self._take(charges, self._clock.now_ms() * 1000) for charges in asked]

    def _take(self, charges: Sequence[Charge], now_us: int) -> list[Standing]:
        stores = self._server.full_at_us
        standings = judge(charges, [stores.get(charge.key, now_us) for charge in charges], now_us)
        if all(standing.is_allowed for standing in standings):
            stores.update({charge.key: now_us + at.full_in_us for charge, at in zip(charges, standings, strict=True)})
        return standings

    async def claim(self, key: str, ttl_ms: int) -> bool:
        """As OnceMarks.claim, by the store's clock. Operation `redis.claim`."""
        async with self._faults.call("redis.claim", is_read=True):
            now_ms, marks = self._clock.now_ms(), self._server.marked_until_ms
            if marks.get(key, 0) > now_ms:
                return False
            marks[key] = now_ms + ttl_ms
            return True

    async def subscribe(self, channel: str) -> None:
        """As MessageSource.subscribe. Operation `redis.subscribe`; one that fails is heard once there is a server."""
        self._subscription.channels.add(channel)
        async with self._faults.call("redis.subscribe", is_read=True):
            pass

    async def unsubscribe(self, channel: str) -> None:
        """As MessageSource.unsubscribe. Operation `redis.unsubscribe`; never fails."""
        self._subscription.channels.discard(channel)
        with suppress(PortError):
            async with self._faults.call("redis.unsubscribe"):
                pass

    async def messages(self) -> AsyncIterator[tuple[str, bytes]]:
        """As MessageSource.messages. One reader a client."""
        subscription = self._subscription
        while True:
            while subscription.buffer:
                yield subscription.buffer.popleft()
            subscription.arrived.clear()
            await subscription.arrived.wait()

    def flush(self) -> None:
        """Lose every key and set, as a server without a disk does when it restarts; clients subscribe again."""
        self._server.keys.clear()
        self._server.sets.clear()
        self._server.full_at_us.clear()
        self._server.marked_until_ms.clear()
        for subscription in self._server.subscriptions:
            subscription.buffer.clear()

    def members(self, key: str) -> set[str]:
        """The members of a set."""
        return set(self._server.sets.get(key, set()))

    def _new_subscription(self) -> _Subscription:
        subscription = _Subscription(self._faults)
        self._server.subscriptions.append(subscription)
        return subscription
