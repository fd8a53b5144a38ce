"""What became of commands, told from the events they led to: accepted, or refused and why.

Of every command but a PlaceOrder, whose outcome is its order. A command's events stand in one slot, whole. What was
due by itself, and what the breaker did, had no command.
"""

from dataclasses import dataclass, replace
from typing import Any, Final

from exchange_core.codec import Slot
from exchange_core.commands import CASH_DESK
from exchange_core.events import (
    CancelTimerSet,
    CommandRefused,
    Event,
    FundsDeposited,
    FundsWithdrawn,
    InstrumentListed,
    OrderAmended,
    OrderDone,
    SymbolStatusChanged,
)
from exchange_core.orders import Reason
from exchange_core.wire import to_plain

OUTCOME_KEPT_MS: Final = 24 * 3600 * 1000
"""Outcomes are dropped when the partition's journal is this much further; nobody waits for them any more."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CommandOutcome:
    """What became of one command. `user_id` is who sent it, `reason` is None for an accepted one.

    `command` is its name (commands.COMMAND_CLASSES); an accepted one of all orders reads `cancel`, as one of a single
    order does. `order_id` is 0 where it is about none or several, `order_count` how many orders it ended.
    """

    command_id: int
    user_id: str
    command: str
    symbol: str
    order_id: int
    order_count: int
    reason: Reason | None
    seq: int
    at_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class OperatorCommand:
    """One line of the operators' audit log. `detail` has what the command was about: plain values, integers in units,
    ticks and lots."""

    command_id: int
    operator_id: str
    command: str
    symbol: str
    detail: dict[str, Any]
    reason: Reason | None
    seq: int
    at_ms: int


def outcomes_of(slot: Slot) -> list[CommandOutcome]:
    """The outcomes that the slot's events tell, in the order in which they came about."""
    found: dict[int, CommandOutcome] = {}
    for event in slot.events:
        one = _outcome(event, slot.at_ms)
        if one is None or one.command_id <= 0 or not one.user_id:
            continue
        before = found.get(one.command_id)
        if before is not None:
            count = before.order_count + one.order_count
            one = replace(one, command=before.command, order_id=0, order_count=count)
        found[one.command_id] = one
    return list(found.values())


def operator_commands_of(slot: Slot) -> list[OperatorCommand]:
    """The operators' commands that the slot's events show, in their order."""
    lines = []
    for event in slot.events:
        match event:
            case FundsDeposited() | FundsWithdrawn():
                detail: dict[str, Any] = {name: getattr(event, name) for name in _TRANSFER_FIELDS}
            case InstrumentListed():
                detail = {"instrument": to_plain(event.instrument)}
            case SymbolStatusChanged():
                detail = {"status": event.status.value}
            case CommandRefused():
                detail = {"transfer_id": event.detail} if event.symbol == CASH_DESK else {}
            case _:
                continue
        outcome = _outcome(event, slot.at_ms)
        if event.operator_id and event.cause > 0 and outcome is not None:
            lines.append(
                OperatorCommand(
                    command_id=event.cause,
                    operator_id=event.operator_id,
                    command=outcome.command,
                    symbol=event.symbol,
                    detail=detail,
                    reason=outcome.reason,
                    seq=event.seq,
                    at_ms=slot.at_ms,
                )
            )
    return lines


_TRANSFER_FIELDS: Final = ("user_id", "asset", "amount", "transfer_id")
_COMMANDS: Final[dict[type, str]] = {
    OrderAmended: "amend",
    OrderDone: "cancel",
    CancelTimerSet: "cancel_timer",
    FundsDeposited: "deposit",
    FundsWithdrawn: "withdraw",
    InstrumentListed: "list",
    SymbolStatusChanged: "status",
}
_CANCELED: Final = (Reason.USER_CANCELED, Reason.CANCEL_TIMER)


def _outcome(event: Event, at_ms: int) -> CommandOutcome | None:
    """What one event says about the command that caused it, if it is one of those that tell an outcome."""
    order_id, order_count, reason = 0, 0, None
    match event:
        case OrderDone() if event.reason in _CANCELED:
            user_id, order_id, order_count = event.user_id, event.order_id, 1
        case OrderAmended():
            user_id, order_id = event.user_id, event.order_id
        case CancelTimerSet():
            user_id = event.user_id
        case FundsDeposited() | FundsWithdrawn() | InstrumentListed() | SymbolStatusChanged():
            user_id = event.operator_id
        case CommandRefused():
            user_id, order_id, reason = event.operator_id or event.user_id, event.order_id, event.reason
        case _:
            return None
    return CommandOutcome(
        command_id=event.cause,
        user_id=user_id,
        command=event.command if isinstance(event, CommandRefused) else _COMMANDS[type(event)],
        symbol=event.symbol,
        order_id=order_id,
        order_count=order_count,
        reason=reason,
        seq=event.seq,
        at_ms=at_ms,
    )
