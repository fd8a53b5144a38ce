"""What one node and one connection may take, and who has used up how much of it."""

import asyncio
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

from exchange_core.rate_limits import Charge, RateLimit, judge
from exchange_fanout.connections import Patience

HARD_LIMIT_FACTOR: Final = 4
"""A message up to the limit times this is answered with an error; a longer one ends the connection (1009)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Times in seconds, sizes in bytes."""

    connections_max: int
    connections_per_address_max: int
    trusted_proxies: int
    subscriptions_max: int
    message_bytes_max: int
    message_rate: RateLimit
    patience: Patience
    heartbeat_s: float
    subscribe_timeout_s: float
    close_timeout_s: float


class AddressCount:
    """How many connections each address has."""

    def __init__(self, connections_max: int) -> None:
        self._connections_max = connections_max
        self._count: Counter[str] = Counter()

    def is_full(self, address: str) -> bool:
        """Whether it may open no more."""
        return self._count[address] >= self._connections_max

    @contextmanager
    def counting(self, address: str) -> Iterator[None]:
        """Count a connection for as long as it lasts."""
        self._count[address] += 1
        try:
            yield
        finally:
            self._count[address] -= 1
            if not self._count[address]:
                del self._count[address]


class MessageBudget:
    """What one client may say: `limit` messages are heard, and as many more are refused before it is given up."""

    def __init__(self, limit: RateLimit) -> None:
        self._limit = limit
        self._full_at_us = 0
        self._refused = 0

    def spend(self) -> bool:
        """Take one message; whether it may be heard."""
        now_us = int(asyncio.get_running_loop().time() * 1_000_000)
        (standing,) = judge([Charge(key="messages", limit=self._limit)], [self._full_at_us], now_us)
        if standing.is_allowed:
            self._full_at_us = now_us + standing.full_in_us
            self._refused = 0
        else:
            self._refused += 1
        return standing.is_allowed

    @property
    def is_overdrawn(self) -> bool:
        """Whether the client has gone on and on although it was told."""
        return self._refused > self._limit.requests
