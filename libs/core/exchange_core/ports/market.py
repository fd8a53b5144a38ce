"""What is worth seeing now: Redis cache and pub/sub."""

from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Protocol


class MarketPublisher(Protocol):
    """The writing half of cache and pub/sub. Losing what it wrote loses no order and no money."""

    async def publish(self, cache: Mapping[str, bytes], messages: Sequence[tuple[str, bytes]]) -> None:
        """Set the keys, then publish (channel, message) in order, in one round trip."""
        ...


class MarketCache(Protocol):
    """The reading half of the cache."""

    async def get(self, key: str) -> bytes | None:
        """The value, or None when it is not cached."""
        ...


class SubscriberSets(Protocol):
    """Who watches what, in Redis sets."""

    async def add(self, key: str, member: str) -> None:
        """Add the member, extending the set's life."""
        ...

    async def remove(self, key: str, member: str) -> None:
        """Remove the member."""
        ...


class MessageSource(Protocol):
    """The reading half of pub/sub. At most once: a lost connection loses what was said meanwhile."""

    async def subscribe(self, channel: str) -> None:
        """Hear this channel from now on. Raises Unavailable when that is not sure: the wish stands, and asking again
        tells whether it is fulfilled."""
        ...

    async def unsubscribe(self, channel: str) -> None:
        """Stop hearing it. Does not fail."""
        ...

    def messages(self) -> AsyncIterator[tuple[str, bytes]]:
        """(channel, message), for ever; reconnects and resubscribes by itself."""
        ...
