"""The book as one would explain it: a list a side, scanned from the front. The fast book must do exactly the same.

It shares nothing with `book.Book` but the interface, and is written to be seen to be right; nothing trades on it.
"""

from collections.abc import Iterator

from exchange_core.market_data import Level
from exchange_core.matching import Outcome, Step, StepKind
from exchange_core.open_order import OpenOrder
from exchange_core.orders import SelfTradePrevention


class NaiveBook:
    """Two lists of orders, best first; see `matching.OrderBook` for what each method promises."""

    def __init__(self, tick_lot_units: int) -> None:
        self._tick_lot_units = tick_lot_units
        self._orders: dict[bool, list[OpenOrder]] = {True: [], False: []}

    def add(self, order: OpenOrder, visible: int | None = None) -> None:
        """Insert by price."""
        order.visible = order.shown() if visible is None else visible
        order.level = self
        self._insert(order)

    def remove(self, order: OpenOrder) -> None:
        """Keep all the others."""
        self._orders[order.is_buy] = [other for other in self._orders[order.is_buy] if other is not order]
        order.level = None

    def shrink(self, order: OpenOrder, remaining: int) -> None:
        """Lower `remaining`."""
        order.remaining = remaining
        order.visible = min(order.visible, remaining)

    def consume(self, order: OpenOrder, quantity: int) -> bool:
        """Take lots off; an iceberg with nothing to show enters anew."""
        order.remaining -= quantity
        order.visible -= quantity
        if order.remaining == 0:
            self.remove(order)
            return True
        if order.visible == 0:
            self.remove(order)
            self.add(order)
        return False

    def take(self, taker: OpenOrder, worst_price: int, steps_max: int) -> tuple[list[Step], Outcome]:
        """Again and again: look who is first, and deal with him."""
        steps: list[Step] = []
        while True:
            if taker.remaining == 0:
                return steps, Outcome.FILLED if steps[-1][0] is StepKind.TRADE else Outcome.SELF_TRADE
            makers = self._in_reach(taker, worst_price)
            if not makers:
                return steps, Outcome.NOTHING_IN_REACH
            maker = makers[0]
            cost_of_lot = maker.limit * self._tick_lot_units
            if taker.budget is not None and taker.budget < cost_of_lot:
                return steps, Outcome.BUDGET_SPENT
            if len(steps) == steps_max:
                return steps, Outcome.STEP_LIMIT
            is_self_trade = maker.user_id == taker.user_id
            if is_self_trade and taker.self_trade_prevention is SelfTradePrevention.CANCEL_TAKER:
                return steps, Outcome.SELF_TRADE
            if is_self_trade and taker.self_trade_prevention is not SelfTradePrevention.DECREMENT:
                self.remove(maker)
                steps.append((StepKind.MAKER_CANCELED, maker, maker.limit, 0, True))
                if taker.self_trade_prevention is SelfTradePrevention.CANCEL_BOTH:
                    return steps, Outcome.SELF_TRADE
                continue
            quantity = min(taker.remaining, maker.visible)
            if taker.budget is not None:
                quantity = min(quantity, taker.budget // cost_of_lot)
                taker.budget -= quantity * cost_of_lot
            taker.remaining -= quantity
            if not is_self_trade:
                taker.filled += quantity
                maker.filled += quantity
            kind = StepKind.DECREMENT if is_self_trade else StepKind.TRADE
            steps.append((kind, maker, maker.limit, quantity, self.consume(maker, quantity)))

    def can_fill(self, taker: OpenOrder, worst_price: int, steps_max: int) -> bool:
        """Plays it through on a queue of (maker, visible, hidden) that is thrown away afterwards."""
        wanted, steps = taker.remaining, 0
        queue = [
            (maker, maker.visible, maker.remaining - maker.visible) for maker in self._in_reach(taker, worst_price)
        ]
        while queue:
            maker, visible, hidden = queue.pop(0)
            steps += 1
            if steps > steps_max:
                return False
            if maker.user_id == taker.user_id:
                if taker.self_trade_prevention is not SelfTradePrevention.CANCEL_MAKER:
                    return False
                continue
            wanted -= visible
            if wanted <= 0:
                return True
            if hidden:
                shown = min(hidden, maker.display_quantity or hidden)
                behind = [index for index, entry in enumerate(queue) if entry[0].price == maker.price]
                place = behind[-1] + 1 if behind else 0
                queue.insert(place, (maker, shown, hidden - shown))
        return False

    def best_price(self, side_is_buy: bool) -> int | None:
        """The first order's."""
        orders = self._orders[side_is_buy]
        return orders[0].limit if orders else None

    def depth(self, side_is_buy: bool, levels_max: int) -> list[Level]:
        """Sum up what the orders show."""
        shown: dict[int, int] = {}
        for order in self._orders[side_is_buy]:
            shown[order.limit] = shown.get(order.limit, 0) + order.visible
        return list(shown.items())[:levels_max]

    def in_priority(self, side_is_buy: bool) -> Iterator[OpenOrder]:
        """As they stand."""
        return iter(self._orders[side_is_buy])

    def _insert(self, order: OpenOrder) -> None:
        """Before the first order with a worse price: behind all with a better or the same one."""
        orders = self._orders[order.is_buy]
        for index, other in enumerate(orders):
            if other.limit < order.limit if order.is_buy else other.limit > order.limit:
                orders.insert(index, order)
                return
        orders.append(order)

    def _in_reach(self, taker: OpenOrder, worst_price: int) -> list[OpenOrder]:
        return [
            maker
            for maker in self._orders[not taker.is_buy]
            if (maker.limit <= worst_price if taker.is_buy else maker.limit >= worst_price)
        ]
