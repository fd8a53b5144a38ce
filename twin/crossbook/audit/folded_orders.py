"""One order as the journal tells it, and what each event does to it, by rules written apart from the engine's."""

from dataclasses import dataclass

from exchange_core.events import OrderAccepted, OrderAmended, OrderDecremented, OrderDone, OrderRejected, TradeExecuted
from exchange_core.instruments import Instrument
from exchange_core.orders import OrderStatus, Reason, Side


@dataclass(slots=True)
class FoldedOrder:
    """An order as the journal tells it. Prices in ticks, quantities in lots, amounts in units."""

    terms: OrderAccepted | OrderRejected
    partition: int
    slot: int
    seq: int
    changed_slot: int
    updated_at_ms: int
    price: int | None
    quantity: int | None
    hold: int
    hold_left: int
    status: OrderStatus = OrderStatus.OPEN
    reason: Reason | None = None
    filled_quantity: int = 0
    filled_quote: int = 0
    fee: int = 0
    is_triggered: bool = False

    @property
    def is_resting(self) -> bool:
        """Whether it stands in the book, not waiting for a trigger."""
        return not self.status.is_final and (self.terms.trigger_price is None or self.is_triggered)

    @property
    def left(self) -> int:
        """Lots that can still trade, of an order given by quantity."""
        return (self.quantity or 0) - self.filled_quantity

    def end(self, event: OrderDone) -> None:
        """It is done, and why."""
        self.status, self.reason = event.status, event.reason
        self.hold_left -= event.released

    def amend(self, event: OrderAmended) -> None:
        """Its owner changed it."""
        self.price, self.quantity, self.hold = event.price, event.quantity, event.hold
        self.hold_left += event.taken - event.released

    def decrement(self, event: OrderDecremented) -> None:
        """It shrank, so that its owner does not trade with himself."""
        if self.quantity is not None:  # a market buy by quote amount has none
            self.quantity -= event.quantity
        self.hold_left -= event.released

    def trigger(self) -> None:
        """A trade reached its trigger price."""
        self.is_triggered = True


@dataclass(frozen=True, slots=True)
class TradeSide:
    """One side of a trade, amounts in units; `release` is what a buying taker gets back of its hold."""

    trade: TradeExecuted
    instrument: Instrument
    side: Side
    fee: int
    release: int

    @property
    def _base(self) -> int:
        return self.trade.quantity * self.instrument.lot_units

    @property
    def _quote(self) -> int:
        return self.trade.price * self.trade.quantity * self.instrument.tick_lot_units

    @property
    def received(self) -> int:
        """What it gets, before its fee."""
        return self._base if self.side is Side.BUY else self._quote

    def fill(self, order: FoldedOrder) -> None:
        """The order has traded so."""
        order.filled_quantity += self.trade.quantity
        order.filled_quote += self._quote
        order.fee += self.fee
        order.status = OrderStatus.PARTIALLY_FILLED
        order.hold_left -= (self._quote if self.side is Side.BUY else self._base) + self.release
