"""What the database shows after some slots, by the plainest fold of their events: the simulated tables."""

import dataclasses
from collections.abc import Callable, MutableMapping
from dataclasses import dataclass, field
from typing import Any

from exchange_core.candles import DAY_MS, Candle, CandleInterval, Ticker
from exchange_core.codec import Slot
from exchange_core.commands import CASH_DESK
from exchange_core.events import (
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
from exchange_core.instruments import Instrument
from exchange_core.ledger import Pocket, Posting, postings
from exchange_core.orders import OrderStatus, Side
from exchange_core.outcomes import CommandOutcome, OperatorCommand, operator_commands_of, outcomes_of
from exchange_core.ports import FillView, JournalPosition, LedgerEntry, OrderView, TradeView

_TERMS = (
    "order_id",
    "client_order_id",
    "user_id",
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
)

CandleKey = tuple[str, CandleInterval, int]
"""Symbol, interval, and when it opens."""


@dataclass(slots=True)
class ProjectionFold:
    """Orders by id, fills with their owners, trades, candles, ledger lines, outcomes with their partition, instruments
    by symbol, and a position a partition."""

    orders: MutableMapping[int, OrderView] = field(default_factory=dict)
    fills: list[tuple[str, FillView]] = field(default_factory=list)
    trades: dict[str, list[TradeView]] = field(default_factory=dict)
    candles: dict[CandleKey, Candle] = field(default_factory=dict)
    ledger: list[tuple[Posting, LedgerEntry]] = field(default_factory=list)
    outcomes: dict[int, tuple[int, CommandOutcome]] = field(default_factory=dict)
    operator_commands: dict[int, OperatorCommand] = field(default_factory=dict)
    instruments: dict[str, Instrument] = field(default_factory=dict)
    positions: dict[int, JournalPosition] = field(default_factory=dict)

    def apply(self, slot: Slot) -> None:
        """Fold one slot in; slots of a partition come in order."""
        for event in slot.events:
            self._apply_event(event, slot.at_ms)
        self._post(slot)
        for outcome in outcomes_of(slot):
            self.outcomes.setdefault(outcome.command_id, (slot.partition, outcome))
        for command in operator_commands_of(slot):
            self.operator_commands.setdefault(command.command_id, command)
        self.positions[slot.partition] = JournalPosition(
            partition=slot.partition, slot=slot.n, journal_at_ms=slot.at_ms
        )

    def _apply_event(self, event: Event, at_ms: int) -> None:
        match event:
            case OrderAccepted():
                self._enter(event, OrderStatus.OPEN, None, at_ms)
            case OrderRejected():
                self._enter(event, OrderStatus.REJECTED, event.reason, at_ms)
            case TradeExecuted():
                self._trade(event, at_ms)
            case OrderDone():
                self._change(event, at_ms, lambda _: {"status": event.status, "reason": event.reason})
            case OrderAmended():
                self._change(event, at_ms, lambda _: {"price": event.price, "quantity": event.quantity})
            case OrderDecremented():
                shrunk_by = event.quantity
                self._change(
                    event,
                    at_ms,
                    lambda order: {} if order.quantity is None else {"quantity": order.quantity - shrunk_by},
                )
            case OrderTriggered():
                self._change(event, at_ms, lambda _: {})
            case InstrumentListed():
                self.instruments[event.symbol] = event.instrument
            case SymbolStatusChanged() if event.symbol in self.instruments:
                listed = self.instruments[event.symbol]
                self.instruments[event.symbol] = dataclasses.replace(listed, status=event.status)
            case _:
                return

    def _enter(self, event: OrderAccepted | OrderRejected, status: OrderStatus, reason: Any, at_ms: int) -> None:
        self.orders[event.order_id] = OrderView(
            **{name: getattr(event, name) for name in _TERMS},
            filled_quantity=0,
            filled_quote=0,
            fee=0,
            status=status,
            reason=reason,
            seq=event.seq,
            created_at_ms=event.entered_at_ms,
            updated_at_ms=at_ms,
        )

    def _change(
        self,
        event: OrderDone | OrderAmended | OrderDecremented | OrderTriggered,
        at_ms: int,
        changes: Callable[[OrderView], dict[str, Any]],
    ) -> None:
        order = self.orders[event.order_id]
        self.orders[event.order_id] = dataclasses.replace(order, seq=event.seq, updated_at_ms=at_ms, **changes(order))

    def _trade(self, trade: TradeExecuted, at_ms: int) -> None:
        instrument = self.instruments[trade.symbol]
        self.trades.setdefault(trade.symbol, []).append(
            TradeView(
                symbol=trade.symbol,
                trade_id=trade.trade_id,
                price=trade.price,
                quantity=trade.quantity,
                taker_side=trade.taker_side,
                seq=trade.seq,
                at_ms=at_ms,
            )
        )
        add_to_candles(self.candles, trade, instrument, at_ms)
        for order_id, user_id, side, is_maker, fee in (
            (trade.maker_order_id, trade.maker_user_id, trade.taker_side.opposite, True, trade.maker_fee),
            (trade.taker_order_id, trade.taker_user_id, trade.taker_side, False, trade.taker_fee),
        ):
            fill = FillView(
                symbol=trade.symbol,
                trade_id=trade.trade_id,
                order_id=order_id,
                side=side,
                is_maker=is_maker,
                price=trade.price,
                quantity=trade.quantity,
                fee=fee,
                fee_asset=instrument.base if side is Side.BUY else instrument.quote,
                seq=trade.seq,
                at_ms=at_ms,
            )
            self.fills.append((user_id, fill))
            order = self.orders[order_id]
            self.orders[order_id] = dataclasses.replace(
                order,
                filled_quantity=order.filled_quantity + trade.quantity,
                filled_quote=order.filled_quote + trade.price * trade.quantity * instrument.tick_lot_units,
                fee=order.fee + fee,
                status=OrderStatus.PARTIALLY_FILLED,
                seq=trade.seq,
                updated_at_ms=at_ms,
            )

    def _post(self, slot: Slot) -> None:
        line = 0
        for event in slot.events:
            for posting in postings(event, self.instruments, slot.partition):
                is_transfer = event.symbol == CASH_DESK
                entry = LedgerEntry(
                    place=(slot.at_ms, slot.partition, slot.n, line),
                    kind=posting.kind,
                    asset=posting.asset,
                    available=0,
                    held=0,
                    symbol=event.symbol,
                    seq=event.seq,
                    order_id=0 if is_transfer else getattr(event, "order_id", 0),
                    trade_id=getattr(event, "trade_id", 0),
                    transfer_id=getattr(event, "transfer_id", getattr(event, "detail", "")) if is_transfer else "",
                )
                self.ledger.append((posting, entry))
                line += 1

    def ledger_of(self, user_id: str) -> list[LedgerEntry]:
        """The lines of one account, newest first, with what they change in its two halves."""
        entries = []
        for posting, entry in self.ledger:
            sides = ((posting.from_user, posting.from_pocket, -1), (posting.to_user, posting.to_pocket, 1))
            ours = [(pocket, sign * posting.amount) for user, pocket, sign in sides if user == user_id]
            if ours:
                available = sum(change for pocket, change in ours if pocket is Pocket.AVAILABLE)
                held = sum(change for pocket, change in ours if pocket is Pocket.HELD)
                entries.append(dataclasses.replace(entry, available=available, held=held))
        return sorted(entries, key=lambda entry: entry.place, reverse=True)

    def ticker(self, symbol: str, now_ms: int) -> Ticker | None:
        """The plainest reckoning: every trade of the 24 hours, from the first whole minute on."""
        trades = self.trades.get(symbol)
        if not trades:
            return None
        last = trades[-1]
        first_ms = (now_ms - DAY_MS) // 60_000 * 60_000 + 60_000
        day = [trade for trade in trades if trade.at_ms >= first_ms]
        prices = [trade.price for trade in day or [last]]
        return Ticker(
            symbol=symbol,
            last=last.price,
            last_quantity=last.quantity,
            open=prices[0],
            high=max(prices),
            low=min(prices),
            base_volume=sum(trade.quantity for trade in day),
            quote_volume=sum(trade.price * trade.quantity * self.instruments[symbol].tick_lot_units for trade in day),
            trade_count=len(day),
            seq=last.seq,
            at_ms=last.at_ms,
        )


def add_to_candles(candles: dict[CandleKey, Candle], trade: TradeExecuted, instrument: Instrument, at_ms: int) -> None:
    """Add one trade to its candle of every interval; candles of a second that are too old are dropped."""
    for interval in CandleInterval:
        open_at_ms = at_ms // (1000 * interval.length_s) * (1000 * interval.length_s)
        key = (trade.symbol, interval, open_at_ms)
        before = candles.get(key)
        candles[key] = Candle(
            symbol=trade.symbol,
            interval=interval,
            open_at_ms=open_at_ms,
            open=before.open if before else trade.price,
            high=max(before.high, trade.price) if before else trade.price,
            low=min(before.low, trade.price) if before else trade.price,
            close=trade.price,
            base_volume=(before.base_volume if before else 0) + trade.quantity,
            quote_volume=(before.quote_volume if before else 0)
            + trade.price * trade.quantity * instrument.tick_lot_units,
            trade_count=(before.trade_count if before else 0) + 1,
            seq=trade.seq,
        )
        if interval is CandleInterval.SECOND and before is None:
            _drop_old_seconds(candles, trade.symbol, (at_ms - DAY_MS) // 60_000 * 60_000)


def _drop_old_seconds(candles: dict[CandleKey, Candle], symbol: str, oldest_ms: int) -> None:
    old = [key for key in candles if key[:2] == (symbol, CandleInterval.SECOND) and key[2] < oldest_ms]
    for key in old:
        del candles[key]
