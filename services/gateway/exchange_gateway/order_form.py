"""What an order must look like by itself, whatever the market is: types, combinations of fields, how it is written.

It depends on the body alone, so that its digest can tell a repeat from a clash.
"""

import hashlib
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Final

import orjson

from exchange_core.open_order import MARKET_TYPES, RESTING_TIMES, TRIGGERED_TYPES
from exchange_core.orders import OrderType, SelfTradePrevention, Side, TimeInForce
from exchange_gateway.fields import CLIENT_ID_PATTERN, Fields, invalid, time_ms, writable_time_ms
from exchange_gateway.problems import Code, ProblemError

ORDER_FIELDS: Final = (
    "symbol",
    "side",
    "type",
    "time_in_force",
    "price",
    "quantity",
    "quote_quantity",
    "client_order_id",
    "post_only",
    "self_trade_prevention",
    "trigger_price",
    "display_quantity",
    "expires_at",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderRequest:
    """A body that has the form of an order, numbers as the client wrote them."""

    symbol: str
    side: Side
    order_type: OrderType
    time_in_force: TimeInForce
    price: Decimal | None
    quantity: Decimal | None
    quote_quantity: Decimal | None
    trigger_price: Decimal | None
    display_quantity: Decimal | None
    expires_at_ms: int | None
    client_order_id: str | None
    post_only: bool
    self_trade_prevention: SelfTradePrevention

    @property
    def is_market(self) -> bool:
        """Whether it is a market order, at once or when it triggers."""
        return self.order_type in MARKET_TYPES

    def digest(self) -> str:
        """The same for bodies that mean the same (0.50 and "0.5"), different for any others.

        What came to the interface later counts only where it is given: a repeat may reach a newer gateway than the
        first try did.
        """
        later = {
            "trigger_price": self.trigger_price,
            "display_quantity": self.display_quantity,
            "expires_at": self.expires_at_ms,
        }
        return digest(
            self.symbol,
            self.side,
            self.order_type,
            self.time_in_force,
            self.price,
            self.quantity,
            self.quote_quantity,
            self.post_only,
            self.self_trade_prevention,
            *[part for name, value in later.items() if value is not None for part in (name, value)],
        )


def digest(*parts: Any) -> str:
    """A fingerprint of values by meaning: decimals without regard to how they were written."""
    plain = [_plain_text(part) if isinstance(part, Decimal) else part for part in parts]
    return hashlib.sha256(orjson.dumps(plain)).hexdigest()


def _plain_text(number: Decimal) -> str:
    text = format(number, "f")
    return (text.rstrip("0").rstrip(".") or "0") if "." in text else text


def read_order(body: dict[str, Any], unnamed: str | None = None) -> OrderRequest:
    """The order in a body; raises ProblemError for what is wrong whatever the market is. `unnamed` is its client id if
    the body gives none."""
    fields = Fields(body, ORDER_FIELDS)
    symbol = fields.text("symbol", longest=32)
    side = fields.choice("side", Side, Code.INVALID_SIDE)
    order_type = fields.choice("type", OrderType, Code.INVALID_TYPE)
    usual = TimeInForce.IOC if order_type in MARKET_TYPES else TimeInForce.GTC
    request = OrderRequest(
        symbol=symbol,
        side=side,
        order_type=order_type,
        time_in_force=fields.choice("time_in_force", TimeInForce, default=usual),
        price=fields.optional_decimal("price"),
        quantity=fields.optional_decimal("quantity"),
        quote_quantity=fields.optional_decimal("quote_quantity"),
        trigger_price=fields.optional_decimal("trigger_price"),
        display_quantity=fields.optional_decimal("display_quantity"),
        expires_at_ms=_time_ms(fields, "expires_at"),
        client_order_id=fields.optional_text("client_order_id", pattern=CLIENT_ID_PATTERN, longest=64) or unnamed,
        post_only=fields.flag("post_only"),
        self_trade_prevention=fields.choice(
            "self_trade_prevention", SelfTradePrevention, default=SelfTradePrevention.CANCEL_TAKER
        ),
    )
    _check_trigger_form(request)
    if request.is_market:
        _check_market_form(request)
    else:
        _check_limit_form(request)
    return request


def _time_ms(fields: Fields, name: str) -> int | None:
    """A time as ISO 8601 text with its offset from UTC, or as milliseconds of the epoch."""
    if not fields.has(name):
        return None
    if isinstance(fields.value(name), str):
        return time_ms(name, fields.text(name, longest=40))
    return writable_time_ms(name, fields.integer(name))


def _check_trigger_form(request: OrderRequest) -> None:
    if request.order_type in TRIGGERED_TYPES:
        if request.trigger_price is None:
            raise _missing(request, "trigger_price")
    elif request.trigger_price is not None:
        raise invalid("trigger_price", f"a {request.order_type} order has no trigger_price")


def _check_limit_form(request: OrderRequest) -> None:
    if request.quote_quantity is not None:
        raise invalid("quote_quantity", "quote_quantity goes with market orders only")
    for name in ("price", "quantity"):
        if getattr(request, name) is None:
            raise _missing(request, name)
    if request.time_in_force is TimeInForce.GTD:
        if request.expires_at_ms is None:
            raise ProblemError(Code.MISSING_FIELD, "gtd needs expires_at", field="expires_at")
    elif request.expires_at_ms is not None:
        raise invalid("expires_at", "expires_at goes with time_in_force gtd only")
    if request.time_in_force not in RESTING_TIMES:
        if request.post_only:
            raise invalid("post_only", "post_only goes with orders that may rest")
        if request.display_quantity is not None:
            raise invalid("display_quantity", "display_quantity goes with orders that may rest")


def _check_market_form(request: OrderRequest) -> None:
    if request.price is not None:
        raise invalid("price", f"a {request.order_type} order has no price")
    if request.post_only:
        raise invalid("post_only", f"a {request.order_type} order cannot be post_only")
    for name, value in (("display_quantity", request.display_quantity), ("expires_at", request.expires_at_ms)):
        if value is not None:
            raise invalid(name, f"{name} goes with orders that may rest")
    if request.time_in_force in RESTING_TIMES:
        raise invalid("time_in_force", f"a {request.order_type} order does not rest: ioc or fok")
    if request.quote_quantity is None:
        if request.quantity is None:
            raise _missing(request, "quantity")
        return
    if request.order_type is not OrderType.MARKET:
        raise invalid("quote_quantity", "quote_quantity goes with orders of type market only")
    if request.quantity is not None:
        raise invalid("quote_quantity", "give quantity or quote_quantity, not both")
    if request.time_in_force is TimeInForce.FOK:
        raise invalid("time_in_force", "an order by quote_quantity is ioc")


def _missing(request: OrderRequest, name: str) -> ProblemError:
    instead = " or quote_quantity" if request.order_type is OrderType.MARKET else ""
    return ProblemError(Code.MISSING_FIELD, f"a {request.order_type} order needs {name}{instead}", field=name)
