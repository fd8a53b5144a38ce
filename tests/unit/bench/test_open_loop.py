"""The load generator does not forgive pauses, and counts what failed."""

import asyncio

from bench.open_loop import run_open_loop
from crossbook.clients.api_client import ApiUnavailableError


async def test_a_pause_of_the_server_shows_in_every_call_that_was_due_meanwhile() -> None:
    paused_until = asyncio.get_running_loop().time() + 0.3

    async def call(_: int) -> None:
        await asyncio.sleep(max(0.0, paused_until - asyncio.get_running_loop().time()))

    result = await run_open_loop("paused", call, rate_per_s=200, duration_s=0.5)
    assert result.succeeded == result.calls == 100
    assert result.p50_ms > 20
    assert result.longest_ms > 250


async def test_failures_are_counted_by_code_and_not_among_the_latencies() -> None:
    async def call(number: int) -> None:
        if number % 2:
            raise ApiUnavailableError(503, "overloaded", "")

    result = await run_open_loop("half", call, rate_per_s=1000, duration_s=0.02)
    assert result.succeeded == 10
    assert result.failures == {"503 overloaded": 10}
