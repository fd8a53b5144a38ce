"""What an order must be against its instrument and the market: steps, limits, band, date, and the hold it takes.

The same body may be judged differently a second later. docs/semantics.md, "Guards", names the refusals; what the
matcher checks in every order (`exchange_core.checks`) is asked here before anything is held.
"""

import dataclasses
from decimal import Decimal
from typing import Final

from exchange_core.checks import band, order_fault
from exchange_core.commands import PlaceOrder
from exchange_core.holds import hold_asset, required_hold
from exchange_core.instruments import Instrument, SymbolStatus
from exchange_core.money import MAX_AMOUNT_UNITS, InexactAmountError, steps_text, to_units, units_text
from exchange_core.orders import OrderType, Reason, Side
from exchange_gateway.fields import whole_steps
from exchange_gateway.problems import Code, ProblemError
from exchange_gateway.trading.order_form import OrderRequest

_STOPS: Final = frozenset({OrderType.STOP, OrderType.STOP_LIMIT})


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
    require_trading(instrument)
    if request.expires_at_ms is not None and request.expires_at_ms <= now_ms:
        raise ProblemError(Code.EXPIRY_PASSED, "expires_at is not in the future", field="expires_at")
    trigger_price = _trigger_price(request, instrument)
    centre = trading_centre(request.order_type, request.side, trigger_price, reference_price)
    lowest, highest = band(centre, instrument.band_bps)
    price = _price(request, instrument, lowest, highest)
    quantity = None if request.quantity is None else whole_quantity(request.quantity, instrument)
    budget = None if request.quote_quantity is None else _budget(request.quote_quantity, instrument)
    require_worth(budget if budget is not None else _worth(request, price, centre, quantity, instrument), instrument)
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
        trigger_price=trigger_price,
        display_quantity=_display_quantity(request, quantity, instrument),
        expires_at_ms=request.expires_at_ms,
        post_only=request.post_only,
        self_trade_prevention=request.self_trade_prevention,
        hold=0,
        hold_asset=hold_asset(request.side, instrument),
        entered_at_ms=now_ms,
        trace_id=trace_id,
    )
    order = _with_hold(order, instrument)
    fault = order_fault(order, instrument, now_ms)
    if fault is Reason.DATE_REACHED:
        raise ProblemError(Code.EXPIRY_PASSED, "expires_at is not in the future", field="expires_at")
    if fault is not None:
        raise ProblemError(Code.INVALID_VALUE, f"the order would be refused: {fault}")
    return order


def require_trading(instrument: Instrument) -> None:
    """Raises ProblemError `symbol_halted` while the symbol takes no orders."""
    if instrument.status is not SymbolStatus.TRADING:
        raise ProblemError(
            Code.SYMBOL_HALTED, f"{instrument.symbol} is {instrument.status}", symbol_status=instrument.status
        )


def trading_centre(order_type: OrderType, side: Side, trigger_price: int | None, reference_price: int) -> int:
    """The price, in ticks, near which the order will trade: its trigger if the market has yet to reach it (a stop
    follows the market, a take-profit goes against it: see `exchange_core.triggers`), else the reference."""
    if trigger_price is None:
        return reference_price
    waits_for_rise = (order_type in _STOPS) == (side is Side.BUY)
    is_reached = reference_price >= trigger_price if waits_for_rise else reference_price <= trigger_price
    return reference_price if is_reached else trigger_price


def require_worth(worth: int, instrument: Instrument) -> None:
    """Raises ProblemError `notional_too_small` for an order worth less than the instrument's minimum (quote units)."""
    if worth < instrument.min_notional:
        least = units_text(instrument.min_notional, instrument.quote_decimals)
        raise ProblemError(Code.NOTIONAL_TOO_SMALL, f"an order must be worth {least} {instrument.quote} at least")


def whole_price(name: str, number: Decimal, instrument: Instrument) -> int:
    """A price in ticks; raises ProblemError."""
    if number <= 0:
        raise ProblemError(Code.PRICE_NOT_POSITIVE, f"{name} must be above zero", field=name)
    return whole_steps(name, number, instrument.tick_size, Code.PRICE_OFF_TICK)


def require_in_band(price: int, lowest: int, highest: int, instrument: Instrument) -> None:
    """Raises ProblemError `price_out_of_band`; all in ticks."""
    if not lowest <= price <= highest:
        low, high = (steps_text(ticks, instrument.tick_size) for ticks in (lowest, highest))
        raise ProblemError(Code.PRICE_OUT_OF_BAND, f"the price must be {low} to {high} now", field="price")


def whole_quantity(number: Decimal, instrument: Instrument) -> int:
    """A quantity in lots, within the instrument's limits; raises ProblemError."""
    low, high = (steps_text(lots, instrument.lot_size) for lots in (instrument.min_quantity, instrument.max_quantity))
    refusal = ProblemError(Code.QUANTITY_OUT_OF_RANGE, f"the quantity must be {low} to {high}", field="quantity")
    if number <= 0:
        raise refusal
    quantity = whole_steps("quantity", number, instrument.lot_size, Code.QUANTITY_OFF_LOT)
    if not instrument.min_quantity <= quantity <= instrument.max_quantity:
        raise refusal
    return quantity


def _with_hold(order: PlaceOrder, instrument: Instrument) -> PlaceOrder:
    hold = required_hold(order, instrument)
    if hold > MAX_AMOUNT_UNITS:
        raise ProblemError(Code.AMOUNT_OUT_OF_RANGE, "the order is worth too much to be counted", field="quantity")
    if hold <= 0:
        raise ProblemError(Code.NOTIONAL_TOO_SMALL, "the amount does not make up one lot", field="quote_quantity")
    return dataclasses.replace(order, hold=hold)


def _trigger_price(request: OrderRequest, instrument: Instrument) -> int | None:
    if request.trigger_price is None:
        return None
    trigger_price = whole_price("trigger_price", request.trigger_price, instrument)
    if trigger_price > MAX_AMOUNT_UNITS:
        raise ProblemError(Code.AMOUNT_OUT_OF_RANGE, "trigger_price is out of range", field="trigger_price")
    return trigger_price


def _price(request: OrderRequest, instrument: Instrument, lowest: int, highest: int) -> int | None:
    """In ticks: the limit, or for a market order the worst price that the band allows (none with a budget)."""
    if request.price is None:
        if request.side is Side.BUY:
            return None if request.quote_quantity is not None else highest
        return lowest
    price = whole_price("price", request.price, instrument)
    require_in_band(price, lowest, highest, instrument)
    return price


def _display_quantity(request: OrderRequest, quantity: int | None, instrument: Instrument) -> int | None:
    if request.display_quantity is None:
        return None
    assert quantity is not None, "the form was checked"
    shown = request.display_quantity
    lots = whole_steps("display_quantity", shown, instrument.lot_size, Code.QUANTITY_OFF_LOT)
    if not 0 < lots <= quantity:
        raise ProblemError(
            Code.QUANTITY_OUT_OF_RANGE,
            "display_quantity must be above zero, and quantity at most",
            field="display_quantity",
        )
    return lots


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


def _worth(request: OrderRequest, price: int | None, centre: int, quantity: int | None, instrument: Instrument) -> int:
    """In quote units, at the limit, or for a market order at the price near which it will trade."""
    at = centre if request.is_market else price
    assert at is not None and quantity is not None, "the form was checked"
    return at * quantity * instrument.tick_lot_units
