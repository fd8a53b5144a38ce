"""Recorded order flow into a whole exchange, over its public API: all of it found, filled as a plain book fills it."""

import os
import signal
from pathlib import Path

import pytest

from crossbook.replay.command import ReplayOptions, replay
from crossbook.replay.recording import Recording, read_recording
from crossbook.twin import Twin
from tests.eventually import eventually

RECORDED = Path(__file__).resolve().parents[2].parent / "shared" / "data" / "bitstamp-btcusd-2015-05-01.csv.xz"
EVENTS = 600


@pytest.fixture
def recording() -> Recording:
    if not RECORDED.exists():
        pytest.skip("the recorded day is not here")
    return read_recording(RECORDED, limit=EVENTS)


def options(twin: Twin) -> ReplayOptions:
    return ReplayOptions(
        gateway_url=twin.gateway_url,
        websocket_url=twin.websocket_url,
        operator=twin.operator,
        operator_password=twin.password,
        patience_s=60.0,
    )


async def test_recorded_orders_are_accepted_found_and_filled_as_in_a_plain_book(
    twin: Twin, recording: Recording
) -> None:
    report = await replay(recording, options(twin))
    assert report.is_clean
    assert report.accepted == report.found == report.placed > 200
    assert report.refused_places == {}
    assert report.agreement.modeled_count == report.agreement.accepted_count
    assert report.websocket is not None
    assert report.websocket["trades"] == report.modeled_trades
    assert report.websocket["lost"] == 0


async def test_no_accepted_order_is_missing_when_the_gateway_is_killed_meanwhile(
    twin: Twin, recording: Recording
) -> None:
    killed: list[int] = []

    def kill_once(row: int) -> None:
        if row > EVENTS // 2 and not killed:
            (gateway,) = [process for process in twin.processes if process.name == "gateway"]
            killed.append(gateway.pid)
            os.kill(gateway.pid, signal.SIGKILL)

    report = await replay(recording, options(twin), advanced=kill_once)
    assert killed
    assert report.retried_calls > 0
    assert report.is_clean
    assert report.found == report.placed
    await eventually(lambda: all(process.pid for process in twin.processes))
