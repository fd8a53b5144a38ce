"""What an order must look like: first by itself, then against its instrument and the market.

The first half depends on the body alone, so that its digest can tell a repeat from a clash; the second half may judge
the same body differently a second later. SEMANTICS.md, "Guards", names the refusals.
"""

import dataclasses
import hashlib
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Final

import orjson

from exchange_core.checks import band
from exchange_core.commands import PlaceOrder
from exchange_core.holds import hold_asset, required_hold
from exchange_core.instruments import Instrument, SymbolStatus
from exchange_core.money import MAX_AMOUNT_UNITS, InexactAmountError, steps_text, to_units, units_text
from exchange_core.orders import OrderType, SelfTradePrevention, Side, TimeInForce
from exchange_gateway.fields import CLIENT_ID_PATTERN, Fields, invalid, whole_steps
from exchange_gateway.problems import Code, ProblemError

OFFERED_TYPES: Final = frozenset({OrderType.LIMIT, OrderType.MARKET})
OFFERED_TIMES: Final = frozenset({TimeInForce.GTC, TimeInForce.IOC, TimeInForce.FOK})
RESERVED_FIELDS: Final = ("trigger_price", "display_quantity", "expires_at")
"""Part of the interface already, offered later."""
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
    *RESERVED_FIELDS,
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
    client_order_id: str | None
    post_only: bool
    self_trade_prevention: SelfTradePrevention

    def digest(self) -> str:
        """The same for bodies that mean the same (0.50 and "0.5"), different for any others."""
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
        )


def digest(*parts: Any) -> str:
    """A fingerprint of values by meaning: decimals without regard to how they were written."""
    plain = [_plain_text(part) if isinstance(part, Decimal) else part for part in parts]
    return hashlib.sha256(orjson.dumps(plain)).hexdigest()


def _plain_text(number: Decimal) -> str:
    text = format(number, "f")
    return (text.rstrip("0").rstrip(".") or "0") if "." in text else text


def read_order(body: dict[str, Any]) -> OrderRequest:
    """The order in a body; raises ProblemError for what is wrong whatever the market is."""
    fields = Fields(body, ORDER_FIELDS)
    symbol = fields.text("symbol", longest=32)
    side = fields.choice("side", Side, Code.INVALID_SIDE)
    order_type = fields.choice("type", OrderType, Code.INVALID_TYPE)
    is_market = order_type is OrderType.MARKET
    request = OrderRequest(
        symbol=symbol,
        side=side,
        order_type=order_type,
        time_in_force=fields.choice(
            "time_in_force", TimeInForce, default=TimeInForce.IOC if is_market else TimeInForce.GTC
        ),
        price=fields.optional_decimal("price"),
        quantity=fields.optional_decimal("quantity"),
        quote_quantity=fields.optional_decimal("quote_quantity"),
        client_order_id=fields.optional_text("client_order_id", pattern=CLIENT_ID_PATTERN, longest=64),
        post_only=fields.flag("post_only"),
        self_trade_prevention=fields.choice(
            "self_trade_prevention", SelfTradePrevention, default=SelfTradePrevention.CANCEL_TAKER
        ),
    )
    _refuse_what_is_not_offered(request, fields)
    if is_market:
        _check_market_form(request)
    else:
        _check_limit_form(request)
    return request


def _refuse_what_is_not_offered(request: OrderRequest, fields: Fields) -> None:
    if request.order_type not in OFFERED_TYPES:
        raise ProblemError(Code.UNSUPPORTED, f"orders of type {request.order_type} are not offered yet", field="type")
    if request.time_in_force not in OFFERED_TIMES:
        raise ProblemError(
            Code.UNSUPPORTED, f"time_in_force {request.time_in_force} is not offered yet", field="time_in_force"
        )
    for name in RESERVED_FIELDS:
        if fields.has(name):
            raise ProblemError(Code.UNSUPPORTED, f"{name} is not offered yet", field=name)


def _check_limit_form(request: OrderRequest) -> None:
    if request.quote_quantity is not None:
        raise invalid("quote_quantity", "quote_quantity goes with market orders only")
    for name in ("price", "quantity"):
        if getattr(request, name) is None:
            raise ProblemError(Code.MISSING_FIELD, f"a limit order needs {name}", field=name)
    if request.post_only and request.time_in_force is not TimeInForce.GTC:
        raise invalid("post_only", "post_only goes with orders that may rest")


def _check_market_form(request: OrderRequest) -> None:
    if request.price is not None:
        raise invalid("price", "a market order has no price")
    if request.post_only:
        raise invalid("post_only", "a market order cannot be post_only")
    if request.time_in_force is TimeInForce.GTC:
        raise invalid("time_in_force", "a market order does not rest: ioc or fok")
    if request.quantity is None and request.quote_quantity is None:
        raise ProblemError(Code.MISSING_FIELD, "a market order needs quantity or quote_quantity", field="quantity")
    if request.quote_quantity is not None:
        if request.quantity is not None:
            raise invalid("quote_quantity", "give quantity or quote_quantity, not both")
        if request.time_in_force is TimeInForce.FOK:
            raise invalid("time_in_force", "an order by quote_quantity is ioc")


