"""An order as its body says it, whatever the market is: what its schema leaves open, and how it is written.

It depends on the body alone, so that its digest can tell a repeat from a clash.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import orjson

from exchange_core.open_order import MARKET_TYPES, RESTING_TIMES
from exchange_core.orders import OrderType, SelfTradePrevention, Side, TimeInForce
from exchange_gateway.fields import invalid, optional_decimal, time_ms
from exchange_gateway.problems import Code, ProblemError


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


def read_order(body: Mapping[str, Any], unnamed: str | None = None) -> OrderRequest:
    """The order in a body that has the form of the contract's NewOrder; raises ProblemError for members that do not go
    together. `unnamed` is its client id if the body gives none."""
    order_type = OrderType(body["type"])
    usual = TimeInForce.IOC if order_type in MARKET_TYPES else TimeInForce.GTC
    request = OrderRequest(
        symbol=body["symbol"],
        side=Side(body["side"]),
        order_type=order_type,
        time_in_force=TimeInForce(body.get("time_in_force", usual)),
        price=optional_decimal(body, "price"),
        quantity=optional_decimal(body, "quantity"),
        quote_quantity=optional_decimal(body, "quote_quantity"),
        trigger_price=optional_decimal(body, "trigger_price"),
        display_quantity=optional_decimal(body, "display_quantity"),
        expires_at_ms=_time_ms(body, "expires_at"),
        client_order_id=body.get("client_order_id", unnamed),
        post_only=body.get("post_only", False),
        self_trade_prevention=SelfTradePrevention(body.get("self_trade_prevention", SelfTradePrevention.CANCEL_TAKER)),
    )
    if order_type is OrderType.MARKET:
        _check_market_form(request)
    elif order_type not in MARKET_TYPES:
        _check_limit_form(request)
    return request


def _time_ms(body: Mapping[str, Any], name: str) -> int | None:
    """A time as ISO 8601 text with its offset from UTC, or as milliseconds of the epoch."""
    value = body.get(name)
    if value is None:
        return None
    return time_ms(name, value) if isinstance(value, str) else int(value)


def _check_limit_form(request: OrderRequest) -> None:
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
    if request.quote_quantity is None:
        if request.quantity is None:
            raise ProblemError(Code.MISSING_FIELD, "give quantity or quote_quantity", field="quantity")
    elif request.quantity is not None:
        raise invalid("quote_quantity", "give quantity or quote_quantity, not both")
    elif request.time_in_force is TimeInForce.FOK:
        raise invalid("time_in_force", "an order by quote_quantity is ioc")
