"""The order book that trades: a linked queue of orders a price, and a sorted list of prices a side.

Placing and canceling at a known price, and matching at the best one, take constant time; a new price costs one binary
search. Prices are kept as keys that grow towards the spread (a bid's price, an ask's price negated), so that the best
is the last of the list on both sides and one piece of code serves both.
"""

from bisect import bisect_left, insort
from collections import deque
from collections.abc import Iterator
from typing import Final

from exchange_core.market_data import Level
from exchange_core.matching import Outcome, Step, StepKind
from exchange_core.open_order import OpenOrder
from exchange_core.orders import SelfTradePrevention

_TRADE: Final = StepKind.TRADE  # Python 3.11 takes as long to look an enum's member up as to call a function
_DECREMENT: Final = StepKind.DECREMENT
_FILLED: Final = Outcome.FILLED
_NOTHING_IN_REACH: Final = Outcome.NOTHING_IN_REACH


class _Queue:
    """The orders at one price, oldest first; `visible` is the sum of theirs."""

    __slots__ = ("head", "key", "price", "tail", "visible")

    def __init__(self, price: int, key: int) -> None:
        self.price = price
        self.key = key
        self.visible = 0
        self.head: OpenOrder | None = None
        self.tail: OpenOrder | None = None

    def append(self, order: OpenOrder) -> None:
        tail = self.tail
        order.level = self
        order.previous = tail
        order.next = None
        if tail is None:
            self.head = order
        else:
            tail.next = order
        self.tail = order
        self.visible += order.visible

    def unlink(self, order: OpenOrder) -> None:
        previous, following = order.previous, order.next
        if previous is None:
            self.head = following
        else:
            previous.next = following
        if following is None:
            self.tail = previous
        else:
            following.previous = previous
        order.level = order.previous = order.next = None
        self.visible -= order.visible


class _BookSide:
    """All queues of one side: by key, and their keys in ascending order, the best one last."""

    __slots__ = ("keys", "queues")

    def __init__(self) -> None:
        self.keys: list[int] = []
        self.queues: dict[int, _Queue] = {}

    def drop(self, key: int) -> None:
        del self.queues[key]
        keys = self.keys
        if keys[-1] == key:
            keys.pop()
        else:
            del keys[bisect_left(keys, key)]


def _take_hidden(icebergs: deque[tuple[int, int]], wanted: int, steps_left: int) -> tuple[int, int]:
    """What is still wanted after the (hidden, display) lots of a queue, shown in turn behind all that was shown."""
    while icebergs and wanted > 0 and steps_left >= 0:
        hidden, display = icebergs.popleft()
        shown = min(hidden, display)
        wanted -= shown
        steps_left -= 1
        if hidden > shown:
            icebergs.append((hidden - shown, display))
    return wanted, steps_left


