"""A plain book that says what the recorded flow does when every step arrives in the recorded order.

The replay needs it twice: to know, before it sends an order, whether that order will trade (then it must not overtake
or be overtaken); and afterwards, to tell what the venue did otherwise from what the exchange under test did otherwise.
It shares no code with the exchange's own book, on purpose.
"""

from bisect import insort
from dataclasses import dataclass, field

from exchange_core.orders import Side


@dataclass(slots=True, kw_only=True)
class ModelOrder:
    """An order in the model: cents, and volumes in 10⁻⁸ of the base asset."""

    recorded_id: int
    side: Side
    price: int
    remaining: int
    filled: int = 0
    met: set[int] = field(default_factory=set)


class ReplayModel:
    """Price-time priority, limit orders good till canceled, nothing else."""

    def __init__(self) -> None:
        self.orders: dict[int, ModelOrder] = {}
        self.trade_count = 0
        self._levels: dict[Side, dict[int, dict[int, ModelOrder]]] = {Side.BUY: {}, Side.SELL: {}}
        self._prices: dict[Side, list[int]] = {Side.BUY: [], Side.SELL: []}

    def would_trade(self, side: Side, price: int) -> bool:
        """Whether an order of this side and limit would meet another at once."""
        best = self.best(side.opposite)
        return best is not None and crosses(side, price, best)

    def place(self, recorded_id: int, side: Side, price: int, volume: int) -> None:
        """Enter the order: it takes what it can and rests with what is left."""
        order = ModelOrder(recorded_id=recorded_id, side=side, price=price, remaining=volume)
        self.orders[recorded_id] = order
        while order.remaining and self.would_trade(side, price):
            best = self.best(side.opposite)
            assert best is not None
            self._trade(order, next(iter(self._levels[side.opposite][best].values())))
        if order.remaining:
            if price not in self._levels[side]:
                self._levels[side][price] = {}
                insort(self._prices[side], price)
            self._levels[side][price][recorded_id] = order

    def cancel(self, recorded_id: int) -> None:
        """Take the order out, if it rests."""
        order = self.orders.get(recorded_id)
        if order is not None and recorded_id in self._levels[order.side].get(order.price, {}):
            self._remove(order)

    def best(self, side: Side) -> int | None:
        """The best price at which an order of this side rests."""
        prices = self._prices[side]
        if not prices:
            return None
        return prices[-1] if side is Side.BUY else prices[0]

    def _trade(self, taker: ModelOrder, maker: ModelOrder) -> None:
        volume = min(taker.remaining, maker.remaining)
        for order, other in ((taker, maker), (maker, taker)):
            order.remaining -= volume
            order.filled += volume
            order.met.add(other.recorded_id)
        self.trade_count += 1
        if not maker.remaining:
            self._remove(maker)

    def _remove(self, order: ModelOrder) -> None:
        level = self._levels[order.side][order.price]
        del level[order.recorded_id]
        if not level:
            del self._levels[order.side][order.price]
            self._prices[order.side].remove(order.price)


def crosses(side: Side, price: int, other_price: int) -> bool:
    """Whether a limit of this side meets one of the other side at `other_price`."""
    return price >= other_price if side is Side.BUY else price <= other_price
