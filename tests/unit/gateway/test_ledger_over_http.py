"""The user's own ledger over real HTTP: every unit that came and went, and what it was about."""

from collections import defaultdict
from collections.abc import AsyncIterator
from decimal import Decimal
from typing import Any

import pytest

from tests.unit.gateway.support import Gateway, running_gateway


@pytest.fixture
async def market() -> AsyncIterator[Gateway]:
    async with running_gateway() as gateway:
        await gateway.open_market()
        yield gateway


async def entries(market: Gateway, query: str = "", user: str = "alice") -> list[Any]:
    answer = await market.call("GET", f"/api/v1/ledger{query}", user=user)
    assert answer.status == 200, answer.text
    return list(answer.body["entries"])


def summary(entry: Any) -> tuple[Any, ...]:
    return entry["kind"], entry["asset"], entry["available"], entry["held"]


async def test_a_trade_a_release_and_the_transfers_are_lines_with_what_they_are_about(market: Gateway) -> None:
    bought = (await market.place("alice", price="50000", quantity="0.2")).body["order_id"]
    await market.exchange.settle()
    await market.place("bob", side="sell", price="50000", quantity="0.1")
    await market.exchange.settle()
    await market.call("DELETE", f"/api/v1/order/{bought}", user="alice")
    await market.exchange.settle()
    release, *trade, first, second = await entries(market)
    assert summary(release) == ("release", "USDT", 5000, -5000)
    assert (release["order_id"], release["symbol"]) == (bought, "BTCUSDT")
    assert sorted(map(summary, trade)) == [
        ("fee", "USDT", 0, -10),
        ("trade", "BTC", 0.0999, 0),
        ("trade", "USDT", 0, -4990),
    ]
    assert {entry["trade_id"] for entry in trade} == {1}
    assert {(summary(entry), entry["transfer_id"], entry["symbol"]) for entry in (first, second)} == {
        (("deposit", "BTC", 10, 0), "first-user-alice-BTC", None),
        (("deposit", "USDT", 1_000_000, 0), "first-user-alice-USDT", None),
    }


async def test_the_lines_add_up_to_the_balances(market: Gateway) -> None:
    for number in range(4):
        await market.place("alice", price=str(49_000 + 500 * number), quantity="0.3")
        await market.place("bob", side="sell", price="49000", quantity="0.1")
        await market.exchange.settle()
    for user in ("alice", "bob"):
        totals: dict[str, Decimal] = defaultdict(Decimal)
        for entry in await entries(market, user=user):
            totals[entry["asset"]] += Decimal(str(entry["available"])) + Decimal(str(entry["held"]))
        balances = await market.balances(user)
        assert totals == {asset: available + held for asset, (available, held) in balances.items()}


async def test_the_ledger_can_be_filtered_and_paged(market: Gateway) -> None:
    await market.place("alice", price="50000")
    await market.place("bob", side="sell", price="50000")
    await market.exchange.settle()
    whole = await entries(market)
    paged, query = [], "?limit=2"
    while True:
        answer = await market.call("GET", f"/api/v1/ledger{query}", user="alice")
        paged += answer.body["entries"]
        if answer.body["next_cursor"] is None:
            break
        query = f"?limit=2&cursor={answer.body['next_cursor']}"
    assert paged == whole and len(whole) > 4
    assert await entries(market, "?asset=BTC") == [entry for entry in whole if entry["asset"] == "BTC"]
    assert await entries(market, "?symbol=BTCUSDT") == [entry for entry in whole if entry["symbol"] == "BTCUSDT"]


@pytest.mark.parametrize(
    ("query", "status", "code"),
    [
        ("asset=NOPE", 404, "unknown_asset"),
        ("symbol=NOPE", 404, "unknown_symbol"),
        ("cursor=1~2", 400, "invalid_value"),
        ("cursor=1~2~3~x", 400, "invalid_value"),
    ],
)
async def test_what_is_no_filter_is_refused(market: Gateway, query: str, status: int, code: str) -> None:
    answer = await market.call("GET", f"/api/v1/ledger?{query}", user="alice")
    assert (answer.status, answer.code) == (status, code)
