"""The bytes of commands (in SQS) and of journal slots (in DynamoDB, Kinesis and S3).

A command message is JSON text: `{"v": 1, "commands": [[type, {field: value}], …]}`.

A slot is zstd over JSON in columns: the events' types in order, then per type one array a field, integers as
differences to the value above. Events of a batch look alike, so columns pack to a third of what rows take; names in
place of positions let a reader of another version find its way (see `wire`).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Any, Final

import orjson
import zstandard

from exchange_core import commands, events
from exchange_core.commands import Command
from exchange_core.events import Event
from exchange_core.wire import DecodeError, from_plain, message_fields, to_plain

COMMANDS_VERSION: Final = 1
SLOT_VERSION: Final = 1
MAX_SLOT_BYTES: Final = 300_000
"""A slot must fit a DynamoDB item (400 KB) with room to spare."""
_MAX_INFLATED_BYTES: Final = 32 * 1024 * 1024

_COMMAND_TYPES: Final[dict[str, type]] = {
    "place": commands.PlaceOrder,
    "cancel": commands.CancelOrder,
    "amend": commands.AmendOrder,
    "cancel_all": commands.CancelAllOrders,
    "cancel_timer": commands.SetCancelTimer,
    "deposit": commands.DepositFunds,
    "withdraw": commands.WithdrawFunds,
    "status": commands.SetSymbolStatus,
    "list": commands.ListInstrument,
}
_COMMAND_NAMES: Final = {cls: name for name, cls in _COMMAND_TYPES.items()}

_EVENT_TYPES: Final[dict[str, type]] = {
    "A": events.OrderAccepted,
    "R": events.OrderRejected,
    "T": events.TradeExecuted,
    "D": events.OrderDone,
    "M": events.OrderAmended,
    "S": events.OrderDecremented,
    "G": events.OrderTriggered,
    "C": events.CommandRefused,
    "I": events.FundsDeposited,
    "O": events.FundsWithdrawn,
    "L": events.InstrumentListed,
    "H": events.SymbolStatusChanged,
    "K": events.CancelTimerSet,
}
_EVENT_LETTERS: Final = {cls: letter for letter, cls in _EVENT_TYPES.items()}


@dataclass(frozen=True, slots=True, kw_only=True)
class Slot:
    """One immutable batch of events: number `n` of its partition, from 1, without gaps.

    `at_ms` never goes back within a partition. `fed_through` is the last slot that was in the stream when this one
    was written: recovery feeds again from there. `writer` names the matcher process, so that it can tell its own
    slot from another's after an ambiguous write.
    """

    partition: int
    n: int
    at_ms: int
    fed_through: int
    writer: str
    events: tuple[Event, ...]


def encode_commands(batch: Sequence[Command]) -> str:
    """The text of one SQS message."""
    rows = [[_COMMAND_NAMES[type(command)], encode_command(command)] for command in batch]
    return orjson.dumps({"v": COMMANDS_VERSION, "commands": rows}).decode()


def encode_command(command: Command) -> dict[str, Any]:
    """The JSON object of one command; fields at their defaults are left out."""
    plain = {}
    kind: type = type(command)
    for field in message_fields(kind):
        value = getattr(command, field.name)
        if field.is_required or value != field.default:
            plain[field.name] = to_plain(value)
    return plain


def decode_commands(text: str) -> list[Command]:
    """The commands of one SQS message; raises DecodeError if any of it is not understood."""
    message = _load(text.encode())
    if message.get("v") != COMMANDS_VERSION or not isinstance(message.get("commands"), list):
        raise DecodeError("not a command message of a known version")
    return [_decode_command(row) for row in message["commands"]]


def _decode_command(row: Any) -> Command:
    match row:
        case [str(name), dict(values)] if name in _COMMAND_TYPES:
            command: Command = from_plain(_COMMAND_TYPES[name], values)
            return command
    raise DecodeError("not a command")


def encode_slot(slot: Slot) -> bytes:
    """The bytes of a slot; the caller keeps batches small enough for MAX_SLOT_BYTES."""
    columns: dict[str, dict[str, list[Any]]] = {}
    letters = [_EVENT_LETTERS[type(event)] for event in slot.events]
    for letter in sorted(set(letters)):
        of_type = [event for event, kind in zip(slot.events, letters, strict=True) if kind == letter]
        columns[letter] = _to_columns(_EVENT_TYPES[letter], of_type)
    message = {
        "v": SLOT_VERSION,
        "p": slot.partition,
        "n": slot.n,
        "at": slot.at_ms,
        "fed": slot.fed_through,
        "w": slot.writer,
        "e": "".join(letters),
        "c": columns,
    }
    return zstandard.ZstdCompressor(level=3).compress(orjson.dumps(message))


def decode_slot(data: bytes) -> Slot:
    """The slot in the bytes; raises DecodeError if they are not one."""
    try:
        inflated = zstandard.ZstdDecompressor().decompress(data, max_output_size=_MAX_INFLATED_BYTES)
    except zstandard.ZstdError as error:
        raise DecodeError("not a compressed slot") from error
    message = _load(inflated)
    if message.get("v") != SLOT_VERSION:
        raise DecodeError(f"slot version {message.get('v')!r} is not known")
    try:
        queues = {letter: iter(_from_columns(_EVENT_TYPES[letter], columns)) for letter, columns in message["c"].items()}
        return Slot(
            partition=message["p"],
            n=message["n"],
            at_ms=message["at"],
            fed_through=message["fed"],
            writer=message["w"],
            events=tuple(next(queues[letter]) for letter in message["e"]),
        )
    except (KeyError, TypeError, StopIteration, RuntimeError) as error:
        raise DecodeError("a slot with missing parts") from error


def _to_columns(cls: type, rows: Sequence[Any]) -> dict[str, list[Any]]:
    columns: dict[str, list[Any]] = {}
    for field in message_fields(cls):
        values = [getattr(row, field.name) for row in rows]
        if not field.is_required and all(value == field.default for value in values):
            continue
        if field.is_integer:
            columns[field.name] = [value - above for value, above in zip(values, [0, *values], strict=False)]
        else:
            columns[field.name] = [to_plain(value) for value in values]
    return columns


def _from_columns(cls: type, columns: dict[str, list[Any]]) -> list[Any]:
    integers = {field.name for field in message_fields(cls) if field.is_integer}
    full = {name: list(accumulate(values)) if name in integers else values for name, values in columns.items()}
    names = list(full)
    return [from_plain(cls, dict(zip(names, row, strict=True))) for row in zip(*full.values(), strict=True)]


def _load(data: bytes) -> dict[str, Any]:
    try:
        message = orjson.loads(data)
    except orjson.JSONDecodeError as error:
        raise DecodeError("not JSON") from error
    if not isinstance(message, dict):
        raise DecodeError("not a JSON object")
    return message