class Book:
    """Price-time priority in plain Python; see `matching.OrderBook` for what each method promises."""

    __slots__ = ("_asks", "_bids", "_tick_lot_units")

    def __init__(self, tick_lot_units: int) -> None:
        self._bids = _BookSide()
        self._asks = _BookSide()
        self._tick_lot_units = tick_lot_units

    def add(self, order: OpenOrder, visible: int | None = None) -> None:
        """Append to the queue at its price."""
        assert order.level is None, "an order rests once"
        price = order.price
        assert price is not None, "an order without a price cannot rest"
        side, key = (self._bids, price) if order.is_buy else (self._asks, -price)
        queue = side.queues.get(key)
        if queue is None:
            queue = side.queues[key] = _Queue(price, key)
            keys = side.keys
            if not keys or key > keys[-1]:
                keys.append(key)
            else:
                insort(keys, key)
        if visible is not None:
            order.visible = visible
        else:
            order.visible = order.remaining if order.display_quantity is None else order.shown()
        queue.append(order)

    def remove(self, order: OpenOrder) -> None:
        """Unlink it; an empty queue goes too."""
        queue = order.level
        queue.unlink(order)
        if queue.head is None:
            (self._bids if order.is_buy else self._asks).drop(queue.key)

    def shrink(self, order: OpenOrder, remaining: int) -> None:
        """Lower `remaining`, and what is visible of it."""
        assert 0 < remaining <= order.remaining, "to shrink is not to grow, nor to end"
        order.remaining = remaining
        if order.visible > remaining:
            order.level.visible -= order.visible - remaining
            order.visible = remaining

    def consume(self, order: OpenOrder, quantity: int) -> bool:
        """Take lots off; refill an iceberg at the back; remove what is used up."""
        queue = order.level
        order.remaining -= quantity
        order.visible -= quantity
        queue.visible -= quantity
        if order.visible:
            assert order.visible > 0, "nobody takes more than is shown"
            return False
        if order.remaining:
            queue.unlink(order)
            order.visible = order.shown()
            queue.append(order)
            return False
        self.remove(order)
        return True

    def take(self, taker: OpenOrder, worst_price: int, steps_max: int) -> tuple[list[Step], Outcome]:
        """Walk the other side from its best price."""
        side, worst_key = self._reach(taker, worst_price)
        keys, queues = side.keys, side.queues
        user_id = taker.user_id
        steps: list[Step] = []
        while keys and keys[-1] >= worst_key:
            queue = queues[keys[-1]]
            maker = queue.head
            assert maker is not None, "a queue in the book is not empty"
            price = queue.price
            quantity = taker.remaining
            if taker.budget is not None:
                quantity = min(quantity, taker.budget // (price * self._tick_lot_units))
                if not quantity:
                    return steps, Outcome.BUDGET_SPENT
            if len(steps) >= steps_max:
                return steps, Outcome.STEP_LIMIT
            kind = _TRADE
            if maker.user_id == user_id:
                if taker.self_trade_prevention is not SelfTradePrevention.DECREMENT:
                    if self._one_gives_way(taker, maker, steps):
                        return steps, Outcome.SELF_TRADE
                    continue
                kind = _DECREMENT
            if quantity > maker.visible:
                quantity = maker.visible
            is_maker_done = self.consume(maker, quantity)
            steps.append((kind, maker, price, quantity, is_maker_done))
            taker.remaining -= quantity
            if taker.budget is not None:
                taker.budget -= quantity * price * self._tick_lot_units
            if kind is _TRADE:
                maker.filled += quantity
                taker.filled += quantity
            if not taker.remaining:
                return steps, _FILLED if kind is _TRADE else Outcome.SELF_TRADE
        return steps, _NOTHING_IN_REACH

    def can_fill(self, taker: OpenOrder, worst_price: int, steps_max: int) -> bool:
        """Walk the other side without touching it."""
        side, worst_key = self._reach(taker, worst_price)
        gives_way = taker.self_trade_prevention is SelfTradePrevention.CANCEL_MAKER
        wanted, steps_left = taker.remaining, steps_max
        for key in reversed(side.keys):
            if key < worst_key:
                break
            icebergs: deque[tuple[int, int]] = deque()
            maker = side.queues[key].head
            while maker is not None:
                steps_left -= 1
                if maker.user_id != taker.user_id:
                    wanted -= maker.visible
                    if maker.display_quantity is not None and maker.remaining > maker.visible:
                        icebergs.append((maker.remaining - maker.visible, maker.display_quantity))
                elif not gives_way:
                    return False
                if steps_left < 0 or wanted <= 0:
                    return steps_left >= 0
                maker = maker.next
            wanted, steps_left = _take_hidden(icebergs, wanted, steps_left)
            if steps_left < 0 or wanted <= 0:
                return steps_left >= 0
        return False

    def best_price(self, side_is_buy: bool) -> int | None:
        """The last key of the side."""
        if side_is_buy:
            keys = self._bids.keys
            return keys[-1] if keys else None
        keys = self._asks.keys
        return -keys[-1] if keys else None

    def depth(self, side_is_buy: bool, levels_max: int) -> list[Level]:
        """The last keys of the side and what their queues show."""
        side = self._bids if side_is_buy else self._asks
        best_keys = side.keys[: -levels_max - 1 : -1]
        return [(side.queues[key].price, side.queues[key].visible) for key in best_keys]

    def in_priority(self, side_is_buy: bool) -> Iterator[OpenOrder]:
        """From the best queue's head on."""
        side = self._bids if side_is_buy else self._asks
        for key in reversed(side.keys):
            order = side.queues[key].head
            while order is not None:
                yield order
                order = order.next

    def _one_gives_way(self, taker: OpenOrder, maker: OpenOrder, steps: list[Step]) -> bool:
        """Cancel the maker unless the taker alone gives way; returns whether the taker does."""
        prevention = taker.self_trade_prevention
        if prevention is not SelfTradePrevention.CANCEL_TAKER:
            self.remove(maker)
            steps.append((StepKind.MAKER_CANCELED, maker, maker.limit, 0, True))
        return prevention is not SelfTradePrevention.CANCEL_MAKER

    def _reach(self, taker: OpenOrder, worst_price: int) -> tuple[_BookSide, int]:
        """The side that the taker trades against, and the lowest key that is good enough for it."""
        return (self._asks, -worst_price) if taker.is_buy else (self._bids, worst_price)
