"""The rows that a run of journal slots becomes: a pure fold, apart from the database that stores them.

All changes of an order within the run are summed up first, so that it is written once however often it traded. An order
that entered before the run is not known here: for it the fold gives what to add and what to set.

Status: an accepted order is `open` (also a market order, until its OrderDone in the same slot), `partially_filled` from
its first fill on, and then what its OrderDone says. Its `fee` is the sum of its fills' fees, in the asset it receives.
Its `created_at_ms` is when the gateway took it; all other times are the slots'.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final

from exchange_core.candles import CandleRun
from exchange_core.codec import Slot
from exchange_core.commands import CASH_DESK
from exchange_core.events import (
    CommandRefused,
    Event,
    FundsDeposited,
    FundsWithdrawn,
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
from exchange_core.instruments import Instrument
from exchange_core.ledger import postings
from exchange_core.orders import OrderStatus, OrderTerms, Reason, Side

_MAX_BIGINT: Final = 2**63 - 1

Row = tuple[Any, ...]

ORDER_COLUMNS: Final = (
    "order_id",
    "user_id",
    "client_order_id",
    "symbol",
    "side",
    "order_type",
    "time_in_force",
    "price",
    "quantity",
    "quote_quantity",
    "trigger_price",
    "display_quantity",
    "expires_at_ms",
    "post_only",
    "self_trade_prevention",
    "hold",
    "hold_asset",
    "filled_quantity",
    "filled_quote",
    "fee",
    "status",
    "reason",
    "partition",
    "slot",
    "seq",
    "created_at_ms",
    "updated_at_ms",
)
CHANGE_COLUMNS: Final = (
    "order_id",
    "filled_quantity",
    "filled_quote",
    "fee",
    "decrement",
    "price",
    "quantity",
    "hold",
    "status",
    "reason",
    "seq",
    "updated_at_ms",
)
TRADE_COLUMNS: Final = (
    "symbol",
    "trade_id",
    "price",
    "quantity",
    "quote_amount",
    "taker_side",
    "maker_order_id",
    "taker_order_id",
    "partition",
    "slot",
    "seq",
    "at_ms",
)
FILL_COLUMNS: Final = (
    "symbol",
    "trade_id",
    "is_maker",
    "user_id",
    "order_id",
    "side",
    "price",
    "quantity",
    "fee",
    "fee_asset",
    "seq",
    "at_ms",
)
LEDGER_COLUMNS: Final = (
    "partition",
    "slot",
    "line",
    "kind",
    "asset",
    "amount",
    "from_account",
    "from_pocket",
    "to_account",
    "to_pocket",
    "symbol",
    "seq",
    "at_ms",
    "order_id",
    "trade_id",
    "transfer_id",
)


@dataclass(slots=True, kw_only=True)
class OrderChange:
    """All that happened to one order within the run. `price`, `quantity` and `hold` are None when not amended;
    `decrement` counts lots taken off after the last amendment; `status` is None while it stays as it was."""

    order_id: int
    filled_quantity: int = 0
    filled_quote: int = 0
    fee: int = 0
    decrement: int = 0
    price: int | None = None
    quantity: int | None = None
    hold: int | None = None
    status: OrderStatus | None = None
    reason: Reason | None = None
    seq: int = 0
    updated_at_ms: int = 0

    def row(self) -> Row:
        """In the order of CHANGE_COLUMNS."""
        return tuple(getattr(self, name) for name in CHANGE_COLUMNS)


@dataclass(slots=True)
class _NewOrder:
    terms: OrderAccepted | OrderRejected
    slot: Slot


def instruments_after(instruments: Mapping[str, Instrument], slots: Iterable[Slot]) -> dict[str, Instrument]:
    """The instruments as they stand after the slots."""
    after = dict(instruments)
    for slot in slots:
        for event in slot.events:
            match event:
                case InstrumentListed():
                    after[event.symbol] = event.instrument
                case SymbolStatusChanged() if event.symbol in after:
                    after[event.symbol] = replace(after[event.symbol], status=event.status)
    return after


@dataclass(slots=True)
class RunRows:
    """The rows of a run of slots of one partition. `instruments` holds the symbol of every trade (see
    `instruments_after`); `listings` maps each symbol listed or changed to the slot and the seq that did it last."""

    instruments: Mapping[str, Instrument]
    entered: dict[int, _NewOrder] = field(default_factory=dict)
    changes: dict[int, OrderChange] = field(default_factory=dict)
    trades: list[Row] = field(default_factory=list)
    candles: CandleRun = field(default_factory=CandleRun)
    fills: list[Row] = field(default_factory=list)
    ledger: list[Row] = field(default_factory=list)
    listings: dict[str, tuple[Slot, int]] = field(default_factory=dict)

    def add(self, slot: Slot) -> None:
        """Fold one more slot in."""
        line = 0
        for event in slot.events:
            self._add_event(slot, event)
            subject: Row = ()
            for posting in postings(event, self.instruments, slot.partition):
                subject = subject or subject_of(event)
                self.ledger.append(
                    (
                        slot.partition,
                        slot.n,
                        line,
                        posting.kind,
                        posting.asset,
                        posting.amount,
                        posting.from_user,
                        posting.from_pocket,
                        posting.to_user,
                        posting.to_pocket,
                        event.symbol,
                        event.seq,
                        slot.at_ms,
                        *subject,
                    )
                )
                line += 1

    def new_orders(self) -> list[Row]:
        """Rows of orders that entered or were rejected in this run, in the order of ORDER_COLUMNS."""
        return [self._order_row(new, self.changes[order_id]) for order_id, new in self.entered.items()]

    def earlier_orders(self) -> list[OrderChange]:
        """Changes of orders that entered before this run."""
        return [change for order_id, change in self.changes.items() if order_id not in self.entered]

    def _add_event(self, slot: Slot, event: Event) -> None:
        match event:
            case OrderAccepted() | OrderRejected():
                self._enter(slot, event)
            case TradeExecuted():
                self._trade(slot, event)
            case OrderDone():
                change = self._change(slot, event.order_id, event.seq)
                change.status, change.reason = event.status, event.reason
            case OrderAmended():
                change = self._change(slot, event.order_id, event.seq)
                change.price, change.quantity, change.hold = event.price, event.quantity, event.hold
                change.decrement = 0
            case OrderDecremented():
                self._change(slot, event.order_id, event.seq).decrement += event.quantity
            case OrderTriggered():
                self._change(slot, event.order_id, event.seq)
            case InstrumentListed() | SymbolStatusChanged():
                self.listings[event.symbol] = (slot, event.seq)

    def _enter(self, slot: Slot, event: OrderAccepted | OrderRejected) -> None:
        assert event.order_id not in self.changes, f"order {event.order_id} enters twice"
        self.entered[event.order_id] = _NewOrder(event, slot)
        change = self._change(slot, event.order_id, event.seq)
        if isinstance(event, OrderRejected):
            change.status, change.reason = OrderStatus.REJECTED, event.reason
        else:
            change.status = OrderStatus.OPEN

    def _trade(self, slot: Slot, trade: TradeExecuted) -> None:
        instrument = self.instruments[trade.symbol]
        quote_amount = trade.price * trade.quantity * instrument.tick_lot_units
        self.trades.append(
            (
                trade.symbol,
                trade.trade_id,
                trade.price,
                trade.quantity,
                quote_amount,
                trade.taker_side,
                trade.maker_order_id,
                trade.taker_order_id,
                slot.partition,
                slot.n,
                trade.seq,
                slot.at_ms,
            )
        )
        self.candles.add(trade, quote_amount, slot.at_ms)
        for is_maker, user_id, order_id, side, fee in (
            (True, trade.maker_user_id, trade.maker_order_id, trade.taker_side.opposite, trade.maker_fee),
            (False, trade.taker_user_id, trade.taker_order_id, trade.taker_side, trade.taker_fee),
        ):
            change = self._change(slot, order_id, trade.seq)
            change.filled_quantity += trade.quantity
            change.filled_quote += quote_amount
            change.fee += fee
            change.status = OrderStatus.PARTIALLY_FILLED
            fee_asset = instrument.base if side is Side.BUY else instrument.quote
            self.fills.append(
                (
                    trade.symbol,
                    trade.trade_id,
                    is_maker,
                    user_id,
                    order_id,
                    side,
                    trade.price,
                    trade.quantity,
                    fee,
                    fee_asset,
                    trade.seq,
                    slot.at_ms,
                )
            )

    def _change(self, slot: Slot, order_id: int, seq: int) -> OrderChange:
        change = self.changes.get(order_id)
        if change is None:
            change = self.changes[order_id] = OrderChange(order_id=order_id)
        assert change.status is None or not change.status.is_final, f"order {order_id} is done and changes again"
        change.seq, change.updated_at_ms = seq, slot.at_ms
        return change

    def _order_row(self, new: _NewOrder, change: OrderChange) -> Row:
        terms: OrderTerms = new.terms
        quantity = terms.quantity if change.quantity is None else change.quantity
        if quantity is not None:
            quantity -= change.decrement
        price = terms.price if change.price is None else change.price
        is_rejected = change.status is OrderStatus.REJECTED
        return (
            terms.order_id,
            terms.user_id,
            stored_text(terms.client_order_id),
            stored_text(terms.symbol),
            terms.side,
            terms.order_type,
            terms.time_in_force,
            _stored_integer(price, is_rejected),
            _stored_integer(quantity, is_rejected),
            _stored_integer(terms.quote_quantity, is_rejected),
            _stored_integer(terms.trigger_price, is_rejected),
            _stored_integer(terms.display_quantity, is_rejected),
            _stored_integer(terms.expires_at_ms, is_rejected),
            terms.post_only,
            terms.self_trade_prevention,
            terms.hold if change.hold is None else change.hold,
            terms.hold_asset,
            change.filled_quantity,
            change.filled_quote,
            change.fee,
            change.status,
            change.reason,
            new.slot.partition,
            new.slot.n,
            change.seq,
            terms.entered_at_ms,
            change.updated_at_ms,
        )


def rows_of(slots: Sequence[Slot], instruments: Mapping[str, Instrument]) -> RunRows:
    """The rows of these slots; `instruments` as they stand after the slots."""
    rows = RunRows(instruments)
    for slot in slots:
        rows.add(slot)
    return rows


def subject_of(event: Event) -> tuple[int | None, int | None, str | None]:
    """What the ledger lines of an event are about: an order, a trade, or a transfer."""
    match event:
        case TradeExecuted():
            return None, event.trade_id, None
        case FundsDeposited() | FundsWithdrawn():
            return None, None, stored_text(event.transfer_id)
        case CommandRefused() if event.symbol == CASH_DESK:
            return None, None, stored_text(event.detail)
        case OrderRejected() | OrderDone() | OrderAmended() | OrderDecremented() | CommandRefused():
            return event.order_id or None, None, None
    return None, None, None


def _stored_integer(value: int | None, is_rejected: bool) -> int | None:
    """What a rejected order asked for may be beyond any column: then nothing is stored for it."""
    return None if is_rejected and value is not None and abs(value) > _MAX_BIGINT else value


def stored_text(value: str) -> str:
    """PostgreSQL's text cannot hold the character 0; nothing that a client sends may stop a partition."""
    return value.replace("\0", "�")
