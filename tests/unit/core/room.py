"""A trading room for tests: an engine, users with funds, and a gateway's manners: it takes the hold, then sends.

After every step the auditor checks all money, and that the book is not crossed. `close_slot` journals what happened
since the last one and checks that the folded and the restored engine stand where the live one stands.
"""

from decimal import Decimal
from typing import Any

from exchange_core.codec import Slot, decode_slot, encode_slot
from exchange_core.commands import (
    CASH_DESK,
    AmendOrder,
    CancelAllOrders,
    CancelOrder,
    Command,
    DepositFunds,
    ListInstrument,
    PlaceOrder,
    SetCancelTimer,
    SetSymbolStatus,
)
from exchange_core.engine import PartitionEngine
from exchange_core.events import Event, OrderDone, OrderRejected, TradeExecuted
from exchange_core.holds import hold_asset, required_hold
from exchange_core.instruments import Instrument, SymbolStatus
from exchange_core.orders import OrderStatus, OrderTerms, OrderType, Reason, Side, TimeInForce
from exchange_core.steps import at_once
from tests.unit.core.auditor import Auditor

SYMBOL = "BTCUSD"
START_MS = 1_760_000_000_000
BUY, SELL = Side.BUY, Side.SELL


def listed(**changes: Any) -> Instrument:
    """An instrument with small numbers: a lot is 10 base units, a lot at one tick costs 3 quote units."""
    terms: dict[str, Any] = {
        "symbol": SYMBOL,
        "base": "BTC",
        "quote": "USD",
        "base_decimals": 4,
        "quote_decimals": 5,
        "tick_size": Decimal("0.03"),
        "lot_size": Decimal("0.001"),
        "min_quantity": 1,
        "max_quantity": 10_000,
        "min_notional": 0,
        "maker_fee_bps": 10,
        "taker_fee_bps": 25,
        "band_bps": 5_000,
        "reference_price": 100,
        "partition": 0,
    }
    return Instrument(**(terms | changes))


