"""What is due at a time: the end of good-till-date orders, cancel timers and breaker halts of a partition."""

from collections.abc import Callable
from enum import IntEnum
from heapq import heapify, heappop, heappush
from typing import Final, TypeAlias

_STALE_MAX: Final = 1024


class DueKind(IntEnum):
    """What is due; at one moment the first kind goes first."""

    BREAKER_END = 0
    CANCEL_TIMER = 1
    ORDER_EXPIRY = 2


DueItem: TypeAlias = tuple[int, DueKind, str, str, int]
"""(due at, in ms of journal time; kind; symbol; user id of a timer, else empty; order id of an expiry, else 0)."""


class Agenda:
    """A heap of due items. An item that was overtaken (the order ended, the timer was set anew) stays in it until it
    comes up or until there are too many of the kind: `is_current` tells.
    """

    __slots__ = ("_is_current", "_items", "_kept")

    def __init__(self, is_current: Callable[[DueItem], bool]) -> None:
        self._is_current = is_current
        self._items: list[DueItem] = []
        self._kept = 0
        """How many items were left when the heap was last swept."""

    def add(self, item: DueItem) -> None:
        """Remember an item that is current from now on."""
        heappush(self._items, item)
        if len(self._items) > 2 * self._kept + _STALE_MAX:
            self._items = [known for known in self._items if self._is_current(known)]
            heapify(self._items)
            self._kept = len(self._items)

    def first(self) -> DueItem | None:
        """The item that is due next; it stays until it is no longer current."""
        items = self._items
        while items:
            if self._is_current(items[0]):
                return items[0]
            heappop(items)
        return None
