"""An order that is in: what the matcher keeps of it between its OrderAccepted and its OrderDone."""

from typing import Any, Final

from exchange_core.orders import OrderTerms, OrderType, Side, TimeInForce

MARKET_TYPES: Final = frozenset({OrderType.MARKET, OrderType.STOP, OrderType.TAKE_PROFIT})
"""Types that are a market order once they are active: they never rest."""
TRIGGERED_TYPES: Final = frozenset(
    {OrderType.STOP, OrderType.STOP_LIMIT, OrderType.TAKE_PROFIT, OrderType.TAKE_PROFIT_LIMIT}
)
"""Types that wait outside the book for a trade at their trigger price."""
RESTING_TIMES: Final = frozenset({TimeInForce.GTC, TimeInForce.GTD})
"""How long those orders live that may stay in the book."""
_BUY: Final = Side.BUY
UNBOUNDED_LOTS: Final = 10**18
"""Stands for the quantity of a buy that is bounded by its budget alone."""


class OpenOrder:
    """Mutable, slotted, one a live order. Prices in ticks, quantities in lots, the budget in quote units.

    `seq` is that of its OrderAccepted: the order of entry. `remaining` and `filled` make up the quantity (what
    self-trade prevention took away belongs to neither). `visible` is the part of `remaining` that the book shows.
    `level`, `previous` and `next` belong to the book: `level` is not None while the order rests. `is_waiting` is true
    while the order stands outside the book, for its trigger.
    """

    __slots__ = (
        "budget",
        "can_rest",
        "display_quantity",
        "expires_at_ms",
        "filled",
        "is_buy",
        "is_waiting",
        "level",
        "next",
        "order_id",
        "order_type",
        "post_only",
        "previous",
        "price",
        "remaining",
        "self_trade_prevention",
        "seq",
        "side",
        "symbol",
        "time_in_force",
        "trigger_price",
        "user_id",
        "visible",
    )

    def __init__(self, terms: OrderTerms, seq: int, lot_units: int) -> None:
        side = terms.side
        time_in_force = terms.time_in_force
        self.order_id = terms.order_id
        self.user_id = terms.user_id
        self.symbol = terms.symbol
        self.side = side
        self.is_buy = side is _BUY
        self.order_type = terms.order_type
        self.time_in_force = time_in_force
        self.price = terms.price
        self.trigger_price = terms.trigger_price
        self.display_quantity = terms.display_quantity
        self.expires_at_ms = terms.expires_at_ms
        self.post_only = terms.post_only
        self.self_trade_prevention = terms.self_trade_prevention
        self.can_rest = time_in_force in RESTING_TIMES and terms.order_type not in MARKET_TYPES
        self.seq = seq
        self.filled = 0
        self.budget = terms.quote_quantity
        if terms.quantity is not None:
            self.remaining = terms.quantity
        else:
            self.remaining = UNBOUNDED_LOTS if self.is_buy else terms.hold // lot_units
        self.visible = 0
        self.is_waiting = False
        self.level: Any = None
        self.previous: OpenOrder | None = None
        self.next: OpenOrder | None = None

    @property
    def limit(self) -> int:
        """The price of an order that has one, in ticks."""
        assert self.price is not None, "only a market order by budget has no price, and it never rests"
        return self.price

    def accepts(self, price: int) -> bool:
        """Whether the order itself would trade at this price."""
        if self.price is None:
            return True
        return price <= self.price if self.is_buy else price >= self.price

    def shown(self) -> int:
        """How much of `remaining` the book shows once the order stands in it: all, or an iceberg's display."""
        if self.display_quantity is None or self.display_quantity > self.remaining:
            return self.remaining
        return self.display_quantity

    def hold(self, lot_units: int, tick_lot_units: int) -> int:
        """What the order still sets aside, in units of its hold asset (see `holds.required_hold`)."""
        if not self.is_buy:
            return self.remaining * lot_units
        if self.budget is not None:
            return self.budget
        return self.limit * self.remaining * tick_lot_units
