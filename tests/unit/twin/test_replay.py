"""The whole replay against a small stand-in of the exchange: order, repeats, look-up and report."""

import asyncio
import random
from pathlib import Path

import pytest
from aiohttp import web
from rich.console import Console

from crossbook.clients.patience import ReplayStalledError
from crossbook.replay.agreement import Difference
from crossbook.replay.command import ReplayOptions, replay
from crossbook.replay.model import ReplayModel
from crossbook.replay.recording import Recording, read_recording
from crossbook.replay.report import DESIGN_ACCEPT_MS, percentile, tables
from crossbook.replay.schedule import Schedule, Skipped, steps
from tests.unit.twin.fake_exchange import FakeExchange, recording_lines, serving


def read(folder: Path, *lines: str) -> Recording:
    path = folder / "flow.csv"
    path.write_text(recording_lines(*lines))
    return read_recording(path)


def options(url: str, **changes: object) -> ReplayOptions:
    settings: dict[str, object] = {
        "gateway_url": url,
        "websocket_url": None,
        "operator": "operator",
        "operator_password": "x",
        "patience_s": 10.0,
    }
    return ReplayOptions(**(settings | changes))  # type: ignore[arg-type]


def random_flow(seed: int, count: int) -> list[str]:
    """Orders around one price, many of them crossing, half of them canceled later."""
    chance = random.Random(seed)
    lines: list[str] = []
    open_orders: list[str] = []
    for number in range(1, count):
        side = chance.choice(("bid", "ask"))
        price = 23500 + chance.randint(-12, 12) + (-6 if side == "bid" else 6)
        volume = chance.randint(1, 50) * 1000
        lines.append(f"{number} created {side} {price // 100}.{price % 100:02d} {volume}")
        open_orders.append(f"{number} deleted {side} {price // 100}.{price % 100:02d} {volume}")
        if chance.random() < 0.5:
            lines.append(open_orders.pop(chance.randrange(len(open_orders))))
    return lines


def fed_in_order(recording: Recording) -> ReplayModel:
    model = ReplayModel()
    for step in steps(recording, Skipped()):
        row = step.row
        if step.is_cancel:
            model.cancel(row.recorded_id)
        else:
            model.place(row.recorded_id, row.side, row.price, row.volume)
    return model


@pytest.mark.parametrize("seed", range(6))
async def test_whatever_the_exchange_delays_the_book_is_that_of_the_recorded_order(tmp_path: Path, seed: int) -> None:
    recording = read(tmp_path, *random_flow(seed, 300))
    chance = random.Random(seed)
    exchange = FakeExchange(delay_s=lambda: chance.choice((0.0, 0.0, 0.002, 0.01)))
    async with serving(exchange) as url:
        report = await replay(recording, options(url))
    expected = fed_in_order(recording)
    assert expected.trade_count > 50
    assert exchange.model.trade_count == report.modeled_trades == expected.trade_count
    assert report.agreement.modeled_count == report.agreement.accepted_count == report.placed
    assert report.is_clean


@pytest.mark.parametrize("kind", ["before", "after"])
async def test_broken_calls_are_repeated_and_nothing_is_entered_twice(tmp_path: Path, kind: str) -> None:
    recording = read(tmp_path, *random_flow(7, 200))
    chance = random.Random(7)

    def fault(_: web.Request) -> str | None:
        return kind if chance.random() < 0.1 else None

    exchange = FakeExchange(fault=fault)
    async with serving(exchange) as url:
        report = await replay(recording, options(url, in_flight_max=8))
    assert report.retried_calls > 10
    assert len(exchange.orders) == report.placed == report.found
    assert report.is_clean


@pytest.mark.parametrize("method", ["POST", "GET"])
async def test_an_exchange_that_answers_nothing_is_given_up_in_words(tmp_path: Path, method: str) -> None:
    recording = read(tmp_path, *random_flow(1, 60))
    exchange = FakeExchange(fault=lambda request: "before" if request.method == method else None)
    async with serving(exchange) as url:
        with pytest.raises(ReplayStalledError, match="service_unavailable"):
            await replay(recording, options(url, patience_s=0.2))


async def test_refusals_are_counted_by_code_and_named_as_the_reason(tmp_path: Path) -> None:
    recording = read(
        tmp_path,
        "1 created bid 235.00 100",
        "2 created ask 350.00 100",
        "2 changed ask 350.00 40",
        "1 deleted bid 235.00 100",
    )
    exchange = FakeExchange(refuse_above=30000)
    async with serving(exchange) as url:
        report = await replay(recording, options(url))
    assert report.refused_places == {"price_out_of_band": 1}
    assert report.agreement.differences == {Difference.REFUSED: 1}
    assert report.statuses == {"canceled": 1}


