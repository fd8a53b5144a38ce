"""How often who may ask, and what may be said only once: Redis."""

from collections.abc import Sequence
from typing import Protocol

from exchange_core.rate_limits import Charge, Standing


class RateLimiter(Protocol):
    """Stores of requests that all gateways share."""

    async def take(self, asked: Sequence[Sequence[Charge]]) -> list[list[Standing]]:
        """Judge many requests in one round trip, in order, each by all its charges (of different keys): take all of
        them, or none when one does not pass. Where each stands then."""
        ...


class OnceMarks(Protocol):
    """Marks that can be set once: whoever comes second learns it."""

    async def claim(self, key: str, ttl_ms: int) -> bool:
        """Set the mark for so long; False when it stands already."""
        ...
