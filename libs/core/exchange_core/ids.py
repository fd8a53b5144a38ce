"""Order ids: 63-bit integers, unique without coordination, increasing with time.

Layout, high to low: 41 bits of milliseconds since 2024-01-01T00:00Z, 10 bits of node, 12 bits of counter. A node
number is leased from the `leases` table, for milliseconds that nobody else has it for; a gateway makes ids of those
only. As text (JSON) an id is its decimal digits: JavaScript cannot hold 63 bits in a number.
"""

from typing import Final

EPOCH_MS: Final = 1_704_067_200_000
NODE_COUNT: Final = 1 << 10
_COUNTER_LIMIT: Final = 1 << 12


class IdGenerator:
    """Makes ids for one node. `next_id` never repeats and never goes back, even if the clock does."""

    def __init__(self, node: int) -> None:
        assert 0 <= node < NODE_COUNT, "node is leased from 0..1023"
        self._node = node
        self.last_ms = 0
        """The millisecond of the last id; 0 before the first."""
        self._counter = 0

    def next_id(self, now_ms: int) -> int:
        """The next id at wall time `now_ms`. When 4,096 ids were made in one millisecond, borrows from the next."""
        if now_ms > self.last_ms:
            self.last_ms, self._counter = now_ms, 0
        else:
            self._counter += 1
            if self._counter == _COUNTER_LIMIT:
                self.last_ms, self._counter = self.last_ms + 1, 0
        return ((self.last_ms - EPOCH_MS) << 22) | (self._node << 12) | self._counter


def created_at_ms(identifier: int) -> int:
    """The wall time, in milliseconds since the Unix epoch, at which an id was made."""
    return (identifier >> 22) + EPOCH_MS


def parse_id(text: str) -> int | None:
    """The id that the text names, or None if it cannot name one."""
    if not text.isascii() or not text.isdigit() or len(text) > 19 or (text[0] == "0" and text != "0"):
        return None
    identifier = int(text)
    return identifier if identifier < 1 << 63 else None
