"""The checks of what became of commands, and of the operators' audit log: each line is what the journal says."""

from collections.abc import Iterator
from typing import Final

from crossbook.audit.checks import CheckResult, Judgement, compare
from crossbook.audit.evidence import OPERATOR_COMMAND_COLUMNS, OUTCOME_COLUMNS, Row
from exchange_core.codec import Slot
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

_KEPT_MS: Final = 86_400_000
_CANCELED: Final = ("user_canceled", "cancel_timer")


def check_outcomes(judgement: Judgement) -> CheckResult:
    """One line a command but orders; those of more than a day before the partition's last slot may be gone."""
    database = judgement.evidence.database
    stored = {row[0]: row for row in database.outcomes}
    expected: dict[int, Row] = {}
    for slot in _slots(judgement):
        oldest_ms = judgement.slots[slot.partition][-1].at_ms - _KEPT_MS
        for event in slot.events:
            user_id = _sender(event)
            if user_id and event.cause > 0 and (slot.at_ms >= oldest_ms or event.cause in stored):
                reason = str(event.reason) if isinstance(event, CommandRefused) else None
                expected.setdefault(event.cause, (event.cause, user_id, reason, slot.partition, slot.n))
    return _compared("database: outcomes of commands", expected, stored, OUTCOME_COLUMNS)


def check_operator_commands(judgement: Judgement) -> CheckResult:
    """One line a command of an operator."""
    stored = {row[0]: row for row in judgement.evidence.database.operator_commands}
    expected: dict[int, Row] = {}
    for slot in _slots(judgement):
        for event in slot.events:
            operator_id = getattr(event, "operator_id", "")
            if operator_id and event.cause > 0:
                reason = str(event.reason) if isinstance(event, CommandRefused) else None
                expected.setdefault(event.cause, (event.cause, operator_id, reason, slot.partition, slot.n))
    return _compared("database: operators' commands", expected, stored, OPERATOR_COMMAND_COLUMNS)


def _compared(name: str, expected: dict[int, Row], stored: dict[int, Row], columns: tuple[str, ...]) -> CheckResult:
    differences = compare(
        expected,
        stored,
        place=lambda command_id: f"command {command_id}",
        where=lambda command_id: expected[command_id][3:5] if command_id in expected else None,
        columns=columns,
    )
    return CheckResult(name=name, scope=f"{len(stored):,} rows", differences=tuple(differences))


def _slots(judgement: Judgement) -> Iterator[Slot]:
    """Those that are settled, by a version that kept outcomes."""
    database = judgement.evidence.database
    for partition, slots in judgement.slots.items():
        first = database.outcomes_after.get(partition, 0) + 1
        last = database.positions.get(partition, 0)
        yield from (slot for slot in slots if first <= slot.n <= last)


def _sender(event: Event) -> str:
    """Who sent the command, where the event tells its outcome; else nobody."""
    match event:
        case FundsDeposited() | FundsWithdrawn() | InstrumentListed() | SymbolStatusChanged():
            return event.operator_id
        case CommandRefused():
            return event.operator_id or event.user_id
        case OrderAmended() | CancelTimerSet():
            return event.user_id
        case OrderDone() if event.reason in _CANCELED:
            return event.user_id
    return ""
