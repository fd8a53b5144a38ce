"""What happened. Past tense, immutable; the journal is nothing but these, in order.

Every event has a `symbol` (or CASH_DESK) and that symbol's gapless `seq`; the slot it stands in gives its time.
`cause` is the id of the command that led to it. Amounts are in smallest units, prices in ticks, quantities in lots.
The effect of each on the wallets is in `ledger.py` and nowhere else.
"""

import typing
from dataclasses import dataclass
from typing import Final

from exchange_core.instruments import Instrument, SymbolStatus
from exchange_core.orders import OrderStatus, OrderTerms, Reason, Side


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderAccepted(OrderTerms):
    """The order is in: resting, waiting for its trigger, or about to trade in the events that follow."""

    seq: int

    @property
    def cause(self) -> int:
        """An order is its own command."""
        return self.order_id


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderRejected(OrderTerms):
    """The order never was in; its whole `hold` is released. `seq` is 0 if its symbol is not listed."""

    seq: int
    reason: Reason

    @property
    def cause(self) -> int:
        """An order is its own command."""
        return self.order_id


@dataclass(frozen=True, slots=True, kw_only=True)
class SymbolEvent:
    """What all other events share."""

    seq: int
    symbol: str
    cause: int


@dataclass(frozen=True, slots=True, kw_only=True)
class TradeExecuted(SymbolEvent):
    """Two orders met at the maker's price.

    `trade_id` is gapless per symbol. `maker_fee` and `taker_fee` are taken from what each side receives: in base for
    the buyer, in quote for the seller. `taker_release` is what a buying taker held beyond the price it got, given
    back at once (quote units; 0 for a selling taker or one that spends a budget).
    """

    trade_id: int
    maker_order_id: int
    taker_order_id: int
    maker_user_id: str
    taker_user_id: str
    taker_side: Side
    price: int
    quantity: int
    maker_fee: int
    taker_fee: int
    taker_release: int


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderDone(SymbolEvent):
    """The order ended, in `status` filled, canceled or expired; `released` is what was left of its hold, in units."""

    order_id: int
    user_id: str
    side: Side
    status: OrderStatus
    reason: Reason
    filled_quantity: int
    released: int


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderAmended(SymbolEvent):
    """New price (ticks) and total quantity (lots). `hold` is what the order holds from now on; `taken` the extra that
    the gateway had set aside for it, `released` what is given back (all in units)."""

    order_id: int
    user_id: str
    side: Side
    price: int
    quantity: int
    hold: int
    taken: int
    released: int
    keeps_priority: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderDecremented(SymbolEvent):
    """Self-trade prevention shrank the order by `quantity` lots; `released` units go back to the user."""

    order_id: int
    user_id: str
    side: Side
    quantity: int
    released: int


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderTriggered(SymbolEvent):
    """A trade reached the order's trigger price: it is now the market or limit order it carried."""

    order_id: int
    user_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class CommandRefused(SymbolEvent):
    """A cancel, amend or operator's command that changed nothing; `released` units of `asset` go back, if any.

    `order_id` is 0 where none was named. `command` is its name in `commands.COMMAND_CLASSES`, and `operator_id` who
    sent it if it was an operator's; neither was written at first. `detail` is the transfer id of a deposit or a
    withdrawal. A message that cannot be decoded stands here too, with reason `undecodable` and as `detail` the SHA-256
    of its body.
    """

    user_id: str
    order_id: int
    reason: Reason
    asset: str = ""
    released: int = 0
    detail: str = ""
    command: str = ""
    operator_id: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class FundsDeposited(SymbolEvent):
    """`amount` units of `asset` entered the exchange for `user_id`."""

    user_id: str
    asset: str
    amount: int
    transfer_id: str
    operator_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class FundsWithdrawn(SymbolEvent):
    """`amount` held units of `asset` left the exchange."""

    user_id: str
    asset: str
    amount: int
    transfer_id: str
    operator_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class InstrumentListed(SymbolEvent):
    """The instrument exists from here on; always `seq` 1 of its symbol."""

    instrument: Instrument
    operator_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SymbolStatusChanged(SymbolEvent):
    """The symbol takes something else from here on; `until_ms` when the breaker set it, else None."""

    status: SymbolStatus
    operator_id: str
    until_ms: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class CancelTimerSet(SymbolEvent):
    """The user's dead-man switch in this symbol; None when disarmed."""

    user_id: str
    deadline_ms: int | None


Event = (
    OrderAccepted
    | OrderRejected
    | TradeExecuted
    | OrderDone
    | OrderAmended
    | OrderDecremented
    | OrderTriggered
    | CommandRefused
    | FundsDeposited
    | FundsWithdrawn
    | InstrumentListed
    | SymbolStatusChanged
    | CancelTimerSet
)

EVENT_CLASSES: Final[dict[str, type]] = {kind.__name__: kind for kind in typing.get_args(Event)}
"""By name, as the archive writes them."""
