import asyncio
import os
import subprocess
import sys
import time

import pytest

from exchange_adapters.sim import SimClock
from exchange_adapters.sim.virtual_time import DeadlockError, in_virtual_time, run_virtual

SCENARIO = """
import asyncio, random
from exchange_adapters.sim.virtual_time import run_virtual

async def worker(number, trace, source):
    try:
        for _ in range(20):
            await asyncio.sleep(source.random())
            trace.append((asyncio.get_running_loop().time(), number))
        await asyncio.Event().wait()
    except asyncio.CancelledError:
        trace.append((asyncio.get_running_loop().time(), -number))
        raise

async def main():
    trace, source = [], random.Random(7)
    try:
        async with asyncio.TaskGroup() as group:
            for number in range(1, 40):
                group.create_task(worker(number, trace, source))
            await asyncio.sleep(30)
            raise ValueError
    except* ValueError:
        pass
    return trace

print(run_virtual(main()))
"""


def test_an_hour_passes_at_once():
    async def main() -> float:
        await asyncio.sleep(3600)
        return asyncio.get_running_loop().time()

    started_s = time.monotonic()
    assert run_virtual(main()) == 3600
    assert time.monotonic() - started_s < 1


@in_virtual_time
async def test_timers_fire_in_the_order_of_their_due_times():
    fired: list[int] = []
    loop = asyncio.get_running_loop()
    for delay_s in (3, 1, 2):
        loop.call_later(delay_s, fired.append, delay_s)
    await asyncio.sleep(2.5)
    assert fired == [1, 2]
    await asyncio.sleep(1)
    assert fired == [1, 2, 3]


@in_virtual_time
async def test_a_timeout_cuts_what_would_wait_for_ever():
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(60):
            await asyncio.Event().wait()
    assert asyncio.get_running_loop().time() == 60


def test_a_loop_with_nothing_left_to_wait_for_says_so():
    async def main() -> None:
        await asyncio.Event().wait()

    with pytest.raises(DeadlockError):
        run_virtual(main())


def test_what_the_main_task_left_behind_is_cancelled():
    ended: list[str] = []

    async def left_behind() -> None:
        try:
            await asyncio.sleep(3600)
        finally:
            ended.append("cancelled")

    async def main() -> "asyncio.Task[None]":
        task = asyncio.create_task(left_behind())
        await asyncio.sleep(0)
        return task

    run_virtual(main())
    assert ended == ["cancelled"]


@in_virtual_time
async def test_the_clock_moves_with_the_loop():
    clock = SimClock(1_000)
    late = SimClock(1_000, skew_ms=-250, origin_s=0.0)
    assert clock.now_ms() == 1_000
    await asyncio.sleep(1.5)
    assert clock.now_ms() == 2_500
    assert late.now_ms() == 2_250
    clock.advance(60_000)
    assert clock.now_ms() == 62_500


def test_the_same_scenario_takes_the_same_course_in_every_interpreter():
    """Cancelling a task group walks a set of tasks: by address it would differ from run to run."""
    traces = {
        subprocess.run(
            [sys.executable, "-c", SCENARIO],
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("1", "2", "3")
    }
    assert len(traces) == 1
    assert len(traces.pop()) > 1_000


@in_virtual_time
async def test_what_falls_due_in_a_leap_happens_behind_it_in_order():
    loop, order = asyncio.get_running_loop(), []
    for name, delay_s in (("late", 20.0), ("first", 1.0), ("second", 2.0)):
        loop.call_later(delay_s, lambda name=name: order.append((name, loop.time())))
    await asyncio.sleep(0.5)
    loop.leap(10.0)
    await asyncio.sleep(15.0)
    assert order == [("first", 10.5), ("second", 10.5), ("late", 20.0)]
