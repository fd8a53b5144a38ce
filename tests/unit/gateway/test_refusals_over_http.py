"""Bad input over real HTTP: a problem document with a stable code, and nothing is changed."""

from collections.abc import AsyncIterator
from decimal import Decimal
from typing import Any

import pytest

from exchange_gateway.problems import PROBLEMS, Code
from tests.unit.gateway.support import Gateway, running_gateway

ORDER = b'{"symbol":"BTCUSDT","side":"buy","type":"limit","price":50000,"quantity":0.1'


@pytest.fixture(scope="module")
async def market() -> AsyncIterator[Gateway]:
    async with running_gateway() as gateway:
        await gateway.open_market()
        yield gateway


async def assert_untouched(market: Gateway) -> None:
    assert await market.exchange.settle() == 0
    untouched = {"BTC": (Decimal(10), Decimal(0)), "USDT": (Decimal(1_000_000), Decimal(0))}
    for user in ("alice", "bob"):
        assert await market.balances(user) == untouched


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"", "malformed_json"),
        (b"hello", "malformed_json"),
        (b"[]", "malformed_json"),
        (b"null", "malformed_json"),
        (b'{"symbol":', "malformed_json"),
        (b"\xff\xfe{}", "malformed_json"),
        (b'{"a":' * 40 + b"1" + b"}" * 40, "malformed_json"),
        (b"[" * 60_000, "malformed_json"),
        (ORDER + b',"price":50000}', "malformed_json"),
        (ORDER.replace(b"50000", b"NaN") + b"}", "malformed_json"),
        (ORDER.replace(b"50000", b"-Infinity") + b"}", "malformed_json"),
        (ORDER + b',"client_order_id":"\\ud800"}', "malformed_json"),
        (ORDER + b"} {}", "malformed_json"),
        (ORDER + b',"leverage":10}', "unknown_field"),
        (b" " * 70_000, "body_too_large"),
    ],
)
async def test_a_body_that_is_no_acceptable_json(market: Gateway, body: bytes, code: str) -> None:
    answer = await market.call("POST", "/api/v1/order", body, user="alice")
    assert answer.code == code
    assert answer.status == PROBLEMS[Code(code)][0]
    await assert_untouched(market)


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"symbol": None}, "missing_field"),
        ({"side": None}, "missing_field"),
        ({"type": None}, "missing_field"),
        ({"price": None}, "missing_field"),
        ({"quantity": None}, "missing_field"),
        ({"symbol": 5}, "invalid_value"),
        ({"symbol": ["BTCUSDT"]}, "invalid_value"),
        ({"symbol": "BTCUSDX"}, "unknown_symbol"),
        ({"symbol": "btcusdt"}, "unknown_symbol"),
        ({"symbol": "$CASH"}, "unknown_symbol"),
        ({"side": "BUY"}, "invalid_side"),
        ({"side": 1}, "invalid_side"),
        ({"side": {}}, "invalid_side"),
        ({"type": "limt"}, "invalid_type"),
        ({"trigger_price": 1}, "invalid_value"),
        ({"type": "stop"}, "missing_field"),
        ({"type": "stop", "trigger_price": 51000}, "invalid_value"),
        ({"type": "stop", "price": None, "trigger_price": 51000, "time_in_force": "gtc"}, "invalid_value"),
        ({"type": "stop", "price": None, "trigger_price": 51000, "quantity": None}, "missing_field"),
        (
            {"type": "stop", "price": None, "trigger_price": 51000, "quote_quantity": 100},
            "invalid_value",
        ),
        ({"type": "stop_limit"}, "missing_field"),
        ({"type": "stop_limit", "price": None, "trigger_price": 51000}, "missing_field"),
        ({"type": "stop_limit", "trigger_price": 0}, "price_not_positive"),
        ({"type": "stop_limit", "trigger_price": "51000.001"}, "price_off_tick"),
        ({"type": "stop_limit", "trigger_price": "1e30"}, "amount_out_of_range"),
        ({"type": "stop_limit", "trigger_price": 60000, "price": 53999}, "price_out_of_band"),
        ({"type": "take_profit_limit", "trigger_price": 40000, "price": 44001}, "price_out_of_band"),
        ({"type": "take_profit_limit", "trigger_price": "x"}, "invalid_value"),
        ({"time_in_force": "gtd"}, "missing_field"),
        ({"expires_at": "2999-01-01T00:00:00Z"}, "invalid_value"),
        ({"time_in_force": "gtd", "expires_at": "2999-01-01T00:00:00"}, "invalid_value"),
        ({"time_in_force": "gtd", "expires_at": "tomorrow"}, "invalid_value"),
        ({"time_in_force": "gtd", "expires_at": "9999-12-31T23:59:59-12:00"}, "invalid_value"),
        ({"time_in_force": "gtd", "expires_at": 1e15}, "invalid_value"),
        ({"time_in_force": "gtd", "expires_at": 10**17}, "invalid_value"),
        ({"time_in_force": "gtd", "expires_at": -1}, "invalid_value"),
        ({"time_in_force": "gtd", "expires_at": 1}, "expiry_passed"),
        ({"time_in_force": "gtd", "expires_at": "2001-01-01T00:00:00Z"}, "expiry_passed"),
        ({"display_quantity": 0}, "quantity_out_of_range"),
        ({"display_quantity": "0.1001"}, "quantity_out_of_range"),
        ({"display_quantity": "0.00005"}, "quantity_off_lot"),
        ({"display_quantity": "0.01", "time_in_force": "ioc"}, "invalid_value"),
        ({"type": "market", "price": None, "display_quantity": "0.01"}, "invalid_value"),
        ({"type": "market", "price": None, "post_only": True}, "invalid_value"),
        ({"type": "market", "price": None, "expires_at": 1}, "invalid_value"),
        ({"post_only": True, "time_in_force": "fok"}, "invalid_value"),
        (
            {"type": "market", "side": "sell", "price": None, "quantity": None, "quote_quantity": "4"},
            "notional_too_small",
        ),
        (
            {"type": "market", "side": "sell", "price": None, "quantity": None, "quote_quantity": "450005"},
            "insufficient_funds",
        ),
        ({"time_in_force": "day"}, "invalid_value"),
        ({"price": True}, "invalid_value"),
        ({"price": "1e5x"}, "invalid_value"),
        ({"price": " 50000"}, "invalid_value"),
        ({"price": "NaN"}, "invalid_value"),
        ({"price": "1_000"}, "invalid_value"),
        ({"price": {}}, "invalid_value"),
        ({"price": "1e400"}, "invalid_value"),
        ({"price": 0}, "price_not_positive"),
        ({"price": "-50000"}, "price_not_positive"),
        ({"price": "50000.001"}, "price_off_tick"),
        ({"price": "50000." + "0" * 30 + "1"}, "price_off_tick"),
        ({"price": "55000.01"}, "price_out_of_band"),
        ({"price": "44999.99"}, "price_out_of_band"),
        ({"price": "1e30"}, "price_out_of_band"),
        ({"quantity": 0}, "quantity_out_of_range"),
        ({"quantity": "-1"}, "quantity_out_of_range"),
        ({"quantity": "100.0001"}, "quantity_out_of_range"),
        ({"quantity": "1e30"}, "quantity_out_of_range"),
        ({"quantity": "0.00001"}, "quantity_off_lot"),
        ({"quantity": "1.00005"}, "quantity_off_lot"),
        ({"quantity": "21"}, "insufficient_funds"),
        ({"side": "sell", "quantity": "10.0001"}, "insufficient_funds"),
        ({"quote_quantity": "10"}, "invalid_value"),
        ({"post_only": "yes"}, "invalid_value"),
        ({"post_only": True, "time_in_force": "ioc"}, "invalid_value"),
        ({"client_order_id": ""}, "invalid_value"),
        ({"client_order_id": "a" * 65}, "invalid_value"),
        ({"client_order_id": "a b"}, "invalid_value"),
        ({"client_order_id": "a\n"}, "invalid_value"),
        ({"client_order_id": 7}, "invalid_value"),
        ({"type": "market"}, "invalid_value"),
        ({"type": "market", "price": None, "quantity": None}, "missing_field"),
        ({"type": "market", "price": None, "quote_quantity": 5}, "invalid_value"),
        ({"type": "market", "price": None, "quantity": None, "quote_quantity": "0.5"}, "notional_too_small"),
        ({"type": "market", "price": None, "quantity": None, "quote_quantity": "10.0000001"}, "quantity_off_lot"),
        ({"type": "market", "price": None, "quantity": None, "quote_quantity": "1e13"}, "quantity_out_of_range"),
        ({"type": "market", "price": None, "time_in_force": "gtc"}, "invalid_value"),
    ],
)
async def test_an_order_that_makes_no_sense(market: Gateway, changes: dict[str, Any], code: str) -> None:
    answer = await market.place("alice", **changes)
    assert answer.code == code, answer.text
    assert answer.status == PROBLEMS[Code(code)][0]
    await assert_untouched(market)