def price_order(
    request: OrderRequest,
    instrument: Instrument,
    reference_price: int,
    *,
    order_id: int,
    user_id: str,
    now_ms: int,
    trace_id: str,
) -> PlaceOrder:
    """The command, in ticks, lots and units, with its hold; raises ProblemError for what the instrument or the market
    refuses. `reference_price` is in ticks."""
    if instrument.status is not SymbolStatus.TRADING:
        raise ProblemError(
            Code.SYMBOL_HALTED, f"{instrument.symbol} is {instrument.status}", symbol_status=instrument.status
        )
    lowest, highest = band(reference_price, instrument.band_bps)
    price = _price(request, instrument, lowest, highest)
    quantity = None if request.quantity is None else _quantity(request.quantity, instrument)
    budget = None if request.quote_quantity is None else _budget(request.quote_quantity, instrument)
    worth_at = price if request.order_type is OrderType.LIMIT else reference_price
    worth = budget if budget is not None else _worth(worth_at, quantity, instrument)
    if worth < instrument.min_notional:
        least = units_text(instrument.min_notional, instrument.quote_decimals)
        raise ProblemError(Code.NOTIONAL_TOO_SMALL, f"an order must be worth {least} {instrument.quote} at least")
    order = PlaceOrder(
        order_id=order_id,
        user_id=user_id,
        client_order_id=request.client_order_id or "",
        symbol=instrument.symbol,
        side=request.side,
        order_type=request.order_type,
        time_in_force=request.time_in_force,
        price=price,
        quantity=quantity,
        quote_quantity=budget,
        post_only=request.post_only,
        self_trade_prevention=request.self_trade_prevention,
        hold=0,
        hold_asset=hold_asset(request.side, instrument),
        entered_at_ms=now_ms,
        trace_id=trace_id,
    )
    return _with_hold(order, instrument)


def _with_hold(order: PlaceOrder, instrument: Instrument) -> PlaceOrder:
    hold = required_hold(order, instrument)
    if hold > MAX_AMOUNT_UNITS:
        raise ProblemError(Code.AMOUNT_OUT_OF_RANGE, "the order is worth too much to be counted", field="quantity")
    if hold <= 0:
        raise ProblemError(Code.NOTIONAL_TOO_SMALL, "the amount does not make up one lot", field="quote_quantity")
    return dataclasses.replace(order, hold=hold)


def _price(request: OrderRequest, instrument: Instrument, lowest: int, highest: int) -> int | None:
    """In ticks: the limit, or for a market order the worst price that the band allows."""
    if request.price is None:
        if request.side is Side.BUY:
            return None if request.quote_quantity is not None else highest
        return lowest
    if request.price <= 0:
        raise ProblemError(Code.PRICE_NOT_POSITIVE, "the price must be above zero", field="price")
    price = whole_steps("price", request.price, instrument.tick_size, Code.PRICE_OFF_TICK)
    if not lowest <= price <= highest:
        low, high = (steps_text(ticks, instrument.tick_size) for ticks in (lowest, highest))
        raise ProblemError(Code.PRICE_OUT_OF_BAND, f"the price must be {low} to {high} now", field="price")
    return price


def _quantity(number: Decimal, instrument: Instrument) -> int:
    low, high = (steps_text(lots, instrument.lot_size) for lots in (instrument.min_quantity, instrument.max_quantity))
    refusal = ProblemError(Code.QUANTITY_OUT_OF_RANGE, f"the quantity must be {low} to {high}", field="quantity")
    if number <= 0:
        raise refusal
    quantity = whole_steps("quantity", number, instrument.lot_size, Code.QUANTITY_OFF_LOT)
    if not instrument.min_quantity <= quantity <= instrument.max_quantity:
        raise refusal
    return quantity


def _budget(number: Decimal, instrument: Instrument) -> int:
    try:
        budget = to_units(number, instrument.quote_decimals)
    except InexactAmountError as error:
        raise ProblemError(
            Code.QUANTITY_OFF_LOT,
            f"{instrument.quote} has {instrument.quote_decimals} decimals",
            field="quote_quantity",
        ) from error
    if not 0 < budget <= MAX_AMOUNT_UNITS:
        raise ProblemError(Code.QUANTITY_OUT_OF_RANGE, "the budget is out of range", field="quote_quantity")
    return budget


def _worth(price: int | None, quantity: int | None, instrument: Instrument) -> int:
    assert price is not None and quantity is not None, "the form was checked"
    return price * quantity * instrument.tick_lot_units
