"""The bytes of commands (in SQS) and of journal slots (in DynamoDB, Kinesis and S3).

A command message is JSON text: `{"v": 1, "commands": [[type, {field: value}], …]}`.

A slot is zstd over JSON in columns: the events' types in order, then per type one column a field. Events of a batch
look alike, so columns pack to a third of what rows take; names in place of positions let a reader of another version
find its way (see `wire`). A column is a list of values, or shorter: `{"=": value}` for one that is the same in all
rows, `{"+": differences}` for integers that grow, `{"d": distinct values, "i": indices}` for a few that repeat.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import accumulate, repeat
from operator import attrgetter, sub
from typing import Any, Final

import orjson
import zstandard

from exchange_core import events
from exchange_core.commands import COMMAND_CLASSES, COMMAND_NAMES, Command
from exchange_core.events import Event
from exchange_core.wire import DecodeError, MessageField, from_plain, message_fields, message_maker, to_plain

COMMANDS_VERSION: Final = 1
SLOT_VERSION: Final = 1
MAX_SLOT_BYTES: Final = 300_000
"""A slot must fit a DynamoDB item (400 KB) with room to spare."""
_MAX_INFLATED_BYTES: Final = 32 * 1024 * 1024
_COMPRESSION_LEVEL: Final = 6
"""Some 0.1 ms for a slot of 100 commands; higher ones take ten times as long for one byte an order less."""
_MAX_GROWING: Final = 2**62
"""The difference of two integers up to this one still fits the 64 bits that JSON is written with."""

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
    rows = [[COMMAND_NAMES[type(command)], encode_command(command)] for command in batch]
    return orjson.dumps({"v": COMMANDS_VERSION, "commands": rows}).decode()


def encode_command(command: Command) -> dict[str, Any]:
    """The JSON object of one command; fields at their defaults are left out."""
    plain = {}
    kind: type = type(command)
    for field in message_fields(kind):
        value = getattr(command, field.name)
        if field.is_required or value != field.default:
            plain[field.name] = value if field.is_plain else to_plain(value)
    return plain


def decode_commands(text: str) -> list[Command]:
    """The commands of one SQS message; raises DecodeError if any of it is not understood."""
    message = _load(text.encode())
    if message.get("v") != COMMANDS_VERSION or not isinstance(message.get("commands"), list):
        raise DecodeError("not a command message of a known version")
    return [_decode_command(row) for row in message["commands"]]


def _decode_command(row: Any) -> Command:
    match row:
        case [str(name), dict(values)] if name in COMMAND_CLASSES:
            command: Command = from_plain(COMMAND_CLASSES[name], values)
            return command
    raise DecodeError("not a command")


def encode_slot(slot: Slot) -> bytes:
    """The bytes of a slot; the caller keeps batches small enough for MAX_SLOT_BYTES."""
    rows: dict[str, list[Event]] = {}
    letters = [_EVENT_LETTERS[type(event)] for event in slot.events]
    for letter, event in zip(letters, slot.events, strict=True):
        rows.setdefault(letter, []).append(event)
    message = {
        "v": SLOT_VERSION,
        "p": slot.partition,
        "n": slot.n,
        "at": slot.at_ms,
        "fed": slot.fed_through,
        "w": slot.writer,
        "e": "".join(letters),
        "c": {letter: _to_columns(_EVENT_TYPES[letter], rows[letter]) for letter in sorted(rows)},
    }
    return zstandard.ZstdCompressor(level=_COMPRESSION_LEVEL).compress(orjson.dumps(message))


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
        letters, columns = message["e"], message["c"]
        rows = {
            letter: iter(_from_columns(_EVENT_TYPES[letter], columns[letter], letters.count(letter)))
            for letter in columns
        }
        return Slot(
            partition=message["p"],
            n=message["n"],
            at_ms=message["at"],
            fed_through=message["fed"],
            writer=message["w"],
            events=tuple([next(rows[letter]) for letter in letters]),
        )
    except DecodeError:
        raise
    except (AttributeError, IndexError, KeyError, TypeError, ValueError, StopIteration) as error:
        raise DecodeError("a slot with missing or foreign parts") from error


def _to_columns(cls: type, rows: Sequence[Any]) -> dict[str, Any]:
    columns: dict[str, Any] = {}
    for field in message_fields(cls):
        values = [*map(attrgetter(field.name), rows)]
        first = values[0]
        is_constant = values.count(first) == len(values)
        if is_constant and not field.is_required and first == field.default:
            continue
        if not field.is_plain:
            columns[field.name] = [to_plain(value) for value in values]
        elif is_constant:
            columns[field.name] = {"=": first}
        else:
            columns[field.name] = _to_column(values)
    return columns


def _to_column(values: list[Any]) -> Any:
    kinds = set(map(type, values))
    if kinds == {int}:
        if -_MAX_GROWING <= min(values) and max(values) <= _MAX_GROWING:
            differences = [*map(sub, values, [0, *values])]
            if len(orjson.dumps(differences)) < len(orjson.dumps(values)):
                return {"+": differences}
        return values
    distinct = dict.fromkeys(values)
    if 2 * len(distinct) > len(values):
        return values
    places = {value: place for place, value in enumerate(distinct)}
    return {"d": [*distinct], "i": [*map(places.__getitem__, values)]}


def _from_columns(cls: type, columns: dict[str, Any], count: int) -> list[Any]:
    values: list[Iterable[Any]] = []
    for field in message_fields(cls):
        column = columns.get(field.name)
        if column is not None:
            values.append(_from_column(field, column, count))
        elif field.is_required:
            raise DecodeError(f"{cls.__name__} lacks {field.name}")
        else:
            values.append(repeat(field.default, count))
    return [*map(message_maker(cls), *values)]


def _from_column(field: MessageField, column: Any, count: int) -> Iterable[Any]:
    match column:
        case list():
            values = field.convert_all(column)
        case {"=": value}:
            return repeat(field.convert_all([value])[0], count)
        case {"+": differences}:
            values = field.convert_all([*accumulate(differences)])
        case {"d": distinct, "i": places}:
            values = [*map(field.convert_all(distinct).__getitem__, places)]
        case _:
            raise DecodeError("a column of no known form")
    if len(values) != count:
        raise DecodeError("columns of different lengths")
    return values


def _load(data: bytes) -> dict[str, Any]:
    try:
        message = orjson.loads(data)
    except orjson.JSONDecodeError as error:
        raise DecodeError("not JSON") from error
    if not isinstance(message, dict):
        raise DecodeError("not a JSON object")
    return message
