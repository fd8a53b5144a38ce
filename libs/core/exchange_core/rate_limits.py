"""The rule of rate limits: the generic cell rate algorithm (ITU-T I.371), on integers.

A limit of 100 a second is a store of 100 requests that fills at an even 100 a second. All there is to remember for a
subject is when its store will be full again (`full_at_us`). Redis, its simulated twin and the gateways' own memory
keep to this one rule, so a limit means the same whoever judges.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Self

_TEXT: Final = re.compile(r"([1-9]\d{0,6})/([1-9]\d{0,4})(ms|s|m|h)")
_UNIT_MS: Final = {"ms": 1, "s": 1_000, "m": 60_000, "h": 3_600_000}


@dataclass(frozen=True, slots=True, kw_only=True)
class RateLimit:
    """`requests` in every `window_ms`: all of them at once if need be, then evenly."""

    requests: int
    window_ms: int

    def __post_init__(self) -> None:
        assert self.requests > 0 and self.window_ms > 0, "a limit lets something through"
        assert self.interval_us > 0, "at most one request a microsecond"

    @classmethod
    def parse(cls, text: str) -> Self:
        """`100/1s`, `20/1m`: requests and window; raises ValueError."""
        match = _TEXT.fullmatch(text)
        if match is None:
            raise ValueError(f"a limit is written like 100/1s or 20/1m, not {text!r}")
        return cls(requests=int(match[1]), window_ms=int(match[2]) * _UNIT_MS[match[3]])

    @property
    def interval_us(self) -> int:
        """The time in which one request fills in again."""
        return self.window_ms * 1000 // self.requests

    @property
    def capacity_us(self) -> int:
        """The time in which an empty store fills."""
        return self.interval_us * self.requests

    def times(self, factor: int) -> "RateLimit":
        """As many times the requests in the same window."""
        return RateLimit(requests=self.requests * factor, window_ms=self.window_ms)


@dataclass(frozen=True, slots=True, kw_only=True)
class Charge:
    """What one request would take from one subject's store. `key` names limit and subject."""

    key: str
    limit: RateLimit
    requests: int = 1

    @property
    def cost_us(self) -> int:
        """What is taken out of the store: all of it at most, else a large batch could never pass."""
        return self.limit.interval_us * min(self.requests, self.limit.requests)


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """How a subject stands after it was judged: `wait_us` until the charge would pass, 0 if it did."""

    limit: RateLimit
    full_in_us: int
    wait_us: int = 0

    @property
    def is_allowed(self) -> bool:
        """Whether this limit let the charge through."""
        return self.wait_us == 0

    @property
    def remaining(self) -> int:
        """Requests that would pass right now."""
        return max(0, self.limit.capacity_us - self.full_in_us) // self.limit.interval_us


def judge(charges: Sequence[Charge], full_at_us: Sequence[int], now_us: int) -> list[Standing]:
    """Each charge against its store. All pass or nothing is taken: what one limit refuses costs no other."""
    standings = [_standing(charge, full_at, now_us) for charge, full_at in zip(charges, full_at_us, strict=True)]
    if not all(standing.is_allowed for standing in standings):
        return standings
    return [
        Standing(limit=charge.limit, full_in_us=standing.full_in_us + charge.cost_us)
        for charge, standing in zip(charges, standings, strict=True)
    ]


def _standing(charge: Charge, full_at_us: int, now_us: int) -> Standing:
    """Before anything is taken. A store is never further from full than empty, whatever a clock once said."""
    limit = charge.limit
    full_in_us = min(max(0, full_at_us - now_us), limit.capacity_us)
    wait_us = max(0, full_in_us + charge.cost_us - limit.capacity_us)
    return Standing(limit=limit, full_in_us=full_in_us, wait_us=wait_us)
