"""The book of a symbol, followed once for all its readers on this node, just as a client would follow it.

The rule is the client's (docs/websocket.md): a diff is applied only if it starts where the book stands; anything else,
and a checksum that does not match, makes the book unknown until it has been read from the cache again. Nothing is ever
guessed, so readers get a book that was the matcher's at its `seq`, or none yet.
"""

from bisect import bisect_left, insort
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal
from typing import Final

import structlog

from exchange_core.market_data import CHECKSUM_LEVELS, LevelText, book_checksum
from exchange_fanout.messages import (
    CachedBook,
    DepthDiff,
    Levels,
    Message,
    read_cached_book,
    read_diff,
    snapshot_payload,
)

DIFFS_KEPT_MAX: Final = 1_000
"""So many diffs are kept while the book is being read; older ones are in what is read, or it is read again."""

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A book ready to be sent."""

    seq: int
    message: Message


class _Side:
    """Quantities by price, and the prices in order, best first."""

    def __init__(self, levels: Iterable[LevelText], *, is_bid: bool) -> None:
        self._is_bid = is_bid
        self._quantities: dict[str, str] = {}
        self._order: list[tuple[Decimal, str]] = []
        for price, quantity in levels:
            self._set(price, quantity)

    def apply(self, levels: Levels) -> None:
        for price, quantity in levels.items():
            if quantity != "0":
                self._set(price, quantity)
            elif self._quantities.pop(price, None) is not None:
                key = self._key(price)
                del self._order[bisect_left(self._order, key)]

    def best(self, count: int | None = None) -> list[LevelText]:
        return [(price, self._quantities[price]) for _, price in self._order[:count]]

    def _set(self, price: str, quantity: str) -> None:
        if price not in self._quantities:
            insort(self._order, self._key(price))
        self._quantities[price] = quantity

    def _key(self, price: str) -> tuple[Decimal, str]:
        return (-Decimal(price) if self._is_bid else Decimal(price)), price


class SharedBook:
    """One symbol's book, or that it is not known: then the hub reads it and calls `start`."""

    def __init__(self, symbol: str) -> None:
        self.symbol = symbol
        self._seq: int | None = None
        self._timestamp = ""
        self._bids = self._asks = _Side((), is_bid=True)
        self._kept: deque[DepthDiff] = deque(maxlen=DIFFS_KEPT_MAX)
        self._snapshot: Snapshot | None = None

    @property
    def is_known(self) -> bool:
        """Whether there is a book to show and to lead on."""
        return self._seq is not None

    def take(self, message: Message) -> bool:
        """Take a message of the depth channel in; whether it is news for those who stand where the book stood."""
        try:
            diff = read_diff(message.payload)
        except ValueError as error:
            log.error("depth_diff_unreadable", symbol=self.symbol, error=str(error))
            self.lose()
            return False
        if self._seq is None:
            self._kept.append(diff)
            return False
        if diff.seq <= self._seq:
            return False
        if not self._follow(diff):
            self._kept.append(diff)
            return False
        message.diff = diff
        return True

    def start(self, payload: bytes) -> bool:
        """Begin with the cached book and go on with the diffs kept meanwhile; False if they do not follow from it:
        read the cache again."""
        try:
            cached = read_cached_book(payload)
        except ValueError as error:
            log.error("cached_book_unreadable", symbol=self.symbol, error=str(error))
            return False
        kept, self._kept = self._kept, deque(maxlen=DIFFS_KEPT_MAX)
        self._snapshot = None
        self._seq, self._timestamp = cached.seq, cached.timestamp
        self._bids, self._asks = _Side(cached.bids, is_bid=True), _Side(cached.asks, is_bid=False)
        for diff in kept:
            if self._seq is None or (diff.seq > self._seq and not self._follow(diff)):
                self._kept.append(diff)
        return self.is_known

    def snapshot(self) -> Snapshot | None:
        """The book as it stands, made once however many ask; None while it is not known."""
        if self._seq is None:
            return None
        if self._snapshot is None:
            bids, asks = self._bids.best(), self._asks.best()
            book = CachedBook(symbol=self.symbol, seq=self._seq, timestamp=self._timestamp, bids=bids, asks=asks)
            self._snapshot = Snapshot(self._seq, Message(snapshot_payload(book, self._checksum())))
        return self._snapshot

    def lose(self) -> None:
        """The book is not known any more."""
        self._seq = None
        self._kept.clear()
        self._snapshot = None

    def _follow(self, diff: DepthDiff) -> bool:
        """Apply the diff; or lose the book, because the diff does not start from it or does not lead where it says."""
        if diff.prev_seq != self._seq:
            log.info("depth_gap", symbol=self.symbol, seq=self._seq, prev_seq=diff.prev_seq)
            self.lose()
            return False
        self._bids.apply(diff.bids)
        self._asks.apply(diff.asks)
        if self._checksum() != diff.checksum:
            log.error("depth_checksum_differs", symbol=self.symbol, seq=diff.seq)
            self.lose()
            return False
        self._seq, self._timestamp = diff.seq, diff.timestamp
        self._snapshot = None
        return True

    def _checksum(self) -> int:
        return book_checksum(self._bids.best(CHECKSUM_LEVELS), self._asks.best(CHECKSUM_LEVELS))
