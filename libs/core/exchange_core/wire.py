"""How dataclasses of plain fields become JSON values and come back, by declared type and by field name.

Names make versions live beside each other: a field the reader does not know is passed over, a field the writer did
not know takes its default. A field without a default that is missing, or a value of another type, is a DecodeError.
"""

import dataclasses
import types
import typing
from collections.abc import Callable, Sequence
from decimal import Decimal
from enum import StrEnum
from functools import cache
from typing import Any, Final

from exchange_core.construct import positional
from exchange_core.instruments import Instrument, InvalidInstrumentError

MAX_INTEGER: Final = 2**63 - 1
"""No integer of a command is further from zero, so that what events make of it still fits the journal."""
_ABSENT: Final = object()


class DecodeError(ValueError):
    """Bytes or values that are not a message of any version we know."""


def to_plain(value: Any) -> Any:
    """The JSON value of one field: enums by value, decimals as text, nested dataclasses as objects."""
    if isinstance(value, StrEnum):
        return value.value
    if isinstance(value, Decimal):
        return format(value, "f")
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: to_plain(getattr(value, field.name)) for field in dataclasses.fields(value)}
    return value


def from_plain(cls: type, values: dict[str, Any], *, is_ours: bool = False) -> Any:
    """Build a dataclass from its JSON object; raises DecodeError. What `is_ours`, an event that we wrote, may hold
    larger integers than a message that came in."""
    arguments = []
    for field in message_fields(cls):
        value = values.get(field.name, _ABSENT)
        if value is not _ABSENT:
            arguments.append(field.convert_all([value])[0] if is_ours else field.convert(value))
        elif field.is_required:
            raise DecodeError(f"{cls.__name__} lacks {field.name}")
        else:
            arguments.append(field.default)
    return message_maker(cls)(*arguments)


@dataclasses.dataclass(frozen=True, slots=True)
class MessageField:
    """One field of a message: its name, whether it must be there, whether JSON can write it as it is, how to read one
    value of it, and how to read many (of a journal that was written by us: without a check of integers' range)."""

    name: str
    is_required: bool
    is_plain: bool
    default: Any
    convert: Callable[[Any], Any]
    convert_all: Callable[[Sequence[Any]], Sequence[Any]]


@cache
def message_fields(cls: type) -> tuple[MessageField, ...]:
    """The fields of a message class with what is needed to read them; computed once a class."""
    hints = typing.get_type_hints(cls)
    described = []
    for field in dataclasses.fields(cls):
        is_optional, hint = _without_none(hints[field.name])
        convert, convert_all = _converters(hint, is_optional)
        described.append(
            MessageField(
                name=field.name,
                is_required=field.default is dataclasses.MISSING,
                is_plain=hint is not Instrument and hint is not Decimal,
                default=None if field.default is dataclasses.MISSING else field.default,
                convert=convert,
                convert_all=convert_all,
            )
        )
    return tuple(described)


@cache
def message_maker(cls: type) -> Callable[..., Any]:
    """Makes a message from the values of all its fields in order; raises DecodeError for what the class refuses."""
    if not hasattr(cls, "__post_init__"):
        return positional(cls)
    names = [field.name for field in dataclasses.fields(cls)]

    def make(*values: Any) -> Any:
        try:
            return cls(**dict(zip(names, values, strict=True)))
        except InvalidInstrumentError as error:
            raise DecodeError(str(error)) from error

    return make


def _without_none(hint: Any) -> tuple[bool, Any]:
    if not isinstance(hint, types.UnionType):
        return False, hint
    (inner,) = [part for part in typing.get_args(hint) if part is not types.NoneType]
    return True, inner


def _converters(hint: Any, is_optional: bool) -> tuple[Callable[[Any], Any], Callable[[Sequence[Any]], Sequence[Any]]]:
    """How to read one value, and how to read many: for most types without a Python step for each."""
    if hint is Instrument or hint is Decimal:
        read = _read_instrument if hint is Instrument else _read_decimal
        convert = _or_none(read) if is_optional else read
        return convert, lambda values: [convert(value) for value in values]
    if issubclass(hint, StrEnum):
        return _enum_readers(hint, is_optional)
    return _exact_readers(hint, is_optional)


def _or_none(read: Callable[[Any], Any]) -> Callable[[Any], Any]:
    return lambda value: None if value is None else read(value)


def _read_instrument(value: Any) -> Instrument:
    if not isinstance(value, dict):
        raise DecodeError("an instrument is an object")
    instrument = from_plain(Instrument, value)
    assert isinstance(instrument, Instrument)
    return instrument


def _read_decimal(value: Any) -> Decimal:
    if not isinstance(value, str):
        raise DecodeError("a decimal is written as text")
    try:
        return Decimal(value)
    except ArithmeticError as error:
        raise DecodeError(f"not a decimal: {value!r}") from error


def _enum_readers(
    hint: type[StrEnum], is_optional: bool
) -> tuple[Callable[[Any], Any], Callable[[Sequence[Any]], Sequence[Any]]]:
    members: dict[Any, Any] = {member.value: member for member in hint}
    if is_optional:
        members[None] = None

    def read(value: Any) -> Any:
        try:
            return members[value]
        except (KeyError, TypeError) as error:
            raise DecodeError(f"{value!r} is not a {hint.__name__}") from error

    def read_all(values: Sequence[Any]) -> Sequence[Any]:
        try:
            return list(map(members.__getitem__, values))
        except (KeyError, TypeError) as error:
            raise DecodeError(f"not a {hint.__name__}") from error

    return read, read_all


def _exact_readers(
    hint: type, is_optional: bool
) -> tuple[Callable[[Any], Any], Callable[[Sequence[Any]], Sequence[Any]]]:
    allowed = {hint, types.NoneType} if is_optional else {hint}

    def read(value: Any) -> Any:
        if type(value) not in allowed:
            raise DecodeError(f"{value!r} is not of type {hint.__name__}")
        if type(value) is int and not -MAX_INTEGER <= value <= MAX_INTEGER:
            raise DecodeError("an integer is out of range")
        return value

    def read_all(values: Sequence[Any]) -> Sequence[Any]:
        if not allowed.issuperset(map(type, values)):
            raise DecodeError(f"not all of type {hint.__name__}")
        return values

    return read, read_all
