"""The vocabulary of orders: sides, types, how long they live, how they end, and the terms a client asked for."""

from dataclasses import dataclass
from enum import StrEnum


class Side(StrEnum):
    """Which side of the book an order stands on. A buy holds quote, a sell holds base."""

    BUY = "buy"
    SELL = "sell"

    @property
    def opposite(self) -> "Side":
        """The side it trades against."""
        return Side.SELL if self is Side.BUY else Side.BUY


class OrderType(StrEnum):
    """See docs/semantics.md: what each type does when it enters and when it triggers."""

    LIMIT = "limit"
    MARKET = "market"
    STOP = "stop"
    STOP_LIMIT = "stop_limit"
    TAKE_PROFIT = "take_profit"
    TAKE_PROFIT_LIMIT = "take_profit_limit"


class TimeInForce(StrEnum):
    """How long an order stays: until canceled, immediate or cancel, fill or kill, until a date."""

    GTC = "gtc"
    IOC = "ioc"
    FOK = "fok"
    GTD = "gtd"


class SelfTradePrevention(StrEnum):
    """Which order gives way when both are of one user; decided by the taker."""

    CANCEL_TAKER = "cancel_taker"
    CANCEL_MAKER = "cancel_maker"
    CANCEL_BOTH = "cancel_both"
    DECREMENT = "decrement"


class OrderStatus(StrEnum):
    """accepted → open → partially_filled → filled | canceled | expired | rejected. The last four are final."""

    ACCEPTED = "accepted"
    OPEN = "open"
    PARTIALLY_FILLED = "partially_filled"
    FILLED = "filled"
    CANCELED = "canceled"
    EXPIRED = "expired"
    REJECTED = "rejected"

    @property
    def is_final(self) -> bool:
        """Whether an order in this status never changes again."""
        return self in _FINAL


_FINAL = frozenset({OrderStatus.FILLED, OrderStatus.CANCELED, OrderStatus.EXPIRED, OrderStatus.REJECTED})


class Reason(StrEnum):
    """Why an order ended, or a command was refused: the stable codes that clients see."""

    FILLED = "filled"
    USER_CANCELED = "user_canceled"
    IMMEDIATE_OR_CANCEL = "immediate_or_cancel"
    FILL_OR_KILL = "fill_or_kill"
    WOULD_TAKE = "would_take"
    PRICE_BAND = "price_band"
    NO_LIQUIDITY = "no_liquidity"
    BUDGET_SPENT = "budget_spent"
    FILL_LIMIT = "fill_limit"
    SELF_TRADE = "self_trade"
    DATE_REACHED = "date_reached"
    TOO_LATE = "too_late"
    CANCEL_TIMER = "cancel_timer"
    SYMBOL_UNKNOWN = "symbol_unknown"
    SYMBOL_HALTED = "symbol_halted"
    SYMBOL_EXISTS = "symbol_exists"
    TOO_MANY_OPEN_ORDERS = "too_many_open_orders"
    INSUFFICIENT_HOLD = "insufficient_hold"
    ORDER_NOT_FOUND = "order_not_found"
    ORDER_CLOSED = "order_closed"
    QUANTITY_NOT_ABOVE_FILLED = "quantity_not_above_filled"
    UNSUPPORTED = "unsupported"
    INVALID = "invalid"
    UNDECODABLE = "undecodable"


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderTerms:
    """What a client asked for, in ticks, lots and units; the same fields in the command and in its events.

    `hold` is what the gateway has set aside for it, in units of `hold_asset`: quote for a buy, base for a sell.
    Exactly one of `quantity` (lots) and `quote_quantity` (quote units, market orders only) is given. A market order
    given by quantity carries its protection price as `price`; `expires_at_ms` goes with GTD.
    """

    order_id: int
    user_id: str
    client_order_id: str
    symbol: str
    side: Side
    order_type: OrderType
    time_in_force: TimeInForce
    price: int | None = None
    quantity: int | None = None
    quote_quantity: int | None = None
    trigger_price: int | None = None
    display_quantity: int | None = None
    expires_at_ms: int | None = None
    post_only: bool = False
    self_trade_prevention: SelfTradePrevention = SelfTradePrevention.CANCEL_TAKER
    hold: int
    hold_asset: str
    entered_at_ms: int
    trace_id: str = ""
