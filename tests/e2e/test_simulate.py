"""`crossbook simulate` on a running exchange: it trades, leaves nothing open, and the audit is clean."""

import asyncio
import signal
import sys

import asyncpg

from crossbook.audit.run import audit_exchange
from crossbook.simulate import SimulationOptions, simulate
from crossbook.twin import Twin
from tests.eventually import eventually

AUDIT_WAIT_S = 20.0
OPEN = "SELECT count(*) FROM orders WHERE status IN ('open', 'accepted') AND client_order_id LIKE 'bot-%'"
TRADED = "SELECT count(*) FROM orders WHERE filled_quantity > 0 AND client_order_id LIKE 'bot-%'"


async def counted(twin: Twin, query: str) -> int:
    connection = await asyncpg.connect(twin.site.database_url)
    try:
        return int(await connection.fetchval(query))
    finally:
        await connection.close()


async def assert_left_clean(twin: Twin) -> None:
    results = await audit_exchange(twin.client_environment, AUDIT_WAIT_S)
    assert [result.name for result in results if result.differences] == []
    assert await counted(twin, OPEN) == 0


async def test_bots_trade_and_leave_nothing_open(twin: Twin) -> None:
    options = SimulationOptions(
        gateway_url=twin.gateway_url,
        websocket_url=twin.websocket_url,
        operator_password=twin.password,
        symbol="ETHUSDT",
        rate=30.0,
        seconds=4.0,
        seed=1,
    )
    tally = await simulate(options, asyncio.Event())
    assert tally.order_count > 30 and tally.cancel_count > 0
    assert tally.trade_count is not None and tally.trade_count > 0
    assert tally.refusals.keys() <= {"order_closed"}, "makers find out only so what was filled"
    assert tally.unsure_count == 0
    await assert_left_clean(twin)


async def test_the_command_cancels_all_when_it_is_told_to_end(twin: Twin) -> None:
    before = await counted(twin, TRADED)
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "crossbook", "simulate", "--rate", "30", "--state-dir", str(twin.backing.state.path)),
        stdout=asyncio.subprocess.PIPE,
    )
    try:

        async def has_traded() -> bool:
            return await counted(twin, TRADED) > before

        await eventually(has_traded, timeout_s=20.0)
        process.send_signal(signal.SIGTERM)
        output, _ = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    assert process.returncode == 0 and b"trades seen" in output
    await assert_left_clean(twin)
