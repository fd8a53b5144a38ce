"""`crossbook check` on a running exchange: it passes alone and in a market, and says what fails."""

import asyncio
import sys

import pytest

from crossbook.check import CheckError, CheckOptions, check
from crossbook.simulate import SimulationOptions, simulate
from crossbook.twin import Twin


def options(twin: Twin, **changes: object) -> CheckOptions:
    places: dict[str, object] = {
        "gateway_url": twin.gateway_url,
        "websocket_url": twin.websocket_url,
        "operator_password": twin.password,
    }
    return CheckOptions(**(places | changes))  # type: ignore[arg-type]


async def test_the_command_passes_on_a_sound_exchange_and_says_what_it_saw(twin: Twin) -> None:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "crossbook", "check", "--symbol", "ETHUSDT"),
        *("--state-dir", str(twin.backing.state.path)),
        stdout=asyncio.subprocess.PIPE,
    )
    output, _ = await process.communicate()
    assert process.returncode == 0
    assert output.count(b"right to the last unit") == 2


async def test_it_passes_while_others_trade(twin: Twin) -> None:
    stopping = asyncio.Event()
    traders = SimulationOptions(
        gateway_url=twin.gateway_url,
        websocket_url=None,
        operator_password=twin.password,
        rate=20.0,
    )
    trading = asyncio.Event()
    market = asyncio.create_task(simulate(traders, stopping, say=lambda _: trading.set()))
    try:
        await trading.wait()
        await check(options(twin))
    finally:
        stopping.set()
        await market


async def test_it_fails_where_no_websocket_answers(twin: Twin) -> None:
    with pytest.raises(CheckError, match="confirmed no subscription"):
        await check(options(twin, websocket_url=f"{twin.gateway_url}/ws"))
