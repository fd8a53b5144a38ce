"""The tables `command_outcomes` and `operator_commands`: written with the slots that tell them, read by the gateway."""

from collections.abc import Sequence
from typing import Any, Final

import orjson

from exchange_adapters.projection_rows import stored_text
from exchange_core.codec import Slot
from exchange_core.orders import Reason
from exchange_core.outcomes import (
    OUTCOME_KEPT_MS,
    CommandOutcome,
    OperatorCommand,
    operator_commands_of,
    outcomes_of,
)

_FORGOTTEN_LEAST: Final = 1_000
"""Each run that adds outcomes deletes up to this many that are too old, or twice as many as it adds: so it keeps up,
and no single transaction has to delete a day of them."""
_OUTCOME: Final = "command_id, user_id, command, symbol, order_id, order_count, reason, seq, at_ms"
_WRITE_OUTCOMES: Final = f"""
    INSERT INTO command_outcomes (partition, slot, {_OUTCOME})
    SELECT $1::integer, * FROM unnest($2::bigint[], $3::bigint[], $4::text[], $5::text[], $6::text[], $7::bigint[],
        $8::integer[], $9::text[], $10::bigint[], $11::bigint[])
    ON CONFLICT (command_id) DO NOTHING
"""  # noqa: S608 - made of constants
_FORGET: Final = """
    DELETE FROM command_outcomes WHERE ctid = ANY (ARRAY(
        SELECT ctid FROM command_outcomes WHERE partition = $1 AND at_ms < $2 ORDER BY at_ms LIMIT $3
    ))
"""
_READ_OUTCOMES: Final = f"SELECT {_OUTCOME} FROM command_outcomes WHERE command_id = ANY ($1::bigint[])"  # noqa: S608
_WRITE_OPERATOR_COMMAND: Final = """
    INSERT INTO operator_commands
        (partition, slot, command_id, operator_id, command, symbol, detail, reason, seq, at_ms)
    VALUES ($1, $2, $3, $4, $5, $6, $7::text::jsonb, $8, $9, $10)
    ON CONFLICT (command_id) DO NOTHING
"""
_READ_OPERATOR_COMMANDS: Final = """
    SELECT command_id, operator_id, command, symbol, detail::text AS detail, reason, seq, at_ms FROM operator_commands
    WHERE ($1::text IS NULL OR operator_id = $1) AND ($2::bigint IS NULL OR (at_ms, command_id) < ($2, $3))
    ORDER BY at_ms DESC, command_id DESC LIMIT $4
"""


async def write_outcomes(connection: Any, slots: Sequence[Slot]) -> None:
    """Add what the slots of one partition tell, and drop what is too old."""
    partition, at_ms = slots[-1].partition, slots[-1].at_ms
    rows = [_outcome_row(slot.n, outcome) for slot in slots for outcome in outcomes_of(slot)]
    if rows:
        await connection.execute(_WRITE_OUTCOMES, partition, *zip(*rows, strict=True))
        count = max(_FORGOTTEN_LEAST, 2 * len(rows))
        await connection.execute(_FORGET, partition, at_ms - OUTCOME_KEPT_MS, count)
    commands = [(slot.n, command) for slot in slots for command in operator_commands_of(slot)]
    if commands:
        lines = [_operator_row(partition, n, command) for n, command in commands]
        await connection.executemany(_WRITE_OPERATOR_COMMAND, lines)


async def read_outcomes(connection: Any, command_ids: Sequence[int]) -> list[CommandOutcome]:
    """As DatabaseReader.outcomes."""
    return [
        CommandOutcome(
            command_id=row["command_id"],
            user_id=row["user_id"],
            command=row["command"],
            symbol=row["symbol"],
            order_id=row["order_id"],
            order_count=row["order_count"],
            reason=_reason(row["reason"]),
            seq=row["seq"],
            at_ms=row["at_ms"],
        )
        for row in await connection.fetch(_READ_OUTCOMES, command_ids)
    ]


async def read_operator_commands(
    connection: Any, operator_id: str | None, before: tuple[int, int] | None, limit: int
) -> list[OperatorCommand]:
    """As DatabaseReader.operator_commands."""
    at_ms, command_id = before or (None, None)
    return [
        OperatorCommand(
            command_id=row["command_id"],
            operator_id=row["operator_id"],
            command=row["command"],
            symbol=row["symbol"],
            detail=orjson.loads(row["detail"]),
            reason=_reason(row["reason"]),
            seq=row["seq"],
            at_ms=row["at_ms"],
        )
        for row in await connection.fetch(_READ_OPERATOR_COMMANDS, operator_id, at_ms, command_id, limit)
    ]


def _outcome_row(n: int, outcome: CommandOutcome) -> tuple[Any, ...]:
    return (
        n,
        outcome.command_id,
        stored_text(outcome.user_id),
        outcome.command,
        stored_text(outcome.symbol),
        outcome.order_id,
        outcome.order_count,
        outcome.reason,
        outcome.seq,
        outcome.at_ms,
    )


def _operator_row(partition: int, n: int, command: OperatorCommand) -> tuple[Any, ...]:
    return (
        partition,
        n,
        command.command_id,
        stored_text(command.operator_id),
        command.command,
        stored_text(command.symbol),
        orjson.dumps(command.detail).decode().replace("\\u0000", "\\ufffd"),
        command.reason,
        command.seq,
        command.at_ms,
    )


def _reason(text: str | None) -> Reason | None:
    return None if text is None else Reason(text)
