"""Stop and take-profit orders, outside the book until a trade reaches their trigger price."""

from collections.abc import Iterator
from heapq import heapify, heappop, heappush
from typing import Final

from exchange_core.open_order import OpenOrder
from exchange_core.orders import OrderType, Side

_STOPS: Final = frozenset({OrderType.STOP, OrderType.STOP_LIMIT})
_STALE_MAX: Final = 64


def fires_on_rise(order: OpenOrder) -> bool:
    """Whether the order waits for a price at or above its trigger (else: at or below). A stop follows the market, a
    take-profit goes against it."""
    return (order.order_type in _STOPS) == (order.side is Side.BUY)


def is_reached(order: OpenOrder, price: int) -> bool:
    """Whether a trade at `price` reaches the order's trigger."""
    assert order.trigger_price is not None, "only orders with a trigger wait"
    return price >= order.trigger_price if fires_on_rise(order) else price <= order.trigger_price


class TriggerBook:
    """Waiting orders of one symbol. What a trade has reached stays reached, and fires in order of entry.

    What the heaps hold of orders that ended while they waited is passed over, and swept out now and then.
    """

    __slots__ = ("_falling", "_reached", "_rising", "_waiting")

    def __init__(self) -> None:
        self._waiting: dict[int, OpenOrder] = {}
        self._rising: list[tuple[int, int]] = []
        self._falling: list[tuple[int, int]] = []
        self._reached: list[int] = []

    def add(self, order: OpenOrder, *, is_reached: bool = False) -> None:
        """Let an order wait; its `seq` is its name here."""
        assert order.trigger_price is not None, "only orders with a trigger wait"
        self._waiting[order.seq] = order
        order.is_waiting = True
        if is_reached:
            heappush(self._reached, order.seq)
        elif fires_on_rise(order):
            heappush(self._rising, (order.trigger_price, order.seq))
        else:
            heappush(self._falling, (-order.trigger_price, order.seq))

    def remove(self, order: OpenOrder) -> None:
        """An order ended while it waited, or its turn has come."""
        del self._waiting[order.seq]
        order.is_waiting = False
        if len(self._rising) + len(self._falling) > 2 * len(self._waiting) + _STALE_MAX:
            self._drop_stale()

    def note_trade(self, price: int) -> None:
        """A trade at `price`: every order whose trigger it reaches will fire."""
        rising, falling = self._rising, self._falling
        while rising and rising[0][0] <= price:
            self._reach(heappop(rising)[1])
        while falling and falling[0][0] <= -price:
            self._reach(heappop(falling)[1])

    def first_reached(self) -> OpenOrder | None:
        """The order that fires next; it stays until it is removed."""
        while self._reached:
            order = self._waiting.get(self._reached[0])
            if order is not None:
                return order
            heappop(self._reached)
        return None

    def __iter__(self) -> Iterator[tuple[OpenOrder, bool]]:
        """(order, whether it is reached), in order of entry."""
        reached = set(self._reached)
        for seq in sorted(self._waiting):
            yield self._waiting[seq], seq in reached

    def _reach(self, seq: int) -> None:
        if seq in self._waiting:
            heappush(self._reached, seq)

    def _drop_stale(self) -> None:
        self._rising = [entry for entry in self._rising if entry[1] in self._waiting]
        self._falling = [entry for entry in self._falling if entry[1] in self._waiting]
        heapify(self._rising)
        heapify(self._falling)
