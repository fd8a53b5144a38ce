"""How dataclasses of plain fields become JSON values and come back, by declared type and by field name.

Names make versions live beside each other: a field the reader does not know is passed over, a field the writer did
not know takes its default. A field without a default that is missing, or a value of another type, is a DecodeError.
"""

import dataclasses
import types
import typing
from collections.abc import Callable
from decimal import Decimal
from enum import StrEnum
from functools import cache
from typing import Any

from exchange_core.instruments import Instrument, InvalidInstrumentError


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


def from_plain(cls: type, values: dict[str, Any]) -> Any:
    """Build a dataclass from its JSON object; raises DecodeError."""
    arguments = {}
    for field in message_fields(cls):
        if field.name in values:
            arguments[field.name] = field.convert(values[field.name])
        elif field.is_required:
            raise DecodeError(f"{cls.__name__} lacks {field.name}")
    try:
        return cls(**arguments)
    except InvalidInstrumentError as error:
        raise DecodeError(str(error)) from error


@dataclasses.dataclass(frozen=True, slots=True)
class MessageField:
    """One field of a message: its name, whether it must be there, whether it is a plain int, how to read it."""

    name: str
    is_required: bool
    is_integer: bool
    default: Any
    convert: Callable[[Any], Any]


@cache
def message_fields(cls: type) -> tuple[MessageField, ...]:
    """The fields of a message class with what is needed to read them; computed once a class."""
    hints = typing.get_type_hints(cls)
    return tuple(
        MessageField(
            name=field.name,
            is_required=field.default is dataclasses.MISSING,
            is_integer=hints[field.name] is int,
            default=None if field.default is dataclasses.MISSING else field.default,
            convert=_converter(hints[field.name]),
        )
        for field in dataclasses.fields(cls)
    )


def _converter(hint: Any) -> Callable[[Any], Any]:
    if isinstance(hint, types.UnionType):
        (inner,) = [part for part in typing.get_args(hint) if part is not types.NoneType]
        convert = _converter(inner)
        return lambda value: None if value is None else convert(value)
    if hint is Instrument:
        return _read_instrument
    if hint is Decimal:
        return _read_decimal
    if issubclass(hint, StrEnum):
        return _enum_reader(hint)
    return _exact_reader(hint)


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


def _enum_reader(hint: type[StrEnum]) -> Callable[[Any], StrEnum]:
    members = {member.value: member for member in hint}

    def read(value: Any) -> StrEnum:
        try:
            return members[value]
        except (KeyError, TypeError) as error:
            raise DecodeError(f"{value!r} is not a {hint.__name__}") from error

    return read


def _exact_reader(hint: type) -> Callable[[Any], Any]:
    def read(value: Any) -> Any:
        if type(value) is not hint:
            raise DecodeError(f"{value!r} is not of type {hint.__name__}")
        return value

    return read
