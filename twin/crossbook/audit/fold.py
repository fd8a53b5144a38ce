"""The journal folded a second time, by rules written apart from the engine's, with every rule checked on the way.

What the exchange's stores must hold follows from it: orders, trades, fills, ledger lines, what each slot does to each
wallet, and the books. Pure: slots in, rows and differences out.
"""

from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

from crossbook.audit.folded_orders import FoldedOrder, TradeSide
from exchange_core.codec import Slot
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
from exchange_core.holds import hold_asset
from exchange_core.instruments import Instrument, SymbolStatus
from exchange_core.ledger import Delta, postings, wallet_deltas
from exchange_core.money import fee_units
from exchange_core.orders import OrderStatus, Side

_NEEDS_INSTRUMENT = (TradeExecuted, OrderDone, OrderAmended, OrderDecremented)
"""Events whose postings are in the assets of their symbol."""
_NEEDS_TRADING = (TradeExecuted, OrderAccepted, OrderAmended, OrderTriggered)
"""Events that a symbol which is halted, or takes cancels only, never has."""
WalletKey = tuple[str, str]
"""(user_id, asset)"""
Row = tuple[Any, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """One thing that is not as it should be. `place` names the wallet, order, symbol or object; `slot` of `partition`
    is the first at which it shows (None: no slot can be named)."""

    place: str
    text: str
    partition: int | None = None
    slot: int | None = None

    @property
    def order(self) -> tuple[bool, int, int, str]:
        """Sorts differences by where they arose, those without a slot last."""
        return (self.slot is None, self.slot or 0, self.partition or 0, self.place)

    def __str__(self) -> str:
        where = f"slot {self.partition}:{self.slot}: " if self.slot is not None else ""
        return f"{where}{self.place}: {self.text}"


@dataclass(frozen=True, slots=True)
class WalletEntry:
    """What one slot does to one wallet, in units."""

    partition: int
    slot: int
    available: int
    held: int


@dataclass(frozen=True, slots=True)
class HoldTaken:
    """A hold that the gateway had taken before the command came to the journal."""

    partition: int
    slot: int
    command_id: int
    amount: int


@dataclass(slots=True)
class JournalFold:
    """Fold the slots of every partition in order with `apply`; `differences` collects what broke a rule."""

    instruments: dict[str, Instrument] = field(default_factory=dict)
    status_seqs: dict[str, int] = field(default_factory=dict)
    status_changes: int = 0
    orders: dict[int, FoldedOrder] = field(default_factory=dict)
    trades: dict[tuple[str, int], tuple[TradeExecuted, Slot]] = field(default_factory=dict)
    ledger: dict[tuple[int, int], list[Row]] = field(default_factory=dict)
    entries: dict[WalletKey, list[WalletEntry]] = field(default_factory=lambda: defaultdict(list))
    holds: dict[WalletKey, list[HoldTaken]] = field(default_factory=lambda: defaultdict(list))
    inflow: dict[str, int] = field(default_factory=lambda: defaultdict(int))
    causes: dict[int, tuple[int, int]] = field(default_factory=dict)
    seqs: dict[tuple[int, str], int] = field(default_factory=dict)
    seq_slots: dict[tuple[str, int], tuple[int, int]] = field(default_factory=dict)
    trade_ids: dict[str, int] = field(default_factory=dict)
    event_count: int = 0
    numbering: list[Difference] = field(default_factory=list)
    money: list[Difference] = field(default_factory=list)
    exposure: list[Difference] = field(default_factory=list)
    trading: list[Difference] = field(default_factory=list)

    def apply(self, slot: Slot) -> None:
        """Fold one more slot of its partition in."""
        touched: dict[int, FoldedOrder] = {}
        lines: list[Row] = []
        flows: dict[str, int] = defaultdict(int)
        deltas: dict[WalletKey, Delta] = {}
        for event in slot.events:
            self.event_count += 1
            self._number(slot, event)
            if event.cause:  # else its time had come
                self.causes.setdefault(event.cause, (slot.partition, slot.n))
            self._check_trading(slot, event)
            self._fold(slot, event, touched)
            if isinstance(event, FundsDeposited):
                flows[event.asset] += event.amount
            elif isinstance(event, FundsWithdrawn):
                flows[event.asset] -= event.amount
            if event.symbol in self.instruments or not isinstance(event, _NEEDS_INSTRUMENT):  # else a listing is lost
                self._post(slot, event, lines, deltas)
        if lines:
            self.ledger[slot.partition, slot.n] = lines
        self._check_money(slot, deltas, flows)
        for order in touched.values():
            self._check_exposure(slot, order)

    def _number(self, slot: Slot, event: Event) -> None:
        key = (slot.partition, event.symbol)
        if isinstance(event, OrderRejected) and event.symbol not in self.instruments:
            return  # what was never listed has no numbers
        expected = self.seqs.get(key, 0) + 1
        if event.seq != expected:
            self.numbering.append(_at(slot, event.symbol, f"seq {event.seq} where {expected} was due"))
        self.seqs[key] = event.seq
        self.seq_slots[event.symbol, event.seq] = (slot.partition, slot.n)
        if isinstance(event, TradeExecuted):
            due = self.trade_ids.get(event.symbol, 0) + 1
            if event.trade_id != due:
                self.numbering.append(_at(slot, event.symbol, f"trade {event.trade_id} where {due} was due"))
            self.trade_ids[event.symbol] = event.trade_id

    def _fold(self, slot: Slot, event: Event, touched: dict[int, FoldedOrder]) -> None:
        match event:
            case OrderAccepted() | OrderRejected():
                touched[event.order_id] = self._enter(slot, event)
            case TradeExecuted():
                self._trade(slot, event, touched)
            case OrderDone():
                self._change(slot, event.order_id, event.seq, touched, lambda order: order.end(event))
            case OrderAmended():
                self._take_hold(slot, event, event.user_id, self._hold_asset(event), event.taken)
                self._change(slot, event.order_id, event.seq, touched, lambda order: order.amend(event))
            case OrderDecremented():
                self._change(slot, event.order_id, event.seq, touched, lambda order: order.decrement(event))
            case OrderTriggered():
                self._change(slot, event.order_id, event.seq, touched, FoldedOrder.trigger)
            case CommandRefused():
                self._take_hold(slot, event, event.user_id, event.asset, event.released)
            case FundsDeposited():
                self.inflow[event.asset] += event.amount
            case FundsWithdrawn():
                self.inflow[event.asset] -= event.amount
                self._take_hold(slot, event, event.user_id, event.asset, event.amount)
            case InstrumentListed():
                self.instruments[event.symbol] = event.instrument
                self.status_seqs[event.symbol] = event.seq
            case SymbolStatusChanged() if event.symbol in self.instruments:
                listed = self.instruments[event.symbol]
                self.instruments[event.symbol] = replace(listed, status=event.status)
                self.status_seqs[event.symbol] = event.seq
                self.status_changes += 1

    def _check_trading(self, slot: Slot, event: Event) -> None:
        """Only while it trades do a symbol's orders enter, change, trigger and trade."""
        instrument = self.instruments.get(event.symbol)
        if instrument and instrument.status is not SymbolStatus.TRADING and isinstance(event, _NEEDS_TRADING):
            text = f"{type(event).__name__} (seq {event.seq}) while it was {instrument.status}"
            self.trading.append(_at(slot, event.symbol, text))

    def _enter(self, slot: Slot, event: OrderAccepted | OrderRejected) -> FoldedOrder:
        if event.order_id in self.orders:
            self.exposure.append(_at(slot, f"order {event.order_id}", "entered twice"))
        is_rejected = isinstance(event, OrderRejected)
        order = FoldedOrder(
            terms=event,
            partition=slot.partition,
            slot=slot.n,
            seq=event.seq,
            changed_slot=slot.n,
            updated_at_ms=slot.at_ms,
            price=event.price,
            quantity=event.quantity,
            hold=event.hold,
            hold_left=0 if is_rejected else event.hold,
        )
        if isinstance(event, OrderRejected):
            order.status, order.reason = OrderStatus.REJECTED, event.reason
        self.orders[event.order_id] = order
        self._take_hold(slot, event, event.user_id, event.hold_asset, event.hold)
        return order

    def _trade(self, slot: Slot, trade: TradeExecuted, touched: dict[int, FoldedOrder]) -> None:
        self.trades[trade.symbol, trade.trade_id] = (trade, slot)
        instrument = self.instruments.get(trade.symbol)
        if instrument is None:
            self.exposure.append(_at(slot, trade.symbol, "trades and was never listed"))
            return
        for order_id, side, fee, fee_bps, release in (
            (trade.maker_order_id, trade.taker_side.opposite, trade.maker_fee, instrument.maker_fee_bps, 0),
            (trade.taker_order_id, trade.taker_side, trade.taker_fee, instrument.taker_fee_bps, trade.taker_release),
        ):
            part = TradeSide(trade, instrument, side, fee, release)
            if fee != fee_units(part.received, fee_bps):
                self.money.append(_at(slot, f"trade {trade.symbol} {trade.trade_id}", f"fee {fee} is not as listed"))
            self._change(slot, order_id, trade.seq, touched, part.fill)
        maker = self.orders.get(trade.maker_order_id)
        if maker is not None and maker.price != trade.price:
            self.exposure.append(_at(slot, f"order {trade.maker_order_id}", "was traded at another price"))

    def _change(
        self,
        slot: Slot,
        order_id: int,
        seq: int,
        touched: dict[int, FoldedOrder],
        change: Callable[[FoldedOrder], None],
    ) -> None:
        order = self.orders.get(order_id)
        if order is None:
            self.exposure.append(_at(slot, f"order {order_id}", "changed and never entered"))
            return
        if order.status.is_final:
            self.exposure.append(_at(slot, f"order {order_id}", f"changed after it was {order.status}"))
        change(order)
        order.seq, order.changed_slot, order.updated_at_ms = seq, slot.n, slot.at_ms
        touched[order_id] = order

    def _hold_asset(self, event: OrderAmended) -> str:
        instrument = self.instruments.get(event.symbol)
        return hold_asset(event.side, instrument) if instrument else ""

    def _take_hold(self, slot: Slot, event: Event, user_id: str, asset: str, amount: int) -> None:
        if amount:
            self.holds[user_id, asset].append(HoldTaken(slot.partition, slot.n, event.cause, amount))

    def _post(self, slot: Slot, event: Event, lines: list[Row], deltas: dict[WalletKey, Delta]) -> None:
        posted = list(postings(event, self.instruments, slot.partition))
        lines.extend(
            (
                str(posting.kind),
                posting.asset,
                posting.amount,
                posting.from_user,
                str(posting.from_pocket),
                posting.to_user,
                str(posting.to_pocket),
                event.symbol,
                event.seq,
                slot.at_ms,
            )
            for posting in posted
        )
        for key, delta in wallet_deltas(iter(posted)).items():
            total = deltas.setdefault(key, Delta())
            total.available += delta.available
            total.held += delta.held

    def _check_money(self, slot: Slot, deltas: dict[WalletKey, Delta], flows: dict[str, int]) -> None:
        """Σ(available + held) with the fee accounts changes by deposits less withdrawals, per asset, at every slot."""
        changes: dict[str, int] = defaultdict(int)
        for (user_id, asset), delta in deltas.items():
            changes[asset] += delta.available + delta.held
            if delta.available or delta.held:
                self.entries[user_id, asset].append(WalletEntry(slot.partition, slot.n, delta.available, delta.held))
        for asset in changes.keys() | flows.keys():
            if changes[asset] != flows[asset]:
                text = f"wallets change by {changes[asset]} where {flows[asset]} came in"
                self.money.append(_at(slot, asset, text))

    def _check_exposure(self, slot: Slot, order: FoldedOrder) -> None:
        """What an open order holds is what it can still spend; an order that is done holds nothing."""
        expected = 0 if order.status.is_final else self._exposure(order)
        if expected is not None and order.hold_left != expected:
            text = f"holds {order.hold_left} where {expected} is at stake ({order.status})"
            self.exposure.append(_at(slot, f"order {order.terms.order_id}", text))

    def _exposure(self, order: FoldedOrder) -> int | None:
        instrument = self.instruments.get(order.terms.symbol)
        if instrument is None:
            return None
        if order.terms.side is Side.SELL:
            return None if order.quantity is None else order.left * instrument.lot_units
        if order.terms.quote_quantity is not None:
            return order.terms.quote_quantity - order.filled_quote
        if order.price is None:
            return None
        return order.left * order.price * instrument.tick_lot_units

    def levels(self, symbol: str) -> tuple[list[tuple[int, int]], list[tuple[int, int]]]:
        """Bids and asks as (price, quantity) of the resting orders, best first."""
        totals: dict[Side, dict[int, int]] = {Side.BUY: defaultdict(int), Side.SELL: defaultdict(int)}
        for order in self.orders.values():
            if order.is_resting and order.terms.symbol == symbol and order.price is not None:
                totals[order.terms.side][order.price] += order.left
        return sorted(totals[Side.BUY].items(), reverse=True), sorted(totals[Side.SELL].items())

    def has_icebergs(self, symbol: str) -> bool:
        """Whether an open order shows less than it is."""
        return any(
            order.terms.display_quantity is not None and order.is_resting and order.terms.symbol == symbol
            for order in self.orders.values()
        )

    def seq(self, symbol: str) -> int:
        """The last number of a listed symbol."""
        return self.seqs.get((self.instruments[symbol].partition, symbol), 0)


def _at(slot: Slot, place: str, text: str) -> Difference:
    return Difference(place=place, text=text, partition=slot.partition, slot=slot.n)
