"""A short history of one symbol, as journal slots: what the tests of the database write and read."""

from decimal import Decimal
from typing import Any

from exchange_core.codec import Slot
from exchange_core.events import (
    Event,
    InstrumentListed,
    OrderAccepted,
    OrderDecremented,
    OrderDone,
    OrderRejected,
    TradeExecuted,
)
from exchange_core.instruments import Instrument
from exchange_core.orders import OrderStatus, OrderType, Reason, Side, TimeInForce

FIRST_AT_MS = 1_771_322_400_000
STEP_MS = 1_000


def instrument(symbol: str, partition: int) -> Instrument:
    """One lot is 10^4 base units and costs 100 quote units a tick."""
    return Instrument(
        symbol=symbol,
        base="BTC",
        quote="USDT",
        base_decimals=8,
        quote_decimals=8,
        tick_size=Decimal("0.01"),
        lot_size=Decimal("0.0001"),
        min_quantity=1,
        max_quantity=10**9,
        min_notional=1,
        maker_fee_bps=10,
        taker_fee_bps=20,
        band_bps=1_000,
        reference_price=5_000_000,
        partition=partition,
    )


def slot(partition: int, n: int, *events: Event) -> Slot:
    """Slot n, STEP_MS after the one before it."""
    return Slot(
        partition=partition,
        n=n,
        at_ms=FIRST_AT_MS + n * STEP_MS,
        fed_through=n - 1,
        writer="conformance",
        events=events,
    )


class Story:
    """Builds events of one symbol with gapless `seq`. Order ids are `base_id` plus a small number."""

    def __init__(self, symbol: str, partition: int, base_id: int) -> None:
        self.symbol = symbol
        self.partition = partition
        self.base_id = base_id
        self.seq = 0

    def listed(self) -> InstrumentListed:
        return InstrumentListed(
            **self._head(cause=self.base_id),
            instrument=instrument(self.symbol, self.partition),
            operator_id="operator",
        )

    def accepted(self, number: int, user_id: str, side: Side, price: int, quantity: int, **terms: Any) -> OrderAccepted:
        return OrderAccepted(**self._terms(number, user_id, side, price, quantity), **terms)

    def rejected(self, number: int, user_id: str, price: int, quantity: int, reason: Reason) -> OrderRejected:
        return OrderRejected(**self._terms(number, user_id, Side.BUY, price, quantity), reason=reason)

    def trade(
        self, trade_id: int, maker: tuple[int, str], taker: tuple[int, str], side: Side, price: int, quantity: int
    ) -> TradeExecuted:
        return TradeExecuted(
            **self._head(cause=self.base_id + taker[0]),
            trade_id=trade_id,
            maker_order_id=self.base_id + maker[0],
            maker_user_id=maker[1],
            taker_order_id=self.base_id + taker[0],
            taker_user_id=taker[1],
            taker_side=side,
            price=price,
            quantity=quantity,
            maker_fee=3,
            taker_fee=7,
            taker_release=0,
        )

    def decremented(self, number: int, user_id: str, side: Side, quantity: int, released: int) -> OrderDecremented:
        return OrderDecremented(
            **self._head(cause=self.base_id + number),
            order_id=self.base_id + number,
            user_id=user_id,
            side=side,
            quantity=quantity,
            released=released,
        )

    def done(
        self, number: int, user_id: str, side: Side, status: OrderStatus, reason: Reason, filled: int, released: int = 0
    ) -> OrderDone:
        return OrderDone(
            **self._head(cause=self.base_id + number),
            order_id=self.base_id + number,
            user_id=user_id,
            side=side,
            status=status,
            reason=reason,
            filled_quantity=filled,
            released=released,
        )

    def _head(self, cause: int) -> dict[str, Any]:
        self.seq += 1
        return {"seq": self.seq, "symbol": self.symbol, "cause": cause}

    def _terms(self, number: int, user_id: str, side: Side, price: int, quantity: int) -> dict[str, Any]:
        self.seq += 1
        return {
            "seq": self.seq,
            "order_id": self.base_id + number,
            "user_id": user_id,
            "client_order_id": f"client-{number}",
            "symbol": self.symbol,
            "side": side,
            "order_type": OrderType.LIMIT,
            "time_in_force": TimeInForce.GTC,
            "price": price,
            "quantity": quantity,
            "hold": price * quantity * 100 if side is Side.BUY else quantity * 10_000,
            "hold_asset": "USDT" if side is Side.BUY else "BTC",
            "entered_at_ms": FIRST_AT_MS + number,
        }