class Room:
    def __init__(self, engine: PartitionEngine | None = None, **instrument: Any) -> None:
        self.engine = engine or PartitionEngine(0)
        self.folded = PartitionEngine(0)
        self.auditor = Auditor(0)
        self.at_ms = START_MS
        self.log: list[Event] = []
        self._last_id = 1_000
        self._slot_number = 0
        self._slot: list[Event] = self.engine.begin_slot(self.at_ms)
        self._earlier = self.engine.image(), self.engine.state_hash()
        self.instrument = listed(**instrument)
        self.list_instrument(self.instrument)

    def next_id(self) -> int:
        self._last_id += 1
        return self._last_id

    def send(self, command: Command) -> list[Event]:
        return self._take_in(self.engine.execute(command, self.at_ms))

    def pass_time(self, milliseconds: int) -> list[Event]:
        """End the slot and begin another one later."""
        self.close_slot()
        self.at_ms += milliseconds
        return self._take_in(self.engine.begin_slot(self.at_ms))

    def close_slot(self) -> None:
        self._slot_number += 1
        slot = Slot(
            partition=0,
            n=self._slot_number,
            at_ms=self.at_ms,
            fed_through=self._slot_number - 1,
            writer="room",
            events=tuple(self._slot),
        )
        self._slot = []
        decoded = decode_slot(encode_slot(slot))
        assert decoded == slot
        self.folded.apply_slot(decoded)
        live = self.engine.state_hash()
        assert self.folded.state_hash() == live, "the fold stands elsewhere"
        assert PartitionEngine.restore(self.engine.snapshot()).state_hash() == live, "the snapshot is not complete"
        image, then = self._earlier
        assert PartitionEngine.restore(at_once(image.encode())).state_hash() == then, "an image changed with its state"
        self._earlier = self.engine.image(), live

    def restart(self) -> None:
        """Go on with what the journal alone gives."""
        self.close_slot()
        self.engine, self.folded = self.folded, PartitionEngine.restore(self.engine.snapshot())

    def list_instrument(self, instrument: Instrument) -> list[Event]:
        return self.send(
            ListInstrument(
                command_id=self.next_id(),
                user_id="op",
                symbol=instrument.symbol,
                entered_at_ms=0,
                instrument=instrument,
            )
        )

    def fund(self, user_id: str, *, usd: int = 0, btc: int = 0) -> None:
        for asset, amount in (("USD", usd), ("BTC", btc)):
            if amount:
                self.send(
                    DepositFunds(
                        command_id=self.next_id(),
                        user_id="op",
                        symbol=CASH_DESK,
                        entered_at_ms=0,
                        account_id=user_id,
                        asset=asset,
                        amount=amount,
                        transfer_id="t",
                    )
                )

    def order(self, user_id: str, side: Side, quantity: int | None, price: int | None, **terms: Any) -> PlaceOrder:
        """An order with the hold it needs, not yet sent."""
        values: dict[str, Any] = {
            "order_id": self.next_id(),
            "user_id": user_id,
            "client_order_id": "",
            "symbol": SYMBOL,
            "side": side,
            "order_type": OrderType.LIMIT,
            "time_in_force": TimeInForce.GTC,
            "price": price,
            "quantity": quantity,
            "entered_at_ms": self.at_ms,
            "hold_asset": hold_asset(side, self.instrument),
        } | terms
        hold = values.pop("hold", None)
        if hold is None:
            hold = required_hold(OrderTerms(hold=0, **values), self.instrument)
        return PlaceOrder(hold=hold, **values)

    def place(self, user_id: str, side: Side, quantity: int | None, price: int | None, **terms: Any) -> list[Event]:
        """Take the hold, funding the user if need be, and send."""
        order = self.order(user_id, side, quantity, price, **terms)
        self.hold(user_id, order.hold_asset, order.hold)
        return self.send(order)

    def hold(self, user_id: str, asset: str, amount: int) -> None:
        if not self.auditor.take_hold(user_id, asset, amount):
            self.fund(user_id, **{asset.lower(): amount})
            assert self.auditor.take_hold(user_id, asset, amount)

    def cancel(self, user_id: str, order_id: int, symbol: str = SYMBOL) -> list[Event]:
        return self.send(
            CancelOrder(
                command_id=self.next_id(), user_id=user_id, symbol=symbol, entered_at_ms=self.at_ms, order_id=order_id
            )
        )

    def cancel_all(self, user_id: str) -> list[Event]:
        return self.send(
            CancelAllOrders(command_id=self.next_id(), user_id=user_id, symbol=SYMBOL, entered_at_ms=self.at_ms)
        )

    def amend(self, user_id: str, order_id: int, *, hold: int = 0, **changes: Any) -> list[Event]:
        """`hold` is what the gateway takes in addition."""
        order = self.auditor.open.get(order_id)
        asset = order.terms.hold_asset if order else "USD"
        if hold > 0:
            self.hold(user_id, asset, hold)
        values = {"command_id": self.next_id(), "entered_at_ms": self.at_ms, "hold_asset": asset} | changes
        return self.send(AmendOrder(user_id=user_id, symbol=SYMBOL, order_id=order_id, hold=hold, **values))

    def set_timer(self, user_id: str, deadline_ms: int | None) -> list[Event]:
        return self.send(
            SetCancelTimer(
                command_id=self.next_id(),
                user_id=user_id,
                symbol=SYMBOL,
                entered_at_ms=self.at_ms,
                deadline_ms=deadline_ms,
            )
        )

    def set_status(self, status: SymbolStatus) -> list[Event]:
        return self.send(
            SetSymbolStatus(
                command_id=self.next_id(), user_id="op", symbol=SYMBOL, entered_at_ms=self.at_ms, status=status
            )
        )

    def bids(self) -> list[tuple[int, int]]:
        return list(self.engine.depth(SYMBOL, 50)[0])

    def asks(self) -> list[tuple[int, int]]:
        return list(self.engine.depth(SYMBOL, 50)[1])

    def _take_in(self, events: list[Event]) -> list[Event]:
        self._slot += events
        self.log += events
        self.auditor.observe(events)
        for symbol in self.engine.instruments:
            bids, asks = self.engine.depth(symbol, 1)
            assert not bids or not asks or bids[0][0] < asks[0][0], "a book is never crossed at rest"
        return events


def trades(events: list[Event]) -> list[tuple[int, int]]:
    """(price, quantity) of each trade."""
    return [(event.price, event.quantity) for event in events if isinstance(event, TradeExecuted)]


def endings(events: list[Event]) -> list[tuple[int, OrderStatus, Reason]]:
    """(order id, status, reason) of each order that ended, rejected ones included."""
    ended = []
    for event in events:
        if isinstance(event, OrderDone):
            ended.append((event.order_id, event.status, event.reason))
        elif isinstance(event, OrderRejected):
            ended.append((event.order_id, OrderStatus.REJECTED, event.reason))
    return ended
