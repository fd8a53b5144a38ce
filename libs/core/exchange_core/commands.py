"""What can be asked of the matcher. Imperative, immutable, each with an id of its own.

A command travels in SQS, many of one symbol in a message; `command_id` makes a repeat harmless (for an order it is the
order id). `entered_at_ms` is the gateway's clock when the command was taken; it explains, and decides only that a
command is too old to trade. `as_of_ms` is set where a command is sent again later: the gateway's clock before it made
sure that no slot showed it.
"""

from dataclasses import dataclass
from typing import Final

from exchange_core.instruments import Instrument, SymbolStatus
from exchange_core.orders import OrderTerms

CASH_DESK = "$CASH"
"""Stands where a symbol would in commands and events that move funds in and out: numbered like a symbol."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PlaceOrder(OrderTerms):
    """Enter an order whose hold is already taken."""

    as_of_ms: int = 0

    @property
    def command_id(self) -> int:
        """An order is its own command."""
        return self.order_id


@dataclass(frozen=True, slots=True, kw_only=True)
class SymbolCommand:
    """What all commands but PlaceOrder share. `symbol` is CASH_DESK for funds."""

    command_id: int
    user_id: str
    symbol: str
    entered_at_ms: int
    trace_id: str = ""
    as_of_ms: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class CancelOrder(SymbolCommand):
    """End one of the user's own orders."""

    order_id: int


@dataclass(frozen=True, slots=True, kw_only=True)
class AmendOrder(SymbolCommand):
    """Change price (ticks) or total quantity (lots); `hold` is what the gateway took in addition, in units of
    `hold_asset`, so that it can be given back even when the order is not known any more."""

    order_id: int
    price: int | None = None
    quantity: int | None = None
    hold: int = 0
    hold_asset: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class CancelAllOrders(SymbolCommand):
    """End all of the user's orders in the symbol."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SetCancelTimer(SymbolCommand):
    """Cancel all of the user's orders in the symbol at `deadline_ms` unless renewed; None disarms it."""

    deadline_ms: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class DepositFunds(SymbolCommand):
    """Credit `amount` units of `asset` to `account_id`; `user_id` is the operator who ordered it."""

    account_id: str
    asset: str
    amount: int
    transfer_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class WithdrawFunds(SymbolCommand):
    """Debit `amount` units of `asset`, already held, from `account_id`."""

    account_id: str
    asset: str
    amount: int
    transfer_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SetSymbolStatus(SymbolCommand):
    """An operator opens, restricts or halts a symbol."""

    status: SymbolStatus


@dataclass(frozen=True, slots=True, kw_only=True)
class ListInstrument(SymbolCommand):
    """An operator lists a new instrument on the partition it names."""

    instrument: Instrument


Command = (
    PlaceOrder
    | CancelOrder
    | AmendOrder
    | CancelAllOrders
    | SetCancelTimer
    | DepositFunds
    | WithdrawFunds
    | SetSymbolStatus
    | ListInstrument
)


def unseen_at_ms(command: Command) -> int:
    """When the command was surely in no slot: it was new then, or its sender had looked."""
    return command.as_of_ms or command.entered_at_ms


COMMAND_CLASSES: Final[dict[str, type]] = {
    "place": PlaceOrder,
    "cancel": CancelOrder,
    "amend": AmendOrder,
    "cancel_all": CancelAllOrders,
    "cancel_timer": SetCancelTimer,
    "deposit": DepositFunds,
    "withdraw": WithdrawFunds,
    "status": SetSymbolStatus,
    "list": ListInstrument,
}
"""By the names under which they travel, and by which a refusal tells what was refused."""
COMMAND_NAMES: Final = {cls: name for name, cls in COMMAND_CLASSES.items()}
WITHOUT_INTENT: Final = (CancelOrder, CancelAllOrders, SetCancelTimer, SetSymbolStatus)
"""Promised once the queue has them, and sent again by nobody."""
OPERATORS_COMMANDS: Final = (DepositFunds, WithdrawFunds, SetSymbolStatus, ListInstrument)
