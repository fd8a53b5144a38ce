"""Predicts, from events alone, what every wallet and every hold must be, and holds the engine to it.

It knows the ledger (what an event does to wallets) and the terms of orders, but nothing of books and matching.
"""

from dataclasses import dataclass, field

from exchange_core.commands import CASH_DESK
from exchange_core.events import (
    Event,
    FundsDeposited,
    FundsWithdrawn,
    InstrumentListed,
    OrderAccepted,
    OrderAmended,
    OrderDecremented,
    OrderDone,
    OrderRejected,
    SymbolStatusChanged,
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
    deposited: dict[str, int] = field(default_factory=dict)
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
        return True

    def observe(self, events: list[Event]) -> None:
        """Check and follow the events of one step, then the money of all."""
        for event in events:
            self._observe_number(event)
            self._observe_order(event)
            for posting in postings(event, self.instruments, self.partition):
                assert posting.amount > 0
                self._move(posting.from_user, posting.asset, posting.from_pocket, -posting.amount)
                self._move(posting.to_user, posting.asset, posting.to_pocket, posting.amount)
        self.check_money()

    def check_money(self) -> None:
        for (user_id, asset, pocket), amount in self.wallets.items():
            assert user_id == OUTSIDE or amount >= 0, f"{user_id} has {amount} {asset} {pocket}"
        totals: dict[str, int] = {}
        for (user_id, asset, _), amount in self.wallets.items():
            if user_id != OUTSIDE:
                totals[asset] = totals.get(asset, 0) + amount
        for asset, total in totals.items():
            assert total == self.deposited.get(asset, 0), f"{asset} was made or lost"
        held: dict[tuple[str, str], int] = {}
        for order in self.open.values():
            wallet = (order.terms.user_id, order.terms.hold_asset)
            held[wallet] = held.get(wallet, 0) + order.hold
        for user_id, asset, pocket in self.wallets:
            if pocket is Pocket.HELD and user_id != OUTSIDE:
                assert self.held(user_id, asset) == held.get((user_id, asset), 0), f"a hold of {user_id} stays locked"

    def _move(self, user_id: str, asset: str, pocket: Pocket, amount: int) -> None:
        key = (user_id, asset, pocket)
        self.wallets[key] = self.wallets.get(key, 0) + amount

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
            case FundsDeposited():
                self.deposited[event.asset] = self.deposited.get(event.asset, 0) + event.amount
            case FundsWithdrawn():
                self.deposited[event.asset] = self.deposited.get(event.asset, 0) - event.amount
            case SymbolStatusChanged():
                pass

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
