"""The rules of one symbol: commands in, events out, the state moved on (docs/semantics.md).

Every event leaves here with its `seq` and its exact money: a hold is consumed by trades, given back as they improve on
it, and what is left of it is released by the event that ends the order.
"""

from dataclasses import replace
from typing import Final

from exchange_core.checks import order_fault
from exchange_core.commands import (
    COMMAND_NAMES,
    CancelAllOrders,
    CancelOrder,
    PlaceOrder,
    SetCancelTimer,
    SetSymbolStatus,
    SymbolCommand,
)
from exchange_core.construct import extending, positional
from exchange_core.events import (
    CancelTimerSet,
    CommandRefused,
    Event,
    OrderAccepted,
    OrderDecremented,
    OrderDone,
    OrderRejected,
    OrderTriggered,
    SymbolStatusChanged,
    TradeExecuted,
)
from exchange_core.instruments import SymbolStatus
from exchange_core.matching import Outcome, Step, StepKind
from exchange_core.money import fee_units
from exchange_core.open_order import MARKET_TYPES, RESTING_TIMES, TRIGGERED_TYPES, OpenOrder
from exchange_core.orders import OrderStatus, OrderTerms, Reason, TimeInForce
from exchange_core.symbol_state import SymbolState
from exchange_core.topology import ORDER_MAX_AGE_MS

FILL_LIMIT: Final = 500
"""An order trades with at most this many others at a time; what is left of it then expires."""
TRIGGERED_EVENTS_MAX: Final = 2_000
"""Once a command has led to this many events, orders it has triggered wait for the next slot."""
TIME: Final = 0
"""The `cause` of events that no command led to: their time had come."""

_accepted = extending(OrderAccepted, OrderTerms)
_rejected = extending(OrderRejected, OrderTerms)
_done = positional(OrderDone)
_trade = positional(TradeExecuted)

_TRADE: Final = StepKind.TRADE  # Python 3.11 takes as long to look an enum's member up as to call a function
_NOTHING_IN_REACH: Final = Outcome.NOTHING_IN_REACH
_FOK: Final = TimeInForce.FOK
_FILLED: Final = OrderStatus.FILLED
_CANCELED: Final = OrderStatus.CANCELED
_REASON_FILLED: Final = Reason.FILLED
_USER_CANCELED: Final = Reason.USER_CANCELED


