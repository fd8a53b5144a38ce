"""Decimal text and integers: there and back without a loss, and never a silent rounding."""

from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exchange_core.money import (
    InexactAmountError,
    MalformedNumberError,
    fee_units,
    parse_decimal,
    steps_text,
    to_steps,
    to_units,
    units_text,
)

AMOUNTS = st.integers(min_value=-(10**18), max_value=10**18)
DECIMALS = st.integers(min_value=0, max_value=12)
STEPS = st.builds(
    lambda digits, exponent: Decimal(digits).scaleb(exponent),
    st.integers(min_value=1, max_value=999),
    st.integers(min_value=-12, max_value=6),
)


@given(AMOUNTS, DECIMALS)
def test_units_come_back_from_their_text(units: int, decimals: int) -> None:
    text = units_text(units, decimals)
    assert to_units(parse_decimal(text), decimals) == units
    assert "e" not in text.lower() and not (("." in text) and text.endswith(("0", ".")))


@given(AMOUNTS, STEPS)
def test_steps_come_back_from_their_text(steps: int, step: Decimal) -> None:
    text = steps_text(steps, step)
    assert Fraction(text) == steps * Fraction(step)
    assert to_steps(parse_decimal(text), step) == steps


@given(AMOUNTS, STEPS, st.fractions(min_value=0, max_value=1).filter(lambda part: part not in (0, 1)))
def test_what_is_no_whole_step_is_refused(steps: int, step: Decimal, part: Fraction) -> None:
    between = Decimal(steps) * step + step * part.numerator / part.denominator
    if (Fraction(between) / Fraction(step)).denominator != 1:
        with pytest.raises(InexactAmountError):
            to_steps(between, step)


@given(st.integers(min_value=0, max_value=10**18), st.integers(min_value=0, max_value=1_000))
def test_a_fee_is_rounded_up_and_never_more_than_what_is_received(received: int, bps: int) -> None:
    fee, exact = fee_units(received, bps), Fraction(received * bps, 10_000)
    assert exact <= fee < exact + 1 and 0 <= fee <= received


@given(st.text(max_size=70))
def test_text_is_a_number_or_refused(text: str) -> None:
    try:
        number = parse_decimal(text)
    except MalformedNumberError:
        return
    assert number.is_finite() and Fraction(number) == Fraction(text.strip())


@pytest.mark.parametrize(
    "value", [1.5, True, None, "", " 1", "1_000", "NaN", "Infinity", "1e99", "-", [], 10**41, "9" * 41]
)
def test_what_is_no_exact_number_is_refused(value: object) -> None:
    with pytest.raises(MalformedNumberError):
        parse_decimal(value)
