"""Exact conversion between decimal text at the edge and the integers used everywhere else.

Prices are integers of ticks, quantities integers of lots, amounts integers of an asset's smallest unit.
Source of the rule: DESIGN.md section 3.1 ("Integers").
"""

from decimal import Decimal, InvalidOperation

MAX_AMOUNT_UNITS = 10**18
"""No single amount in a message is larger, so that every integer of a message fits 63 bits."""

_PRECISE_DIGITS = 40


class InexactAmountError(ValueError):
    """A number that is not a whole multiple of the step it must be counted in."""


class MalformedNumberError(ValueError):
    """Text that is not a finite decimal number of a sensible size."""


def parse_decimal(value: object) -> Decimal:
    """Read an exact, finite decimal from text, an int or a Decimal.

    Floats are refused: whoever parses JSON must hand over the digits as they were written.
    Raises MalformedNumberError for anything else, and for numbers of more than 40 digits.
    """
    if isinstance(value, bool) or not isinstance(value, str | int | Decimal):
        raise MalformedNumberError(f"not a number: {value!r}")
    if isinstance(value, str) and (len(value) > 64 or not value or value != value.strip() or "_" in value):
        raise MalformedNumberError("not a decimal number")
    if isinstance(value, int) and abs(value) >= 10**_PRECISE_DIGITS:
        raise MalformedNumberError("too many digits")
    try:
        number = Decimal(value)
    except InvalidOperation as error:
        raise MalformedNumberError(f"not a decimal number: {value!r}") from error
    if not number.is_finite():
        raise MalformedNumberError("not a finite number")
    if number and not -_PRECISE_DIGITS < number.adjusted() < _PRECISE_DIGITS:
        raise MalformedNumberError("out of range")
    if len(number.as_tuple().digits) > _PRECISE_DIGITS:
        raise MalformedNumberError("too many digits")
    return number


def to_steps(number: Decimal, step: Decimal) -> int:
    """How many whole `step`s make `number`; raises InexactAmountError if it is not a whole count."""
    numerator, denominator = number.as_integer_ratio()
    step_numerator, step_denominator = step.as_integer_ratio()
    count, rest = divmod(numerator * step_denominator, denominator * step_numerator)
    if rest:
        raise InexactAmountError(f"{number} is not a multiple of {step}")
    return count


def to_units(number: Decimal, decimals: int) -> int:
    """An amount in an asset's smallest unit (10**-decimals); raises InexactAmountError if finer than that."""
    return to_steps(number, Decimal(1).scaleb(-decimals))


def units_text(units: int, decimals: int) -> str:
    """The exact decimal text of an amount, without an exponent and without trailing zeros: (150000, 4) → '15'."""
    if decimals == 0:
        return str(units)
    sign = "-" if units < 0 else ""
    digits = str(abs(units)).rjust(decimals + 1, "0")
    whole, fraction = digits[:-decimals], digits[-decimals:].rstrip("0")
    return f"{sign}{whole}.{fraction}" if fraction else f"{sign}{whole}"


def steps_text(steps: int, step: Decimal) -> str:
    """The exact decimal text of `steps` × `step`: (5000000, Decimal('0.01')) → '50000'."""
    _, digits, exponent = step.as_tuple()
    assert isinstance(exponent, int), "an instrument's step is finite"
    scaled = steps * int("".join(map(str, digits)))
    return str(scaled * 10**exponent) if exponent >= 0 else units_text(scaled, -exponent)


def fee_units(received_units: int, fee_bps: int) -> int:
    """The fee on what a side receives, in basis points, rounded up to the asset's smallest unit."""
    return -(-received_units * fee_bps // 10_000)