class SymbolEngine:
    """What its methods do happens at journal time `at_ms` and is appended to `events`: the caller sets both before."""

    __slots__ = ("_fill_limit", "at_ms", "events", "state")

    def __init__(self, state: SymbolState, fill_limit: int = FILL_LIMIT) -> None:
        self.state = state
        self._fill_limit = fill_limit
        self.at_ms = 0
        self.events: list[Event] = []

    def place(self, command: PlaceOrder) -> None:
        """Let an order in: match it, let it rest or wait; or refuse it."""
        state = self.state
        reason = self._refusal(command)
        if reason is not None:
            self.events.append(rejected(command, self.next_seq(), reason))
            state.memory.remember(command.order_id, command.user_id)
            return
        seq = state.seq = state.seq + 1
        order = OpenOrder(command, seq, state.lot_units)
        self.events.append(_accepted(command, seq))
        if command.entered_at_ms < self.at_ms - ORDER_MAX_AGE_MS:
            self._finish(order, OrderStatus.EXPIRED, Reason.TOO_LATE, order.order_id)
        elif order.trigger_price is not None:
            state.wait(order)
            self.fire_triggers()
        else:
            trades_before = state.trade_id
            self.activate(order, order.order_id)
            if state.trade_id != trades_before:
                self.fire_triggers()

    def cancel(self, command: CancelOrder) -> None:
        """End one order of the caller's."""
        state = self.state
        order = state.orders.get(command.order_id)
        if order is not None and order.user_id == command.user_id and order.symbol == state.symbol:
            self._finish(order, _CANCELED, _USER_CANCELED, command.command_id)
            return
        is_closed = order is None and state.memory.owners.get(command.order_id) == command.user_id
        reason = Reason.ORDER_CLOSED if is_closed else Reason.ORDER_NOT_FOUND
        self._refuse(command, command.order_id, reason)

    def cancel_all(self, command: CancelAllOrders) -> None:
        """End all of the caller's orders, oldest first; a refusal when there are none, so that the command is known."""
        if not self._cancel_orders_of(command.user_id, Reason.USER_CANCELED, command.command_id):
            self._refuse(command, 0, Reason.ORDER_NOT_FOUND)

    def set_timer(self, command: SetCancelTimer) -> None:
        """Arm, renew or disarm the caller's cancel timer; one that is over already goes off at once."""
        self._change_timer(command.user_id, command.deadline_ms, command.command_id)
        if command.deadline_ms is not None and command.deadline_ms <= self.at_ms:
            self.timer_due(command.user_id, command.command_id)

    def timer_due(self, user_id: str, cause: int = TIME) -> None:
        """The timer went off: it is disarmed, and the user's orders end."""
        self._change_timer(user_id, None, cause)
        self._cancel_orders_of(user_id, Reason.CANCEL_TIMER, cause)

    def order_due(self, order: OpenOrder) -> None:
        """A good-till-date order has reached its date."""
        self._finish(order, OrderStatus.EXPIRED, Reason.DATE_REACHED, order.order_id)

    def set_status(self, command: SetSymbolStatus) -> None:
        """An operator opens, restricts or halts the symbol."""
        self._change_status(command.status, command.user_id, command.command_id, None)
        self.fire_triggers()

    def breaker_due(self) -> None:
        """The breaker's halt is over."""
        self._change_status(SymbolStatus.TRADING, "", TIME, None)
        self.fire_triggers()

    def fire_triggers(self) -> None:
        """Activate the orders that trades have reached, in order of entry, while the symbol trades."""
        state = self.state
        while len(self.events) < TRIGGERED_EVENTS_MAX and state.is_trading:
            order = state.triggers.first_reached()
            if order is None:
                return
            state.triggers.remove(order)
            self.events.append(
                OrderTriggered(
                    seq=self.next_seq(),
                    symbol=state.symbol,
                    cause=order.order_id,
                    order_id=order.order_id,
                    user_id=order.user_id,
                )
            )
            self.activate(order, order.order_id)

    def activate(self, order: OpenOrder, cause: int) -> None:
        """Match an order that stands nowhere; then it rests or ends."""
        state = self.state
        best = state.book.best_price(not order.is_buy)
        if best is None or not order.accepts(best):
            if order.can_rest:
                state.book.add(order)
                state.enter(order)
                return
            outcome, is_stopped_by_band = _NOTHING_IN_REACH, False
        else:
            if order.post_only:
                self._finish(order, OrderStatus.EXPIRED, Reason.WOULD_TAKE, cause)
                return
            worst_price = self._worst_price(order)
            if order.time_in_force is _FOK and not state.book.can_fill(order, worst_price, self._fill_limit):
                self._finish(order, OrderStatus.EXPIRED, Reason.FILL_OR_KILL, cause)
                return
            steps, outcome = state.book.take(order, worst_price, self._fill_limit)
            self._tell(order, steps, cause)
            best = state.book.best_price(not order.is_buy)
            is_stopped_by_band = best is not None and order.accepts(best)
        if outcome is _NOTHING_IN_REACH and order.can_rest and not is_stopped_by_band:
            state.book.add(order)
            state.enter(order)
            return
        self._finish(order, *_ending(order, outcome, best, is_stopped_by_band), cause)

    def next_seq(self) -> int:
        """The number of the event that comes next."""
        self.state.seq += 1
        return self.state.seq

    def _refusal(self, command: PlaceOrder) -> Reason | None:
        state = self.state
        reason = order_fault(command, state.instrument, self.at_ms)
        if reason is not None:
            return reason
        if not state.is_trading:
            return Reason.SYMBOL_HALTED
        of_user = state.by_user.get(command.user_id)
        if of_user is None or len(of_user) < state.instrument.max_open_orders:
            return None
        stays = command.time_in_force in RESTING_TIMES and command.order_type not in MARKET_TYPES
        return Reason.TOO_MANY_OPEN_ORDERS if stays or command.order_type in TRIGGERED_TYPES else None

    def _worst_price(self, taker: OpenOrder) -> int:
        lowest, highest = self.state.price_band(taker.is_buy)
        if taker.is_buy:
            return highest if taker.price is None else min(taker.price, highest)
        return lowest if taker.price is None else max(taker.price, lowest)

    def _tell(self, taker: OpenOrder, steps: list[Step], cause: int) -> None:
        """Turn what the book did into events, in the order in which it happened."""
        breaks = False
        for kind, maker, price, quantity, is_maker_done in steps:
            if kind is _TRADE:
                breaks |= self._tell_trade(taker, maker, price, quantity, cause)
                if is_maker_done:
                    self._finish(maker, _FILLED, _REASON_FILLED, cause)
                continue
            if kind is StepKind.DECREMENT:
                self._tell_decrement(maker, quantity, maker.limit, cause)
                self._tell_decrement(taker, quantity, price, cause)
            if is_maker_done:
                self._finish(maker, OrderStatus.EXPIRED, Reason.SELF_TRADE, cause)
        if breaks and self.state.is_trading:
            until_ms = self.at_ms + self.state.instrument.breaker_halt_ms
            self._change_status(SymbolStatus.CANCEL_ONLY, "", cause, until_ms)

    def _tell_trade(self, taker: OpenOrder, maker: OpenOrder, price: int, quantity: int, cause: int) -> bool:
        state = self.state
        instrument = state.instrument
        base_units = quantity * state.lot_units
        quote_units = quantity * price * state.tick_lot_units
        taker_release = 0
        if taker.is_buy:
            maker_receives, taker_receives = quote_units, base_units
            if taker.budget is None:
                taker_release = (taker.limit - price) * quantity * state.tick_lot_units
        else:
            maker_receives, taker_receives = base_units, quote_units
        breaks = state.note_trade(price, quantity, self.at_ms)
        seq = state.seq = state.seq + 1
        self.events.append(
            _trade(
                seq,
                state.symbol,
                cause,
                state.trade_id,
                maker.order_id,
                taker.order_id,
                maker.user_id,
                taker.user_id,
                taker.side,
                price,
                quantity,
                fee_units(maker_receives, instrument.maker_fee_bps),
                fee_units(taker_receives, instrument.taker_fee_bps),
                taker_release,
            )
        )
        return breaks

    def _tell_decrement(self, order: OpenOrder, quantity: int, price: int, cause: int) -> None:
        """`price` is the order's own, but for a taker that spends a budget: the maker's."""
        state = self.state
        if order.is_buy:
            own_price = price if order.budget is not None else order.limit
            released = quantity * own_price * state.tick_lot_units
        else:
            released = quantity * state.lot_units
        self.events.append(
            OrderDecremented(
                seq=self.next_seq(),
                symbol=state.symbol,
                cause=cause,
                order_id=order.order_id,
                user_id=order.user_id,
                side=order.side,
                quantity=quantity,
                released=released,
            )
        )

    def _finish(self, order: OpenOrder, status: OrderStatus, reason: Reason, cause: int) -> None:
        state = self.state
        released = order.hold(state.lot_units, state.tick_lot_units)
        seq = state.seq = state.seq + 1
        self.events.append(
            _done(
                seq,
                state.symbol,
                cause,
                order.order_id,
                order.user_id,
                order.side,
                status,
                reason,
                order.filled,
                released,
            )
        )
        state.close(order)

    def _refuse(self, command: SymbolCommand, order_id: int, reason: Reason) -> None:
        refusal = CommandRefused(
            seq=self.next_seq(),
            symbol=self.state.symbol,
            cause=command.command_id,
            user_id=command.user_id,
            order_id=order_id,
            reason=reason,
            command=COMMAND_NAMES[type(command)],
        )
        self.events.append(refusal)

    def _cancel_orders_of(self, user_id: str, reason: Reason, cause: int) -> bool:
        orders = sorted(self.state.by_user.get(user_id, {}).values(), key=lambda order: order.seq)
        for order in orders:
            self._finish(order, OrderStatus.CANCELED, reason, cause)
        return bool(orders)

    def _change_timer(self, user_id: str, deadline_ms: int | None, cause: int) -> None:
        self.state.set_timer(user_id, deadline_ms)
        self.events.append(
            CancelTimerSet(
                seq=self.next_seq(), symbol=self.state.symbol, cause=cause, user_id=user_id, deadline_ms=deadline_ms
            )
        )

    def _change_status(self, status: SymbolStatus, operator_id: str, cause: int, until_ms: int | None) -> None:
        self.state.set_status(status, until_ms)
        self.events.append(
            SymbolStatusChanged(
                seq=self.next_seq(),
                symbol=self.state.symbol,
                cause=cause,
                status=status,
                operator_id=operator_id,
                until_ms=until_ms,
            )
        )