async def test_an_order_that_was_accepted_and_is_not_found_is_reported(tmp_path: Path) -> None:
    recording = read(tmp_path, "1 created bid 235.00 100", "2 created bid 235.00 100")
    exchange = FakeExchange()

    def lose_the_second(request: web.Request) -> str | None:
        if request.method == "GET":
            exchange.orders.pop("2", None)
        return None

    exchange.fault = lose_the_second
    async with serving(exchange) as url:
        report = await replay(recording, options(url))
    assert report.missing == 1 and not report.is_clean
    assert "2 (order_not_found)" in report.missing_orders


async def test_the_report_shows_the_design_latency_and_the_reasons(tmp_path: Path) -> None:
    recording = read(
        tmp_path,
        "1 created bid 235.00 100",
        "2 created ask 234.90 60",
        "1 changed bid 235.00 40",
        "2 deleted ask 234.90 0",
        "3 created ask 235.00 10",
        "3 deleted ask 235.00 10",
    )
    async with serving(FakeExchange()) as url:
        report = await replay(recording, options(url))
    assert report.agreement.exact_count == 1
    assert report.agreement.differences == {Difference.CROSSED_AT_VENUE: 2}
    console = Console(width=160, record=True, file=(tmp_path / "out").open("w"))
    console.print(tables(report))
    text = console.export_text()
    assert f"{DESIGN_ACCEPT_MS:.0f} ms" in text and "matches at once" in text
    assert report.as_json()["agreement"]["differences"] == {"crossed_at_venue": 2}
    console.file.close()


def test_rows_for_which_nothing_is_sent_are_counted(tmp_path: Path) -> None:
    recording = read(
        tmp_path,
        "9 deleted ask 236.00 5",
        "1 deleted bid 235.00 100",
        "1 created bid 235.00 100",
        "2 created ask 236.00 100",
        "2 changed ask 236.00 50",
        "2 deleted ask 236.00 50",
        "2 deleted ask 236.00 50",
        "3 deleted ask 236.00 0",
    )
    skipped = Skipped()
    sent = [(step.row.recorded_id, step.is_cancel) for step in steps(recording, skipped)]
    assert sent == [(1, False), (1, True), (2, False), (2, True)]
    assert skipped == Skipped(changed=1, filled=1, older=1, repeated=1)


@pytest.mark.parametrize(
    ("earlier", "later", "waits"),
    [
        ("1 created bid 235.00 10", "2 created bid 234.00 10", False),
        ("1 created bid 235.00 10", "2 created bid 235.00 10", True),
        ("1 created bid 235.00 10", "2 created ask 236.00 10", False),
        ("1 created bid 235.00 10", "2 created ask 235.00 10", True),
        ("1 created bid 236.50 10", "2 created bid 236.00 10", True),
        ("1 created bid 236.50 10", "2 created bid 235.90 10", False),
        ("1 created bid 236.50 10", "2 created ask 236.60 10", False),
        ("9 deleted ask 236.00 50", "2 created bid 235.00 10", False),
        ("9 deleted ask 236.00 50", "2 created bid 236.00 10", True),
        ("9 deleted ask 236.00 50", "2 created ask 236.00 10", False),
        ("9 deleted ask 236.00 50", "8 deleted bid 234.50 50", False),
        ("1 created bid 236.00 10", "9 deleted ask 236.00 50", True),
        ("1 created bid 235.00 10", "9 deleted ask 236.00 50", False),
        ("1 created bid 235.00 10", "1 deleted bid 235.00 10", True),
    ],
)
async def test_a_step_waits_for_those_that_it_could_meet_and_for_no_others(
    tmp_path: Path, earlier: str, later: str, waits: bool
) -> None:
    """GIVEN an ask (9) at 236.00 and a bid (8) at 234.50 that rest."""
    recording = read(tmp_path, "9 created ask 236.00 50", "8 created bid 234.50 50", earlier, later)
    schedule, loop = Schedule(), asyncio.get_running_loop()
    last: list[asyncio.Future[None]] = []
    for step in steps(recording, Skipped()):
        answered: asyncio.Future[None] = loop.create_future()
        last = schedule.admit(step, answered)
        if step.number < 2:
            answered.set_result(None)
            await asyncio.sleep(0)
    assert bool(last) is waits


def test_percentiles_are_taken_from_the_values_themselves() -> None:
    assert percentile([], 0.5) == 0.0
    assert percentile([3.0, 1.0, 2.0], 0.5) == 2.0
    assert percentile([float(number) for number in range(1, 101)], 0.99) == 99.0
    assert percentile([5.0], 0.99) == 5.0
