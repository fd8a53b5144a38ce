"""Reading the members of a request's body one by one, each refusal with its code and the name of the field."""

import re
from collections.abc import Iterable, Mapping
from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from typing import Any, Final, TypeVar

from exchange_core.money import InexactAmountError, MalformedNumberError, parse_decimal, to_steps
from exchange_gateway.problems import Code, ProblemError

CLIENT_ID_PATTERN: Final = re.compile(r"[A-Za-z0-9._:-]{1,64}")
TIME_MAX_MS: Final = 253_402_300_799_999
"""The end of the year 9999: the last time that has an ISO 8601 text."""
USER_ID_PATTERN: Final = re.compile(r"[A-Za-z0-9-]{1,64}")

Choice = TypeVar("Choice", bound=StrEnum)


class Fields:
    """The members of one body. A member that is null counts as absent; one that is not in `known` is refused."""

    def __init__(self, body: Mapping[str, Any], known: Iterable[str]) -> None:
        for name in body.keys() - frozenset(known):
            raise ProblemError(Code.UNKNOWN_FIELD, f"unknown field {name[:64]!r}", field=name[:64])
        self._body = body

    def has(self, name: str) -> bool:
        """Whether the member is there."""
        return self._body.get(name) is not None

    def value(self, name: str) -> Any:
        """The member as parsed; raises `missing_field` without it."""
        value = self._body.get(name)
        if value is None:
            raise ProblemError(Code.MISSING_FIELD, f"{name} is missing", field=name)
        return value

    def text(self, name: str, *, pattern: re.Pattern[str] | None = None, longest: int = 256) -> str:
        """Text of 1 to `longest` characters that matches `pattern` in full."""
        value = self.value(name)
        if not isinstance(value, str) or not 0 < len(value) <= longest:
            raise invalid(name, f"{name} must be text of 1 to {longest} characters")
        if pattern is not None and pattern.fullmatch(value) is None:
            raise invalid(name, f"{name} must match {pattern.pattern}")
        return value

    def optional_text(self, name: str, *, pattern: re.Pattern[str] | None = None, longest: int = 256) -> str | None:
        """The same, or None when absent."""
        return self.text(name, pattern=pattern, longest=longest) if self.has(name) else None

    def decimal(self, name: str) -> Decimal:
        """An exact number, written as a JSON number or as text."""
        try:
            return parse_decimal(self.value(name))
        except MalformedNumberError as error:
            raise invalid(name, f"{name} must be a finite decimal number of a sensible size") from error

    def optional_decimal(self, name: str) -> Decimal | None:
        """The same, or None when absent."""
        return self.decimal(name) if self.has(name) else None

    def integer(self, name: str, default: int | None = None) -> int:
        """A whole number, written as a JSON integer."""
        if default is not None and not self.has(name):
            return default
        value = self.value(name)
        if isinstance(value, bool) or not isinstance(value, int) or abs(value) >= 1 << 63:
            raise invalid(name, f"{name} must be a whole number")
        return value

    def flag(self, name: str) -> bool:
        """true or false; false when absent."""
        value = self._body.get(name)
        if value is not None and not isinstance(value, bool):
            raise invalid(name, f"{name} must be true or false")
        return bool(value)

    def choice(
        self, name: str, choices: type[Choice], code: Code = Code.INVALID_VALUE, default: Choice | None = None
    ) -> Choice:
        """One of the values of an enumeration; any other is refused with `code`."""
        if default is not None and not self.has(name):
            return default
        value = self.value(name)
        if isinstance(value, str) and value in choices.__members__.values():
            return choices(value)
        listed = ", ".join(choices)
        raise ProblemError(code, f"{name} must be one of {listed}", field=name)


def whole_steps(name: str, number: Decimal, step: Decimal, code: Code) -> int:
    """How many steps make the number; refused with `code` when it lies between two."""
    try:
        return to_steps(number, step)
    except InexactAmountError as error:
        raise ProblemError(code, f"{name} {number:f} is not a multiple of {step:f}", field=name) from error


def invalid(name: str, detail: str) -> ProblemError:
    """The refusal of a field's type or form."""
    return ProblemError(Code.INVALID_VALUE, detail, field=name)


def time_ms(name: str, text: str) -> int:
    """A time in ISO 8601 with its offset from UTC, in milliseconds of the epoch; raises ProblemError."""
    try:
        moment = datetime.fromisoformat(text)
        is_placed = moment.utcoffset() is not None
        found = int(moment.replace(microsecond=0).timestamp()) * 1000 + moment.microsecond // 1000 if is_placed else -1
    except (ValueError, OverflowError) as error:
        raise invalid(name, f"{name} must be a time in ISO 8601 or in milliseconds") from error
    if not is_placed:
        raise invalid(name, f"{name} must say its offset from UTC, as in 2026-02-17T10:00:00Z")
    return writable_time_ms(name, found)


def writable_time_ms(name: str, found: int) -> int:
    """The same time; raises ProblemError for one that cannot be written in ISO 8601."""
    if not 0 <= found <= TIME_MAX_MS:
        raise invalid(name, f"{name} is not a time that can be written")
    return found