async def test_numbers_of_absurd_size_are_refused_as_values(market: Gateway) -> None:
    for digits in (b"1" * 5_000, b"1e99999999999999999999", b"0." + b"1" * 5_000):
        answer = await market.call("POST", "/api/v1/order", ORDER.replace(b"50000", digits) + b"}", user="alice")
        assert (answer.status, answer.code) == (400, "invalid_value")
    await assert_untouched(market)


async def test_paths_and_methods_that_are_not_there(market: Gateway) -> None:
    missing = await market.call("GET", "/api/v1/nothing")
    assert (missing.status, missing.code) == (404, "not_found")
    wrong = await market.call("PUT", "/api/v1/order", {}, user="alice")
    assert (wrong.status, wrong.code) == (405, "method_not_allowed")
    assert "POST" in wrong.headers["Allow"]
    for path in ("orderbook/NOPE", "trades?symbol=NOPE", "ticker/NOPE"):
        unknown = await market.call("GET", f"/api/v1/{path}")
        assert (unknown.status, unknown.code) == (404, "unknown_symbol")
    for path in ("orders?limit=0", "orders?limit=x", "orders?cursor=x", "fills?cursor=1", "orders?status=gone"):
        assert (await market.call("GET", f"/api/v1/{path}", user="alice")).code == "invalid_value"


async def test_only_operators_do_what_operators_do(market: Gateway) -> None:
    deposit = {"user_id": "user-alice", "asset": "BTC", "amount": "1", "transfer_id": "x"}
    for path, body in (
        ("deposits", deposit),
        ("withdrawals", deposit),
        ("instruments", {}),
        ("symbols/BTCUSDT/status", {"status": "halted"}),
    ):
        answer = await market.call("POST", f"/api/v1/admin/{path}", body, user="alice")
        assert (answer.status, answer.code) == (403, "forbidden")
        assert (await market.call("POST", f"/api/v1/admin/{path}", body)).code == "token_missing"
    await assert_untouched(market)


async def test_a_fault_of_ours_shows_no_more_than_its_code(market: Gateway) -> None:
    market.faults.script("reader.query", ["before"])
    away = await market.call("GET", "/api/v1/orders", user="alice")
    assert (away.status, away.code, away.headers["Retry-After"]) == (503, "service_unavailable", "1")
    assert "reader" not in away.text
