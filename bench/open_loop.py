"""Load at a fixed rate, whatever the server does: latency counts from the moment a call was due.

A closed loop, or a latency counted from the moment of sending, forgives a server its pauses: the calls that it held up
are not made, or not counted (coordinated omission). Here a pause of a second at 100 calls a second shows as a hundred
slow calls.
"""

import asyncio
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field

from crossbook.clients.api_client import ApiError
from crossbook.replay.report import percentile

CALLS_IN_FLIGHT_MAX = 4_000
"""More than this means that the server is lost at this rate; further calls are counted as failed."""

Call = Callable[[int], Awaitable[None]]
"""Makes the call of that number; raises ApiError when it fails."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadResult:
    """One run. Latencies in milliseconds from the due time, of the calls that succeeded."""

    name: str
    rate_per_s: float
    calls: int
    succeeded: int
    failures: dict[str, int]
    succeeded_per_s: float
    p50_ms: float
    p90_ms: float
    p99_ms: float
    longest_ms: float


@dataclass(slots=True)
class _Run:
    latencies_s: list[float] = field(default_factory=list)
    failures: Counter[str] = field(default_factory=Counter)
    in_flight: int = 0


async def run_open_loop(name: str, call: Call, *, rate_per_s: float, duration_s: float) -> LoadResult:
    """Make `rate_per_s` × `duration_s` calls, each at its time, and wait for all of them."""
    count, run = round(rate_per_s * duration_s), _Run()
    started_s = time.perf_counter()  # the loop's own clock may count whole milliseconds only
    async with asyncio.TaskGroup() as calls:
        for number in range(count):
            due_s = started_s + number / rate_per_s
            delay_s = due_s - time.perf_counter()
            if delay_s > 0:
                await asyncio.sleep(delay_s)
            if run.in_flight >= CALLS_IN_FLIGHT_MAX:
                run.failures["not made: too many in flight"] += 1
                continue
            run.in_flight += 1
            calls.create_task(_make(call, number, due_s, run))
    return _result(name, rate_per_s, count, run, time.perf_counter() - started_s)


async def _make(call: Call, number: int, due_s: float, run: _Run) -> None:
    try:
        await call(number)
        run.latencies_s.append(time.perf_counter() - due_s)
    except ApiError as error:
        run.failures[f"{error.status or ''} {error.code}".strip()] += 1
    finally:
        run.in_flight -= 1


def _result(name: str, rate_per_s: float, count: int, run: _Run, elapsed_s: float) -> LoadResult:
    return LoadResult(
        name=name,
        rate_per_s=rate_per_s,
        calls=count,
        succeeded=len(run.latencies_s),
        failures=dict(run.failures),
        succeeded_per_s=len(run.latencies_s) / elapsed_s,
        p50_ms=milliseconds(run.latencies_s, 0.50),
        p90_ms=milliseconds(run.latencies_s, 0.90),
        p99_ms=milliseconds(run.latencies_s, 0.99),
        longest_ms=milliseconds(run.latencies_s, 1.0),
    )


def milliseconds(values_s: Sequence[float], share: float) -> float:
    """A percentile of seconds, in milliseconds."""
    return 1000 * percentile(values_s, share)
