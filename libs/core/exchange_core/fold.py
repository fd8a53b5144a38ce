"""The fold of one symbol: its state from its events alone, without a matching rule (DESIGN rule 3).

An order that entered, changed or triggered is `active`: it stands nowhere while the trades that follow consume it.
When another one becomes active, or the slot ends, and it is not done, it rests. So orders queue up as they did live.
"""

from exchange_core.amend import change
from exchange_core.events import (
    CancelTimerSet,
    CommandRefused,
    Event,
    InstrumentListed,
    OrderAccepted,
    OrderAmended,
    OrderDecremented,
    OrderDone,
    OrderRejected,
    OrderTriggered,
    SymbolStatusChanged,
    TradeExecuted,
)
from exchange_core.open_order import OpenOrder
from exchange_core.symbol_state import SymbolState


class SymbolFold:
    """Applies events, in order, to a state; `end_slot` after the last of each slot."""

    __slots__ = ("_active", "_state")

    def __init__(self, state: SymbolState) -> None:
        self._state = state
        self._active: OpenOrder | None = None

    def apply(self, event: Event, at_ms: int) -> None:
        """Move the state on by one event of this symbol, of a slot at journal time `at_ms`."""
        state = self._state
        assert event.seq == state.seq + 1, f"{state.symbol}: seq {event.seq} after {state.seq}"
        state.seq = event.seq
        match event:
            case OrderAccepted():
                self._accept(event)
            case TradeExecuted():
                self._trade(event, at_ms)
            case OrderDone():
                self._end(event)
            case OrderRejected():
                state.memory.remember(event.order_id, event.user_id)
            case OrderAmended():
                self._amend(event)
            case OrderDecremented():
                self._decrement(event)
            case OrderTriggered():
                order = state.orders[event.order_id]
                state.triggers.remove(order)
                self._activate(order)
            case SymbolStatusChanged():
                state.set_status(event.status, event.until_ms)
            case CancelTimerSet():
                state.set_timer(event.user_id, event.deadline_ms)
            case CommandRefused() | InstrumentListed():
                pass
            case _:
                raise AssertionError(f"{type(event).__name__} is no event of a symbol")

    def end_slot(self) -> None:
        """The order that came last rests, if it is not done."""
        order, self._active = self._active, None
        if order is not None:
            self._state.book.add(order)

    def _activate(self, order: OpenOrder) -> None:
        self.end_slot()
        self._active = order

    def _accept(self, event: OrderAccepted) -> None:
        order = OpenOrder(event, event.seq, self._state.lot_units)
        if order.trigger_price is not None:
            self._state.wait(order)
        else:
            self._activate(order)
            self._state.enter(order)

    def _trade(self, event: TradeExecuted, at_ms: int) -> None:
        state, taker = self._state, self._active
        assert taker is not None and taker.order_id == event.taker_order_id, "only the active order takes"
        maker = state.orders[event.maker_order_id]
        for order in (maker, taker):
            order.filled += event.quantity
        taker.remaining -= event.quantity
        state.book.consume(maker, event.quantity)
        state.note_trade(event.price, event.quantity, at_ms)
        assert event.trade_id == state.trade_id, f"{state.symbol}: trade {event.trade_id} at {state.trade_id}"

    def _end(self, event: OrderDone) -> None:
        order = self._state.orders[event.order_id]
        if order is self._active:
            self._active = None
        self._state.close(order)

    def _amend(self, event: OrderAmended) -> None:
        self.end_slot()
        order = self._state.orders[event.order_id]
        change(self._state, order, event.price, event.quantity, keeps_priority=event.keeps_priority)
        if not event.keeps_priority:
            self._active = order

    def _decrement(self, event: OrderDecremented) -> None:
        order = self._state.orders[event.order_id]
        if order is self._active:
            order.remaining -= event.quantity
        else:
            self._state.book.consume(order, event.quantity)
