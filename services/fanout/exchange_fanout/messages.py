"""What comes from Redis, and the two forms of depth messages: a diff, and the book itself.

Numbers are kept as the texts they were written in: a float would change some of them, and the checksum is over digits.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from exchange_core.market_data import LevelText
from exchange_fanout.frames import text_frame

Levels = Mapping[str, str]
"""Price → quantity of one side, "0" where a diff ends a level; as texts."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DepthDiff:
    """What changed in a book between two of its numbers."""

    symbol: str
    seq: int
    prev_seq: int
    timestamp: str
    bids: Levels
    asks: Levels
    checksum: int

    @property
    def level_count(self) -> int:
        """How many levels it sets."""
        return len(self.bids) + len(self.asks)

    def followed_by(self, later: "DepthDiff") -> "DepthDiff":
        """Both as one: from the first one's `prev_seq` to the later one's `seq`."""
        assert later.prev_seq == self.seq, "diffs are merged along their chain"
        return DepthDiff(
            symbol=self.symbol,
            seq=later.seq,
            prev_seq=self.prev_seq,
            timestamp=later.timestamp,
            bids={**self.bids, **later.bids},
            asks={**self.asks, **later.asks},
            checksum=later.checksum,
        )

    def payload(self) -> bytes:
        """As the matcher would have written it."""
        return (
            f'{{"event":"depth","symbol":"{self.symbol}","seq":{self.seq},"prev_seq":{self.prev_seq}'
            f',"timestamp":"{self.timestamp}","bids":[{_levels_text(self.bids.items())}]'
            f',"asks":[{_levels_text(self.asks.items())}],"checksum":{self.checksum}}}'
        ).encode()


class Message:
    """One message of a channel, framed once for all its readers."""

    __slots__ = ("diff", "frame", "payload")

    def __init__(self, payload: bytes) -> None:
        self.payload = payload
        self.frame = text_frame(payload)
        self.diff: DepthDiff | None = None
        """Set by the book of a depth channel, which reads it before anybody else."""


def read_diff(payload: bytes) -> DepthDiff:
    """The diff in a message of a depth channel; raises ValueError if it is none."""
    try:
        fields = _parse(payload)
        return DepthDiff(
            symbol=fields["symbol"],
            seq=int(fields["seq"]),
            prev_seq=int(fields["prev_seq"]),
            timestamp=fields["timestamp"],
            bids=dict(fields["bids"]),
            asks=dict(fields["asks"]),
            checksum=int(fields["checksum"]),
        )
    except (KeyError, TypeError) as error:
        raise ValueError(f"not a depth diff: {error!r}") from error


@dataclass(frozen=True, slots=True, kw_only=True)
class CachedBook:
    """The book as the matcher cached it, best levels first."""

    symbol: str
    seq: int
    timestamp: str
    bids: list[LevelText]
    asks: list[LevelText]


def read_cached_book(payload: bytes) -> CachedBook:
    """The book in the cache; raises ValueError if it is none."""
    try:
        fields = _parse(payload)
        return CachedBook(
            symbol=fields["symbol"],
            seq=int(fields["seq"]),
            timestamp=fields["timestamp"],
            bids=[(price, quantity) for price, quantity in fields["bids"]],
            asks=[(price, quantity) for price, quantity in fields["asks"]],
        )
    except (KeyError, TypeError) as error:
        raise ValueError(f"not a cached book: {error!r}") from error


def snapshot_payload(book: CachedBook, checksum: int) -> bytes:
    """The book as a client gets it."""
    return (
        f'{{"event":"snapshot","symbol":"{book.symbol}","seq":{book.seq},"timestamp":"{book.timestamp}"'
        f',"bids":[{_levels_text(book.bids)}],"asks":[{_levels_text(book.asks)}],"checksum":{checksum}}}'
    ).encode()


def _parse(payload: bytes) -> Any:
    return json.loads(payload, parse_float=str, parse_int=str)


def _levels_text(levels: Any) -> str:
    return ",".join(f"[{price},{quantity}]" for price, quantity in levels)
