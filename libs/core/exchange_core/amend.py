"""Changing an open order: what is refused, who keeps his place, and which money moves (docs/semantics.md, "Amend")."""

from exchange_core.commands import COMMAND_NAMES, AmendOrder
from exchange_core.events import CommandRefused, OrderAmended
from exchange_core.holds import hold_asset
from exchange_core.money import MAX_AMOUNT_UNITS
from exchange_core.open_order import OpenOrder
from exchange_core.orders import Reason
from exchange_core.symbol_engine import SymbolEngine
from exchange_core.symbol_state import SymbolState
from exchange_core.topology import ORDER_MAX_AGE_MS


def amend(engine: SymbolEngine, command: AmendOrder) -> None:
    """Amend one of the caller's orders; a refusal gives the extra hold back and leaves the order as it was."""
    state = engine.state
    order = state.orders.get(command.order_id)
    if order is None or order.user_id != command.user_id or order.symbol != state.symbol:
        is_closed = order is None and state.memory.owners.get(command.order_id) == command.user_id
        _refuse(engine, command, command.hold_asset, Reason.ORDER_CLOSED if is_closed else Reason.ORDER_NOT_FOUND)
        return
    reason = _refusal(state, order, command, engine.at_ms)
    if reason is not None:
        asset = command.hold_asset or hold_asset(order.side, state.instrument)
        _refuse(engine, command, asset, reason)
        return
    _apply(engine, order, command)


def change(state: SymbolState, order: OpenOrder, price: int, quantity: int, *, keeps_priority: bool) -> None:
    """Give an order its new price and total quantity. One that loses its place is taken out of the book."""
    remaining = quantity - order.filled
    if order.level is not None and keeps_priority:
        state.book.shrink(order, remaining)
        return
    if order.level is not None:
        state.book.remove(order)
    order.price = price
    order.remaining = remaining


def _refusal(state: SymbolState, order: OpenOrder, command: AmendOrder, at_ms: int) -> Reason | None:
    instrument = state.instrument
    price, quantity = _wanted(order, command)
    if command.entered_at_ms < at_ms - ORDER_MAX_AGE_MS:
        return Reason.TOO_LATE
    if not state.is_trading:
        return Reason.SYMBOL_HALTED
    if (command.price is None and command.quantity is None) or not 0 < price <= MAX_AMOUNT_UNITS:
        return Reason.INVALID
    if not 0 <= command.hold <= MAX_AMOUNT_UNITS or (
        command.hold and command.hold_asset != hold_asset(order.side, instrument)
    ):
        return Reason.INVALID
    if quantity <= order.filled:
        return Reason.QUANTITY_NOT_ABOVE_FILLED
    needed = _needed_hold(state, order, price, quantity)
    if not instrument.min_quantity <= quantity <= instrument.max_quantity or needed > MAX_AMOUNT_UNITS:
        return Reason.INVALID
    if needed > order.hold(state.lot_units, state.tick_lot_units) + command.hold:
        return Reason.INSUFFICIENT_HOLD
    if price == order.limit or order.is_waiting:
        return None
    lowest, highest = state.price_band(order.is_buy)
    if not lowest <= price <= highest:
        return Reason.PRICE_BAND
    best = state.book.best_price(not order.is_buy)
    crosses = best is not None and (best <= price if order.is_buy else best >= price)
    return Reason.WOULD_TAKE if order.post_only and crosses else None


def _apply(engine: SymbolEngine, order: OpenOrder, command: AmendOrder) -> None:
    state = engine.state
    price, quantity = _wanted(order, command)
    needed = _needed_hold(state, order, price, quantity)
    released = order.hold(state.lot_units, state.tick_lot_units) + command.hold - needed
    keeps_priority = order.is_waiting or (price == order.limit and quantity <= order.filled + order.remaining)
    change(state, order, price, quantity, keeps_priority=keeps_priority)
    engine.events.append(
        OrderAmended(
            seq=engine.next_seq(),
            symbol=state.symbol,
            cause=command.command_id,
            order_id=order.order_id,
            user_id=order.user_id,
            side=order.side,
            price=price,
            quantity=quantity,
            hold=needed,
            taken=command.hold,
            released=released,
            keeps_priority=keeps_priority,
        )
    )
    if not keeps_priority:
        trades_before = state.trade_id
        engine.activate(order, command.command_id)
        if state.trade_id != trades_before:
            engine.fire_triggers()


def _wanted(order: OpenOrder, command: AmendOrder) -> tuple[int, int]:
    """The price and the total quantity that the order shall have."""
    price = order.limit if command.price is None else command.price
    return price, order.filled + order.remaining if command.quantity is None else command.quantity


def _needed_hold(state: SymbolState, order: OpenOrder, price: int, quantity: int) -> int:
    remaining = quantity - order.filled
    return remaining * (price * state.tick_lot_units if order.is_buy else state.lot_units)


def _refuse(engine: SymbolEngine, command: AmendOrder, asset: str, reason: Reason) -> None:
    engine.events.append(
        CommandRefused(
            seq=engine.next_seq(),
            symbol=engine.state.symbol,
            cause=command.command_id,
            user_id=command.user_id,
            order_id=command.order_id,
            reason=reason,
            asset=asset,
            released=max(0, command.hold) if asset else 0,
            command=COMMAND_NAMES[type(command)],
        )
    )
