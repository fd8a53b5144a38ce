"""How each kind of channel is passed on to one client, and what it does with one that reads slowly.

trade               every message; nothing is left out, so a client that cannot take them is cut
orders, balances    the same, from the user's own channel
ticker, candle      the latest message of each replaces the one that waits
depth               diffs that wait are merged into one; when that grows too large, the book itself takes its place
"""

from collections.abc import Callable
from typing import Final, Protocol

from exchange_adapters.emf import recorder
from exchange_adapters.metrics import CONFLATED_MESSAGES
from exchange_core.market_data import BOOK_CACHE_LEVELS
from exchange_fanout.books import Snapshot
from exchange_fanout.connections import Connection
from exchange_fanout.frames import text_frame
from exchange_fanout.messages import DepthDiff, Message

MERGED_LEVELS_MAX: Final = 2 * BOOK_CACHE_LEVELS
"""A merged diff of more levels is larger than the book."""


class Watcher(Protocol):
    """Somebody who hears one channel."""

    @property
    def channel(self) -> str:
        """The Redis channel."""
        ...

    def deliver(self, message: Message) -> None:
        """Take a message; never waits."""
        ...


class EverySubscription:
    """Each message, as it came. `prefix` picks some of a channel's."""

    def __init__(self, connection: Connection, channel: str, prefix: bytes = b"") -> None:
        self.channel = channel
        self._connection = connection
        self._prefix = prefix

    def deliver(self, message: Message) -> None:
        """Send it, or give the client up."""
        if message.payload.startswith(self._prefix):
            self._connection.send(message.frame)


class LatestSubscription:
    """The latest message; one that nobody could take yet is replaced by the next."""

    def __init__(self, connection: Connection, channel: str) -> None:
        self.channel = channel
        self.has_begun = False
        self._connection = connection
        self._latest: bytes | None = None

    def deliver(self, message: Message) -> None:
        """Send it now or when the client has caught up."""
        self.has_begun = True
        if self._connection.is_behind:
            if self._latest is not None:
                recorder.count(CONFLATED_MESSAGES)
            self._latest = message.frame
            self._connection.hold_back(self)
        else:
            self._connection.send(message.frame)

    def take_held(self) -> bytes | None:
        """What waits."""
        held, self._latest = self._latest, None
        return held


class DepthSubscription:
    """The book, then every diff that starts where the client stands; the book again where that is not possible."""

    def __init__(self, connection: Connection, channel: str, snapshot: Callable[[], Snapshot | None]) -> None:
        self.channel = channel
        self._connection = connection
        self._snapshot = snapshot
        self._seq: int | None = None
        """Where the client will stand with all that was sent or waits for it; None: it is owed a book."""
        self._merged: DepthDiff | None = None

    def begin(self) -> None:
        """Send the book, now or as soon as it is known and can be taken."""
        self._seq = self._merged = None
        self._connection.hold_back(self)
        self._connection.catch_up()

    def begin_anew(self) -> None:
        """The node had to read the book again: send it, unless the client stands there anyway."""
        snapshot = self._snapshot()
        if snapshot is None or snapshot.seq != self._seq:
            self.begin()

    def deliver(self, message: Message) -> None:
        """Send the diff, or merge it with what waits."""
        diff = message.diff
        assert diff is not None, "the book has read it"
        if self._seq is None or diff.seq <= self._seq:
            return
        if not self._connection.is_behind:
            self._connection.send(message.frame)
        else:
            merged = diff if self._merged is None else self._merged.followed_by(diff)
            if merged is not diff:
                recorder.count(CONFLATED_MESSAGES)
            if merged.level_count > MERGED_LEVELS_MAX:
                self.begin()
                return
            self._merged = merged
            self._connection.hold_back(self)
        self._seq = diff.seq

    def take_held(self) -> bytes | None:
        """The merged diff, or the book; None while it is not known: its arrival begins anew."""
        if self._seq is not None:
            merged, self._merged = self._merged, None
            return text_frame(merged.payload()) if merged else None
        snapshot = self._snapshot()
        if snapshot is None:
            return None
        self._seq = snapshot.seq
        return snapshot.message.frame


Subscription = EverySubscription | LatestSubscription | DepthSubscription
