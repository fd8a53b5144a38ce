"""Redis in memory, as `exchange_adapters.redis_market` finds it: cache, sets, and pub/sub at most once.

One SimRedis is one client; `connect` makes another one of the same server, with its own subscriptions. While a client
cannot reach the server (`faults.down("redis")`) what is published is not kept for it; a reader that lags behind by
MAX_BUFFERED messages is cut, loses them, and hears again what comes after. Whatever goes wrong is Unavailable.
"""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from exchange_adapters.sim.faults import Faults
from exchange_adapters.sim.store import SimStore
from exchange_core.errors import PortError
from exchange_core.ports import Clock

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
    subscriptions: list[_Subscription] = field(default_factory=list)


class SimRedis(SimStore):
    """MarketPublisher, MarketCache, SubscriberSets and MessageSource in one."""

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

    async def subscribe(self, channel: str) -> None:
        """As MessageSource.subscribe. Operation `redis.subscribe`; never fails: it is heard once there is a server."""
        self._subscription.channels.add(channel)
        await self._try("redis.subscribe")

    async def unsubscribe(self, channel: str) -> None:
        """As MessageSource.unsubscribe. Operation `redis.unsubscribe`; never fails."""
        self._subscription.channels.discard(channel)
        await self._try("redis.unsubscribe")

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
        for subscription in self._server.subscriptions:
            subscription.buffer.clear()

    def members(self, key: str) -> set[str]:
        """The members of a set."""
        return set(self._server.sets.get(key, set()))

    async def _try(self, operation: str) -> None:
        try:
            async with self._faults.call(operation):
                pass
        except PortError:
            return

    def _new_subscription(self) -> _Subscription:
        subscription = _Subscription(self._faults)
        self._server.subscriptions.append(subscription)
        return subscription
