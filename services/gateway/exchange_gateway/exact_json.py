"""JSON without floats: numbers come in with the digits as they were written, and go out the same way."""

import json
from decimal import Decimal, InvalidOperation
from typing import Any, Final

import orjson

from exchange_gateway.problems import Code, ProblemError

MAX_DEPTH: Final = 16
_LONGEST_INTEGER: Final = 40
_LONGEST_NUMBER: Final = 1_000
_NOT_A_NUMBER: Final = Decimal("NaN")


def parse_object(body: bytes) -> dict[str, Any]:
    """The JSON object in a request's body: integers as int, all other numbers as Decimal.

    Refuses (ProblemError `malformed_json`) what is not an object in UTF-8, repeats a key, nests deeper than MAX_DEPTH,
    holds NaN or Infinity, or text with unpaired surrogates. A number of absurd size becomes a NaN, which is no value of
    any field.
    """
    try:
        text = body.decode()
        if body.count(b"{") + body.count(b"[") > MAX_DEPTH:
            _refuse_deep_nesting(text)
        value = _DECODER.decode(text)
        if "\\u" in text:
            orjson.dumps(value, default=str)
    except (ValueError, RecursionError, TypeError) as error:
        raise ProblemError(Code.MALFORMED_JSON, f"the body is not acceptable JSON: {_reason(error)}") from error
    if not isinstance(value, dict):
        raise ProblemError(Code.MALFORMED_JSON, "the body must be a JSON object")
    return value


def parse_cached(data: bytes) -> Any:
    """JSON that one of our own services wrote into the cache; raises ValueError if it is not."""
    return json.loads(data, parse_float=Decimal)


def number(text: str) -> orjson.Fragment:
    """A JSON number with exactly these digits; for the texts of `exchange_core.money` only."""
    return orjson.Fragment(text)


def dumps(value: Any) -> bytes:
    """JSON text of plain values, `number`s and Decimals."""
    return orjson.dumps(value, default=_exact)


def _exact(value: Any) -> orjson.Fragment:
    if isinstance(value, Decimal):
        return orjson.Fragment(format(value, "f"))
    raise TypeError(f"{type(value).__name__} has no JSON form")


def _integer(text: str) -> int | Decimal:
    return int(text) if len(text) <= _LONGEST_INTEGER else _decimal(text)


def _decimal(text: str) -> Decimal:
    try:
        return Decimal(text) if len(text) <= _LONGEST_NUMBER else _NOT_A_NUMBER
    except InvalidOperation:
        return _NOT_A_NUMBER


def _refuse_constant(name: str) -> Any:
    raise ValueError(f"{name} is not a JSON number")


def _refuse_repeats(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise ValueError("a key is repeated")
    return members


def _refuse_deep_nesting(text: str) -> None:
    depth = 0
    is_in_string = is_escaped = False
    for character in text:
        if is_in_string:
            if is_escaped:
                is_escaped = False
            elif character == "\\":
                is_escaped = True
            elif character == '"':
                is_in_string = False
        elif character == '"':
            is_in_string = True
        elif character in "{[":
            depth += 1
            if depth > MAX_DEPTH:
                raise ValueError("nested too deeply")
        elif character in "}]":
            depth -= 1


def _reason(error: Exception) -> str:
    if isinstance(error, json.JSONDecodeError):
        return f"{error.msg} at character {error.pos}"
    if isinstance(error, UnicodeDecodeError):
        return "not UTF-8"
    if isinstance(error, TypeError):
        return "text with unpaired surrogates"
    return str(error)


_DECODER: Final = json.JSONDecoder(
    parse_float=_decimal,
    parse_int=_integer,
    parse_constant=_refuse_constant,
    object_pairs_hook=_refuse_repeats,
)
