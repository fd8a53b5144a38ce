"""Journals for the persister's tests: a small market that trades at random, by the rules of events and ledger."""

from dataclasses import dataclass, field
from decimal import Decimal
from random import Random

from exchange_core.codec import Slot, encode_slot
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
from exchange_core.instruments import Instrument, SymbolStatus
from exchange_core.money import fee_units
from exchange_core.orders import OrderStatus, OrderType, Reason, Side, TimeInForce
from exchange_core.ports import StreamRecord

USERS = ("alice", "bob", "carol", "dave")
START_MS = 1_771_322_400_000


def instrument(symbol: str = "BTCUSD", partition: int = 0) -> Instrument:
    return Instrument(
        symbol=symbol,
        base="BTC",
        quote="USD",
        base_decimals=8,
        quote_decimals=8,
        tick_size=Decimal("0.01"),
        lot_size=Decimal("0.0001"),
        min_quantity=1,
        max_quantity=10**9,
        min_notional=0,
        maker_fee_bps=10,
        taker_fee_bps=20,
        band_bps=5_000,
        reference_price=1_000,
        partition=partition,
    )


@dataclass(slots=True)
class _Resting:
    terms: OrderAccepted
    price: int
    left: int
    hold: int
    quantity: int
    filled: int = 0


@dataclass(slots=True)
class RandomMarket:
    """`slot()` gives the next slot of the partition: gapless numbers, matched orders, all amounts exact."""

    random: Random
    partition: int = 0
    symbol: str = "BTCUSD"
    n: int = 0
    _seqs: dict[str, int] = field(default_factory=dict)
    _trade_id: int = 0
    _command_id: int = 0
    _resting: list[_Resting] = field(default_factory=list)

    def slot(self, orders: int = 4) -> Slot:
        self.n += 1
        if self.n == 1:
            events = self._opening()
        else:
            events = [event for _ in range(self.random.randint(0, orders)) for event in self._something()]
        return Slot(
            partition=self.partition,
            n=self.n,
            at_ms=START_MS + 100 * self.n,
            fed_through=self.n - 1,
            writer="matcher-1:abc",
            events=tuple(events),
        )

    def slots(self, count: int, orders: int = 4) -> list[Slot]:
        return [self.slot(orders) for _ in range(count)]

    def _next_id(self) -> int:
        self._command_id += 1
        return (self.partition + 1) * 1_000_000_000 + self._command_id

    def _seq(self, symbol: str | None = None) -> int:
        symbol = symbol or self.symbol
        self._seqs[symbol] = self._seqs.get(symbol, 0) + 1
        return self._seqs[symbol]

    @property
    def instrument(self) -> Instrument:
        return instrument(self.symbol, self.partition)

    def _opening(self) -> list[Event]:
        listing: list[Event] = [
            InstrumentListed(
                seq=self._seq(),
                symbol=self.symbol,
                cause=self._next_id(),
                instrument=self.instrument,
                operator_id="operator",
            )
        ]
        return listing + [self._cash(FundsDeposited, user, asset) for user in USERS for asset in ("BTC", "USD")]

    def _cash(self, kind: type[FundsDeposited] | type[FundsWithdrawn], user: str, asset: str) -> Event:
        cause = self._next_id()
        return kind(
            seq=self._seq(CASH_DESK),
            symbol=CASH_DESK,
            cause=cause,
            user_id=user,
            asset=asset,
            amount=self.random.randint(1, 10**15),
            transfer_id=f"t-{cause}",
            operator_id="operator",
        )

    def _something(self) -> list[Event]:
        draw = self.random.random()
        if draw < 0.70 or not self._resting:
            return self._order()
        if draw < 0.80:
            return [self._cancel(self.random.choice(self._resting))]
        if draw < 0.85:
            return [self._amend(self.random.choice(self._resting))]
        if draw < 0.88:
            return self._decrement(self.random.choice(self._resting))
        if draw < 0.91:
            return [self._triggered(self.random.choice(self._resting))]
        if draw < 0.94:
            return [self._rejected()]
        if draw < 0.96:
            return [self._refused(self.random.choice(USERS))]
        if draw < 0.98:
            return [self._cash(FundsWithdrawn, self.random.choice(USERS), "USD")]
        return [self._status()]

    def _terms(self, **changes: object) -> dict[str, object]:
        side = self.random.choice(list(Side))
        price, quantity = self.random.randint(990, 1_010), self.random.randint(1, 9)
        order_id = self._next_id()
        hold = price * quantity * self.instrument.tick_lot_units
        terms: dict[str, object] = {
            "order_id": order_id,
            "user_id": self.random.choice(USERS),
            "client_order_id": f"c-{order_id}",
            "symbol": self.symbol,
            "side": side,
            "order_type": OrderType.LIMIT,
            "time_in_force": TimeInForce.GTC,
            "price": price,
            "quantity": quantity,
            "hold": hold if side is Side.BUY else quantity * self.instrument.lot_units,
            "hold_asset": "USD" if side is Side.BUY else "BTC",
            "entered_at_ms": START_MS + self._command_id,
            "seq": self._seq(),
        }
        return terms | changes

    def _order(self) -> list[Event]:
        terms = OrderAccepted(**self._terms())  # type: ignore[arg-type]
        assert terms.price is not None and terms.quantity is not None
        taker = _Resting(terms, terms.price, terms.quantity, terms.hold, terms.quantity)
        events: list[Event] = [terms]
        is_buy = terms.side is Side.BUY
        while taker.left and (maker := self._best(taker)) is not None:
            events.append(self._trade(taker, maker))
            if not maker.left:
                self._resting.remove(maker)
                events.append(self._done(maker, OrderStatus.FILLED, Reason.FILLED, taker.terms.order_id))
        if not taker.left:
            events.append(self._done(taker, OrderStatus.FILLED, Reason.FILLED, taker.terms.order_id))
        elif is_buy and self.random.random() < 0.1:
            ended = self._done(taker, OrderStatus.EXPIRED, Reason.IMMEDIATE_OR_CANCEL, taker.terms.order_id)
            events.append(ended)
        else:
            self._resting.append(taker)
        return events

    def _best(self, taker: _Resting) -> _Resting | None:
        is_buy = taker.terms.side is Side.BUY
        against = [
            maker
            for maker in self._resting
            if maker.terms.side is not taker.terms.side
            and maker.terms.user_id != taker.terms.user_id
            and (maker.price <= taker.price if is_buy else maker.price >= taker.price)
        ]
        return min(against, key=lambda maker: maker.price if is_buy else -maker.price, default=None)

    def _trade(self, taker: _Resting, maker: _Resting) -> TradeExecuted:
        listed = self.instrument
        quantity = min(taker.left, maker.left)
        base, quote = quantity * listed.lot_units, maker.price * quantity * listed.tick_lot_units
        taker_buys = taker.terms.side is Side.BUY
        release = (taker.price - maker.price) * quantity * listed.tick_lot_units if taker_buys else 0
        for one, is_buyer in ((taker, taker_buys), (maker, not taker_buys)):
            one.left -= quantity
            one.filled += quantity
            one.hold -= quote if is_buyer else base
        taker.hold -= release
        self._trade_id += 1
        return TradeExecuted(
            seq=self._seq(),
            symbol=self.symbol,
            cause=taker.terms.order_id,
            trade_id=self._trade_id,
            maker_order_id=maker.terms.order_id,
            taker_order_id=taker.terms.order_id,
            maker_user_id=maker.terms.user_id,
            taker_user_id=taker.terms.user_id,
            taker_side=taker.terms.side,
            price=maker.price,
            quantity=quantity,
            maker_fee=fee_units(quote if taker_buys else base, listed.maker_fee_bps),
            taker_fee=fee_units(base if taker_buys else quote, listed.taker_fee_bps),
            taker_release=release,
        )

    def _done(self, order: _Resting, status: OrderStatus, reason: Reason, cause: int) -> OrderDone:
        return OrderDone(
            seq=self._seq(),
            symbol=self.symbol,
            cause=cause,
            order_id=order.terms.order_id,
            user_id=order.terms.user_id,
            side=order.terms.side,
            status=status,
            reason=reason,
            filled_quantity=order.filled,
            released=order.hold,
        )

    def _cancel(self, order: _Resting) -> Event:
        self._resting.remove(order)
        return self._done(order, OrderStatus.CANCELED, Reason.USER_CANCELED, self._next_id())

    def _unit_hold(self, order: _Resting) -> int:
        listed = self.instrument
        return order.price * listed.tick_lot_units if order.terms.side is Side.BUY else listed.lot_units

    def _amend(self, order: _Resting) -> Event:
        added = self.random.randint(1, 3)
        taken = added * self._unit_hold(order)
        order.quantity, order.left, order.hold = order.quantity + added, order.left + added, order.hold + taken
        return OrderAmended(
            seq=self._seq(),
            symbol=self.symbol,
            cause=self._next_id(),
            order_id=order.terms.order_id,
            user_id=order.terms.user_id,
            side=order.terms.side,
            price=order.price,
            quantity=order.quantity,
            hold=order.hold,
            taken=taken,
            released=0,
            keeps_priority=False,
        )

    def _decrement(self, order: _Resting) -> list[Event]:
        released = self._unit_hold(order)
        order.quantity, order.left, order.hold = order.quantity - 1, order.left - 1, order.hold - released
        events: list[Event] = [
            OrderDecremented(
                seq=self._seq(),
                symbol=self.symbol,
                cause=self._next_id(),
                order_id=order.terms.order_id,
                user_id=order.terms.user_id,
                side=order.terms.side,
                quantity=1,
                released=released,
            )
        ]
        if not order.left:
            self._resting.remove(order)
            events.append(self._done(order, OrderStatus.EXPIRED, Reason.SELF_TRADE, self._next_id()))
        return events

    def _triggered(self, order: _Resting) -> Event:
        return OrderTriggered(
            seq=self._seq(),
            symbol=self.symbol,
            cause=order.terms.order_id,
            order_id=order.terms.order_id,
            user_id=order.terms.user_id,
        )

    def _rejected(self) -> Event:
        wild = self._terms(price=2**63, quantity=-5, client_order_id="c\0d", reason=Reason.INVALID)
        return OrderRejected(**wild)  # type: ignore[arg-type]

    def _refused(self, user_id: str) -> Event:
        return CommandRefused(
            seq=self._seq(),
            symbol=self.symbol,
            cause=self._next_id(),
            user_id=user_id,
            order_id=0,
            reason=Reason.ORDER_NOT_FOUND,
            asset="USD",
            released=self.random.randint(0, 5),
        )

    def _status(self) -> Event:
        return SymbolStatusChanged(
            seq=self._seq(),
            symbol=self.symbol,
            cause=self._next_id(),
            status=self.random.choice(list(SymbolStatus)),
            operator_id="operator",
        )


def record_of(slot: Slot, sequence: int | None = None) -> StreamRecord:
    return StreamRecord(
        sequence_number=str(slot.n if sequence is None else sequence),
        partition_key=str(slot.partition),
        data=encode_slot(slot),
    )


def records_of(slots: list[Slot]) -> list[StreamRecord]:
    return [record_of(slot) for slot in slots]