def rejected(command: PlaceOrder, seq: int, reason: Reason) -> OrderRejected:
    """The refusal of an order; a hold below zero was never taken."""
    refusal: OrderRejected = _rejected(command if command.hold >= 0 else replace(command, hold=0), seq, reason)
    return refusal


def _ending(
    order: OpenOrder, outcome: Outcome, best: int | None, is_stopped_by_band: bool
) -> tuple[OrderStatus, Reason]:
    """How an order ends that neither rests nor was ended before it could match."""
    if outcome is Outcome.FILLED:
        return _FILLED, _REASON_FILLED
    if outcome is Outcome.BUDGET_SPENT:
        return (OrderStatus.FILLED if order.filled else OrderStatus.EXPIRED), Reason.BUDGET_SPENT
    if outcome is Outcome.STEP_LIMIT:
        return OrderStatus.EXPIRED, Reason.FILL_LIMIT
    if outcome is Outcome.SELF_TRADE:
        return OrderStatus.EXPIRED, Reason.SELF_TRADE
    if is_stopped_by_band:
        return OrderStatus.EXPIRED, Reason.PRICE_BAND
    if order.order_type in MARKET_TYPES:
        return OrderStatus.EXPIRED, Reason.NO_LIQUIDITY if best is None else Reason.PRICE_BAND
    if order.time_in_force is _FOK:
        return OrderStatus.EXPIRED, Reason.FILL_OR_KILL
    return OrderStatus.EXPIRED, Reason.IMMEDIATE_OR_CANCEL
