"""Candles and tickers over real HTTP, on simulated stores."""

from collections.abc import AsyncIterator
from decimal import Decimal
from typing import Any

import pytest

from exchange_core.market_data import timestamp_text
from tests.unit.gateway.support import PASSWORD, Gateway, running_gateway

MINUTE_MS = 60_000
DAY_MS = 24 * 60 * MINUTE_MS


@pytest.fixture
async def market() -> AsyncIterator[Gateway]:
    async with running_gateway() as gateway:
        await gateway.open_market()
        yield gateway


async def a_day_later(market: Gateway, at_ms: int) -> None:
    """Time goes on, and the users log in again."""
    market.clock.advance(at_ms)
    for user in ("alice", "bob"):
        answer = await market.call("POST", "/api/v1/sessions", {"username": user, "password": PASSWORD})
        market.tokens[user] = answer.body["access_token"]


async def trade(market: Gateway, price: str, quantity: str = "0.1") -> int:
    """Bob buys from alice; when it was."""
    await market.place("alice", side="sell", price=price, quantity=quantity)
    await market.place("bob", price=price, quantity=quantity)
    await market.exchange.settle()
    return market.clock.now_ms()


def minute(at_ms: int) -> str:
    return timestamp_text(at_ms - at_ms % MINUTE_MS)


async def candles(market: Gateway, query: str = "") -> Any:
    answer = await market.call("GET", f"/api/v1/candles/BTCUSDT{query}")
    assert answer.status == 200, answer.text
    return answer.body


async def test_minutes_without_trades_repeat_the_close(market: Gateway) -> None:
    first_ms = await trade(market, "50000.01", "0.5")
    await trade(market, "49000")
    market.clock.advance(3 * MINUTE_MS)
    await trade(market, "51000")
    market.clock.advance(MINUTE_MS)
    body = await candles(market)
    assert (body["symbol"], body["interval"], body["next_from"]) == ("BTCUSDT", "1m", None)
    assert [candle["open_at"] for candle in body["candles"]] == [minute(first_ms + n * MINUTE_MS) for n in range(5)]
    first, quiet, _, third, now = body["candles"]
    assert (first["open"], first["high"], first["low"], first["close"]) == (50000.01, 50000.01, 49000, 49000)
    assert (first["base_volume"], first["quote_volume"], first["trade_count"]) == (0.6, 29900.005, 2)
    assert [quiet[name] for name in ("open", "high", "low", "close")] == [49000] * 4
    assert (quiet["base_volume"], quiet["quote_volume"], quiet["trade_count"]) == (0, 0, 0)
    assert quiet["seq"] == first["seq"] < third["seq"] == now["seq"]
    assert (third["close"], now["close"], now["base_volume"]) == (51000, 51000, 0)


async def test_pages_go_on_where_the_last_one_ended(market: Gateway) -> None:
    first_ms = await trade(market, "50000")
    market.clock.advance(4 * MINUTE_MS)
    whole = (await candles(market, "?from=0"))["candles"]
    assert len(whole) == 5
    start, paged = "0", []
    for _ in range(3):
        page = await candles(market, f"?from={start}&limit=2")
        paged += page["candles"]
        start = page["next_from"]
    assert (paged, start) == (whole, None)
    # AND a span is closed below and open above; without `from` it is the last ones
    until = minute(first_ms + 2 * MINUTE_MS)
    assert (await candles(market, f"?from={minute(first_ms + 1)}&to={until}"))["candles"] == whole[:2]
    assert (await candles(market, f"?to={until}&limit=1"))["candles"] == whole[1:2]
    assert (await candles(market, "?limit=2"))["candles"] == whole[-2:]
    assert (await candles(market, f"?to={first_ms - MINUTE_MS}"))["candles"] == []


async def test_a_symbol_that_never_traded_has_no_candles_and_an_empty_ticker(market: Gateway) -> None:
    assert (await candles(market))["candles"] == []
    ticker = (await market.call("GET", "/api/v1/ticker/BTCUSDT")).body
    assert ticker.pop("symbol") == "BTCUSDT" and set(ticker.values()) == {None}


@pytest.mark.parametrize("interval", ["1s", "5m", "15m", "1h", "4h", "1d"])
async def test_every_interval_can_be_asked_for(market: Gateway, interval: str) -> None:
    await trade(market, "50000")
    answer = await market.call("GET", f"/api/v1/candles?symbol=BTCUSDT&interval={interval}")
    assert answer.body["candles"][-1]["base_volume"] == 0.1


async def test_seconds_begin_where_they_are_kept_with_the_price_of_then(market: Gateway) -> None:
    await trade(market, "50000")
    await a_day_later(market, DAY_MS + 10 * MINUTE_MS)
    newest_ms = await trade(market, "51000")
    market.clock.advance(5_000)
    body = await candles(market, "?interval=1s&from=0&limit=2")
    kept_from_ms = (newest_ms - DAY_MS) // MINUTE_MS * MINUTE_MS
    assert body["candles"][0]["open_at"] == timestamp_text(kept_from_ms)
    assert [candle["close"] for candle in body["candles"]] == [50000, 50000]
    newest = (await candles(market, "?interval=1s&limit=60"))["candles"]
    (at,) = [at for at, candle in enumerate(newest) if candle["trade_count"]]
    assert [candle["close"] for candle in newest] == [50000] * at + [51000] * (60 - at)


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("interval=2m", "interval"),
        ("from=yesterday", "from"),
        ("from=2026-02-17T10:00:00", "from"),
        ("to=99999999999999999", "to"),
        ("limit=1001", "limit"),
    ],
)
async def test_what_is_no_span_is_refused(market: Gateway, query: str, field: str) -> None:
    answer = await market.call("GET", f"/api/v1/candles/BTCUSDT?{query}")
    assert (answer.status, answer.code, answer.body["field"]) == (400, "invalid_value", field)


async def test_a_ticker_shows_the_last_24_hours(market: Gateway) -> None:
    await trade(market, "48000", "1")
    await a_day_later(market, DAY_MS - 30 * MINUTE_MS)
    await trade(market, "50000", "0.5")
    await trade(market, "49000", "0.5")
    await market.place("alice", side="sell", price="50500")
    await market.place("bob", price="48500")
    await market.exchange.settle()
    market.clock.advance(31 * MINUTE_MS)
    answer = await market.call("GET", "/api/v1/ticker/BTCUSDT")
    ticker = answer.body
    assert (ticker["price"], ticker["bid"], ticker["ask"]) == (49000, 48500, 50500)
    assert (ticker["open"], ticker["high"], ticker["low"]) == (50000, 50000, 49000)
    assert (ticker["change"], ticker["change_percent"]) == (-1000, -2)
    assert (ticker["base_volume"], ticker["quote_volume"], ticker["trade_count"]) == (1, 49500, 2)
    every = await market.call("GET", "/api/v1/tickers")
    assert every.body == {"tickers": [ticker]}
    assert Decimal(str(ticker["quantity"])) == Decimal("0.5")


async def test_a_ticker_does_without_the_cache_or_without_the_database(market: Gateway) -> None:
    await trade(market, "50000")
    market.faults.down("redis")
    alone = (await market.call("GET", "/api/v1/ticker/BTCUSDT")).body
    assert (alone["price"], alone["open"], alone["bid"]) == (50000, 50000, None)
    market.faults.up("redis")
    market.faults.down("reader")
    answer = await market.call("GET", "/api/v1/ticker/BTCUSDT")
    assert (answer.status, answer.body["price"]) == (200, 50000)
