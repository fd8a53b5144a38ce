"""Numbers and times in requests: what a schema cannot say of them, each refusal with its code and the field's name."""

import re
from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal
from typing import Any, Final

from exchange_core.money import InexactAmountError, MalformedNumberError, parse_decimal, to_steps
from exchange_gateway.problems import Code, ProblemError

CLIENT_ID_PATTERN: Final = re.compile(r"[A-Za-z0-9._:-]{1,64}")
TIME_MAX_MS: Final = 253_402_300_799_999
"""The end of the year 9999: the last time that has an ISO 8601 text."""


def decimal(body: Mapping[str, Any], name: str) -> Decimal:
    """A member that the contract calls a Decimal; raises ProblemError if it has too many digits."""
    try:
        return parse_decimal(body[name])
    except MalformedNumberError as error:
        raise invalid(name, f"{name} must be a finite decimal number of a sensible size") from error


def optional_decimal(body: Mapping[str, Any], name: str) -> Decimal | None:
    """The same, or None when absent."""
    return decimal(body, name) if name in body else None


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
