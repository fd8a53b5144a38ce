"""Requests against the contract's schemas: which code, and about which field."""

from decimal import Decimal
from typing import Any

import pytest

from exchange_gateway.exact_json import parse_object
from exchange_gateway.problems import ProblemError
from exchange_gateway.rest.contract import document
from exchange_gateway.rest.forms import body_form, operation_form

LIMIT = {"symbol": "BTCUSDT", "side": "buy", "type": "limit", "price": "50000", "quantity": Decimal("0.1")}


def refusal(form: str, body: dict[str, Any]) -> tuple[str, str]:
    with pytest.raises(ProblemError) as refused:
        body_form(form).check(body)
    assert refused.value.status == 400
    return str(refused.value.code), refused.value.members["field"]


@pytest.mark.parametrize(
    ("changes", "code", "field"),
    [
        ({"leverage": 10, "side": "up"}, "unknown_field", "leverage"),
        ({"trigger_price": 1, "leverage": 10}, "unknown_field", "leverage"),
        ({"trigger_price": 1}, "invalid_value", "trigger_price"),
        ({"type": "stop"}, "missing_field", "trigger_price"),
        ({"type": "stop", "trigger_price": 1}, "invalid_value", "price"),
        ({"type": "limt"}, "invalid_type", "type"),
        ({"type": ["limit"]}, "invalid_type", "type"),
        ({"type": None}, "missing_field", "type"),
        ({"side": "BUY"}, "invalid_side", "side"),
        ({"side": None}, "missing_field", "side"),
        ({"side": "up", "symbol": 5}, "invalid_value", "symbol"),
        ({"price": None}, "missing_field", "price"),
        ({"price": True}, "invalid_value", "price"),
        ({"price": Decimal("NaN")}, "invalid_value", "price"),
        ({"price": "١"}, "invalid_value", "price"),
        ({"price": "5\n"}, "invalid_value", "price"),
        ({"expires_at": Decimal("1.5")}, "invalid_value", "expires_at"),
        ({"expires_at": Decimal("1E+400")}, "invalid_value", "expires_at"),
        ({"client_order_id": "a b"}, "invalid_value", "client_order_id"),
        ({"time_in_force": "day"}, "invalid_value", "time_in_force"),
    ],
)
def test_an_order_of_the_wrong_form(changes: dict[str, Any], code: str, field: str) -> None:
    body_form("NewOrder").check(LIMIT)
    assert refusal("NewOrder", {**LIMIT, **changes}) == (code, field)


@pytest.mark.parametrize("text", ["1", "-1", "+1.", ".5", "1e5", "1E-5", "00.10"])
def test_a_decimal_may_be_written_in_every_way_of_decimals(text: str) -> None:
    body_form("NewOrder").check({**LIMIT, "price": text})


@pytest.mark.parametrize(
    ("form", "body", "code", "field"),
    [
        ("Amendment", {}, "missing_field", "price"),
        ("OrderReference", {}, "missing_field", "order_id"),
        ("OrderReference", {"order_id": "1", "client_order_id": "a"}, "invalid_value", "client_order_id"),
        ("Batch", {"items": []}, "invalid_value", "items"),
        ("CancelTimer", {"symbol": "BTCUSDT", "timeout_s": 86_401}, "invalid_value", "timeout_s"),
        ("Refresh", {}, "missing_field", "refresh_token"),
    ],
)
def test_other_bodies_of_the_wrong_form(form: str, body: dict[str, Any], code: str, field: str) -> None:
    assert refusal(form, body) == (code, field)


def test_a_refusal_does_not_repeat_what_it_refuses() -> None:
    secret = "hunter2" * 100
    with pytest.raises(ProblemError) as refused:
        body_form("Credentials").check({"username": "alice", "password": secret})
    assert "hunter2" not in str(refused.value) and refused.value.members["field"] == "password"


def test_numbers_of_absurd_size_are_refused_wherever_they_stand() -> None:
    for digits in (b"1" * 60_000, b"1." + b"0" * 60_000, b"1e99999999999999999999", b"1e999999999", b"-1e-999999999"):
        body = parse_object(b'{"symbol":"BTCUSDT","timeout_s":' + digits + b"}")
        assert refusal("CancelTimer", body) == ("invalid_value", "timeout_s")


def test_a_query_is_read_with_its_defaults() -> None:
    query = operation_form("GET", "/api/v1/orders").query
    assert query.read({}) == {"status": "all", "limit": 100}
    assert query.read({"limit": "500", "symbol": "BTCUSDT"}) == {"status": "all", "limit": 500, "symbol": "BTCUSDT"}
    assert operation_form("HEAD", "/api/v1/orders").query.read({})["limit"] == 100


@pytest.mark.parametrize(
    ("path", "query", "code", "field"),
    [
        ("/api/v1/orders", {"limit": "501"}, "invalid_value", "limit"),
        ("/api/v1/orders", {"limit": "x"}, "invalid_value", "limit"),
        ("/api/v1/orders", {"limit": "1.5"}, "invalid_value", "limit"),
        ("/api/v1/orders", {"limit": "9" * 5_000}, "invalid_value", "limit"),
        ("/api/v1/orders", {"symbols": "BTCUSDT"}, "invalid_value", "symbols"),
        ("/api/v1/orders", {"status": "gone"}, "invalid_value", "status"),
        ("/api/v1/order", {}, "missing_field", "client_order_id"),
        ("/api/v1/trades", {"symbol": ""}, "invalid_value", "symbol"),
    ],
)
def test_a_query_of_the_wrong_form(path: str, query: dict[str, str], code: str, field: str) -> None:
    with pytest.raises(ProblemError) as refused:
        operation_form("GET", path).query.read(query)
    assert (refused.value.code, refused.value.members["field"]) == (code, field)


def test_every_example_of_a_request_has_its_form() -> None:
    count = 0
    for path, item in document()["paths"].items():
        for method, operation in item.items():
            if method == "parameters" or "requestBody" not in operation:
                continue
            content = operation["requestBody"]["content"]["application/json"]
            examples = [example["value"] for example in content.get("examples", {}).values()]
            for example in [*examples, *([content["example"]] if "example" in content else [])]:
                operation_form(method.upper(), path).check_body(example)
                count += 1
    assert count > 10
