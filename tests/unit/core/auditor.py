"""Predicts, from events alone, what every wallet and every hold must be, and holds the engine to it.

It knows the terms of orders and what SEMANTICS.md says of money, but nothing of books and matching; what the ledger of
the core says of each event is compared with what it worked out itself.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field

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
    TradeExecuted,
)
from exchange_core.instruments import Instrument
from exchange_core.ledger import OUTSIDE, Pocket, fee_account, postings
from exchange_core.money import fee_units
from exchange_core.orders import OrderStatus, Side


@dataclass
class AuditedOrder:
    """`left` is what the order may still trade, in lots (None: bounded by its budget alone); `hold` in units."""

    terms: OrderAccepted
    hold: int
    left: int | None
    price: int | None
    filled: int = 0


@dataclass
class Auditor:
    partition: int
    instruments: dict[str, Instrument] = field(default_factory=dict)
    wallets: dict[tuple[str, str, Pocket], int] = field(default_factory=dict)
    fresh: dict[tuple[str, str], int] = field(default_factory=dict)
    """(user, asset) → what became available and is not settled yet: in no wallet, so nobody can spend it."""
    promised: dict[tuple[str, str], int] = field(default_factory=dict)
    """(user, asset) → what is held for commands that no event has shown yet."""
    open: dict[int, AuditedOrder] = field(default_factory=dict)
    ended: set[int] = field(default_factory=set)
    seqs: dict[str, int] = field(default_factory=dict)
    trade_ids: dict[str, int] = field(default_factory=dict)

    def available(self, user_id: str, asset: str) -> int:
        return self.wallets.get((user_id, asset, Pocket.AVAILABLE), 0)

    def held(self, user_id: str, asset: str) -> int:
        return self.wallets.get((user_id, asset, Pocket.HELD), 0)

    def take_hold(self, user_id: str, asset: str, amount: int) -> bool:
        """As the gateway does before it sends a command; False when the funds do not cover it."""
        if amount > self.available(user_id, asset):
            return False
        self._move(user_id, asset, Pocket.AVAILABLE, -amount)
        self._move(user_id, asset, Pocket.HELD, amount)
        self._promise(user_id, asset, amount)
        return True

    def observe(self, events: list[Event]) -> None:
        """Check and follow the events of one step, then the money of all."""
        for event in events:
            self._observe_number(event)
            self._show(event)
            moves = list(self._money(event))
            self._observe_order(event)
            for posting in postings(event, self.instruments, self.partition):
                assert posting.amount > 0
                moves.append((posting.from_user, posting.asset, posting.from_pocket, posting.amount))
                moves.append((posting.to_user, posting.asset, posting.to_pocket, -posting.amount))
            rest: dict[tuple[str, str, Pocket], int] = {}
            for user_id, asset, pocket, amount in moves:
                rest[user_id, asset, pocket] = rest.get((user_id, asset, pocket), 0) + amount
            assert not any(rest.values()), f"the ledger says something else of {event}"
        for order_id in {order_id for event in events for order_id in _orders_of(event)} & self.open.keys():
            order = self.open[order_id]
            assert order.hold == self.exposure(order), f"{order} holds something else than it may cost"
        self.check_money()

    def settle(self) -> None:
        """All that was observed is journaled: what users received they may spend."""
        self.fresh.clear()

    def exposure(self, order: AuditedOrder) -> int:
        """What an order that still stands must hold, no more and no less."""
        instrument = self.instruments[order.terms.symbol]
        assert order.left is not None, "an order that is bounded by its budget alone never rests"
        if order.terms.side is Side.SELL:
            return order.left * instrument.lot_units
        assert order.price is not None
        return order.left * order.price * instrument.tick_lot_units

    def check_money(self) -> None:
        """Nothing below zero, nothing made or lost; held is what open orders may cost and promised commands took."""
        totals: dict[str, int] = {}
        for (user_id, asset, _), amount in self.wallets.items():
            assert user_id == OUTSIDE or amount >= 0, f"{user_id} has {amount} {asset}"
            totals[asset] = totals.get(asset, 0) + amount
        assert not any(totals.values()), f"made or lost: {totals}"
        held = dict(self.promised)
        for order in self.open.values():
            wallet = (order.terms.user_id, order.terms.hold_asset)
            held[wallet] = held.get(wallet, 0) + order.hold
        for user_id, asset, pocket in self.wallets:
            if pocket is Pocket.HELD and user_id != OUTSIDE:
                assert self.held(user_id, asset) == held.get((user_id, asset), 0), f"a hold of {user_id} stays locked"

    def _show(self, event: Event) -> None:
        """What was set aside for a command is the event's business from here on."""
        match event:
            case OrderAccepted() | OrderRejected():
                self._promise(event.user_id, event.hold_asset, -event.hold)
            case OrderAmended():
                self._promise(event.user_id, self.open[event.order_id].terms.hold_asset, -event.taken)
            case CommandRefused():
                self._promise(event.user_id, event.asset, -event.released)
            case FundsWithdrawn():
                self._promise(event.user_id, event.asset, -event.amount)

    def _promise(self, user_id: str, asset: str, amount: int) -> None:
        promised = self.promised.get((user_id, asset), 0) + amount
        assert promised >= 0, f"more is shown than was set aside for {user_id}"
        self.promised[user_id, asset] = promised

    def _money(self, event: Event) -> Iterator[tuple[str, str, Pocket, int]]:
        """Move what an event moves, as SEMANTICS.md has it; yields each change: (user, asset, pocket, units)."""
        match event:
            case TradeExecuted():
                changes = self._money_of_trade(event)
            case OrderDone() | OrderAmended() | OrderDecremented():
                terms = self.open[event.order_id].terms
                changes = _given_back(terms.user_id, terms.hold_asset, event.released)
            case OrderRejected():
                changes = _given_back(event.user_id, event.hold_asset, event.hold)
            case CommandRefused():
                changes = _given_back(event.user_id, event.asset, event.released)
            case FundsDeposited():
                changes = [
                    (OUTSIDE, event.asset, Pocket.AVAILABLE, -event.amount),
                    (event.user_id, event.asset, Pocket.AVAILABLE, event.amount),
                ]
            case FundsWithdrawn():
                changes = [
                    (event.user_id, event.asset, Pocket.HELD, -event.amount),
                    (OUTSIDE, event.asset, Pocket.AVAILABLE, event.amount),
                ]
            case _:
                return
        for change in changes:
            self._move(*change)
            yield change

    def _money_of_trade(self, trade: TradeExecuted) -> list[tuple[str, str, Pocket, int]]:
        instrument = self.instruments[trade.symbol]
        base_units = trade.quantity * instrument.lot_units
        quote_units = trade.quantity * trade.price * instrument.tick_lot_units
        sides = [(trade.maker_user_id, trade.maker_fee), (trade.taker_user_id, trade.taker_fee)]
        (buyer, buyer_fee), (seller, seller_fee) = sides if trade.taker_side is Side.SELL else reversed(sides)
        fees = fee_account(self.partition)
        return [
            (buyer, instrument.quote, Pocket.HELD, -quote_units),
            (seller, instrument.base, Pocket.HELD, -base_units),
            (buyer, instrument.base, Pocket.AVAILABLE, base_units - buyer_fee),
            (seller, instrument.quote, Pocket.AVAILABLE, quote_units - seller_fee),
            (fees, instrument.base, Pocket.AVAILABLE, buyer_fee),
            (fees, instrument.quote, Pocket.AVAILABLE, seller_fee),
            *_given_back(trade.taker_user_id, instrument.quote, trade.taker_release),
        ]

    def _move(self, user_id: str, asset: str, pocket: Pocket, amount: int) -> None:
        key = (user_id, asset, pocket)
        self.wallets[key] = self.wallets.get(key, 0) + amount
        if pocket is Pocket.AVAILABLE and amount > 0:
            self.fresh[user_id, asset] = self.fresh.get((user_id, asset), 0) + amount

    def _observe_number(self, event: Event) -> None:
        if isinstance(event, InstrumentListed):
            self.instruments[event.symbol] = event.instrument
        if event.symbol not in self.instruments and event.symbol != CASH_DESK:
            assert isinstance(event, OrderRejected) and event.seq == 0
            return
        assert event.seq == self.seqs.get(event.symbol, 0) + 1, "a gap in seq"
        self.seqs[event.symbol] = event.seq
        if isinstance(event, TradeExecuted):
            assert event.trade_id == self.trade_ids.get(event.symbol, 0) + 1, "a gap in trade ids"
            self.trade_ids[event.symbol] = event.trade_id

    def _observe_order(self, event: Event) -> None:
        match event:
            case OrderAccepted():
                assert event.order_id not in self.open and event.order_id not in self.ended
                self.open[event.order_id] = AuditedOrder(event, event.hold, event.quantity, event.price)
            case OrderRejected():
                assert event.order_id not in self.open and event.order_id not in self.ended
                self.ended.add(event.order_id)
            case TradeExecuted():
                self._observe_trade(event)
            case OrderDone():
                order = self.open.pop(event.order_id)
                self.ended.add(event.order_id)
                assert event.released == order.hold, "an order ends with nothing locked"
                assert event.filled_quantity == order.filled
                assert event.status in (OrderStatus.FILLED, OrderStatus.CANCELED, OrderStatus.EXPIRED)
                if event.status is OrderStatus.FILLED and order.left is not None:
                    assert order.left == 0
            case OrderAmended():
                order = self.open[event.order_id]
                assert order.hold + event.taken - event.released == event.hold
                order.hold, order.price, order.left = event.hold, event.price, event.quantity - order.filled
            case OrderDecremented():
                order = self.open[event.order_id]
                order.hold -= event.released
                order.left = None if order.left is None else order.left - event.quantity

    def _observe_trade(self, trade: TradeExecuted) -> None:
        instrument = self.instruments[trade.symbol]
        maker, taker = self.open[trade.maker_order_id], self.open[trade.taker_order_id]
        base_units = trade.quantity * instrument.lot_units
        quote_units = trade.quantity * trade.price * instrument.tick_lot_units
        assert trade.quantity > 0 and maker.price == trade.price, "a trade happens at the resting order's price"
        assert maker.terms.user_id != taker.terms.user_id, "nobody trades with himself"
        assert (maker.terms.user_id, taker.terms.user_id) == (trade.maker_user_id, trade.taker_user_id)
        assert taker.terms.side is trade.taker_side is maker.terms.side.opposite
        for order, is_taker in ((maker, False), (taker, True)):
            order.filled += trade.quantity
            if order.left is not None:
                order.left -= trade.quantity
                assert order.left >= 0, "more traded than ordered"
            order.hold -= quote_units if order.terms.side is Side.BUY else base_units
            if is_taker:
                order.hold -= trade.taker_release
            assert order.hold >= 0
        if taker.terms.side is Side.BUY and taker.terms.quote_quantity is None:
            assert taker.price is not None and taker.left is not None
            assert taker.hold == taker.price * taker.left * instrument.tick_lot_units, "the improvement is given back"
        receives = {Side.BUY: base_units, Side.SELL: quote_units}
        assert trade.taker_fee == fee_units(receives[taker.terms.side], instrument.taker_fee_bps)
        assert trade.maker_fee == fee_units(receives[maker.terms.side], instrument.maker_fee_bps)

    def fees(self, asset: str) -> int:
        return self.available(fee_account(self.partition), asset)


def _given_back(user_id: str, asset: str, amount: int) -> list[tuple[str, str, Pocket, int]]:
    return [(user_id, asset, Pocket.HELD, -amount), (user_id, asset, Pocket.AVAILABLE, amount)] if amount else []


def _orders_of(event: Event) -> tuple[int, ...]:
    if isinstance(event, TradeExecuted):
        return event.maker_order_id, event.taker_order_id
    return (getattr(event, "order_id", 0),)
