"""Numbers keep their digits, in and out."""

from decimal import Decimal

import pytest

from exchange_gateway.exact_json import MAX_DEPTH, dumps, number, parse_object
from exchange_gateway.problems import ProblemError


def test_digits_come_in_as_they_were_written() -> None:
    body = parse_object(b'{"a":0.1,"b":100000000000000000000.000000000000000001,"c":12,"d":1E+2,"e":"0.1","f":-0.0}')
    assert body == {
        "a": Decimal("0.1"),
        "b": Decimal("100000000000000000000.000000000000000001"),
        "c": 12,
        "d": Decimal("1E+2"),
        "e": "0.1",
        "f": Decimal("-0.0"),
    }


def test_digits_go_out_as_they_are() -> None:
    assert dumps({"a": number("0.00000001"), "b": [Decimal("5E+4"), Decimal("0.10")], "c": "x"}) == (
        b'{"a":0.00000001,"b":[50000,0.10],"c":"x"}'
    )


def test_depth_is_counted_outside_of_text_only() -> None:
    brackets = b"[{" * MAX_DEPTH
    assert parse_object(b'{"a":"' + brackets + b'\\"[","b":[[]]}')["b"] == [[]]
    deep = b"[" * (MAX_DEPTH - 1) + b"]" * (MAX_DEPTH - 1)
    assert parse_object(b'{"a":' + deep + b"}")
    with pytest.raises(ProblemError):
        parse_object(b'{"a":[' + deep + b"]}")


def test_paired_surrogates_are_text_and_unpaired_ones_are_refused() -> None:
    assert parse_object(b'{"a":"\\ud83d\\ude00"}') == {"a": "\U0001f600"}
    for body in (b'{"a":"\\ud83d"}', b'{"\\ude00":1}', b'{"a":["\\ud83dx"]}'):
        with pytest.raises(ProblemError):
            parse_object(body)
