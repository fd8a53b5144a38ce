"""Metrics out: recorded anywhere in the process, written to standard output in CloudWatch's embedded metric format.

Like the logger, the recorder belongs to the process: whoever measures names the metric (see `metrics`) and a value.
Values are gathered and written every FLUSH_S, a line for all that is not of one partition and a line for each
partition; a distribution is written as its values, a line as soon as one has as many as a line may hold. By hand,
because the kept libraries for this format hold a request's metrics, not a process's, and would write a line a request.
"""

import asyncio
import os
import sys
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any, Final

import orjson

from exchange_adapters.metrics import NAMESPACE, Dimension, Kind, Metric

FLUSH_S: Final = 10.0
VALUES_MAX: Final = 100
"""As many values as the format allows a metric in a line."""
_Group = tuple[str, int | None]
"""Service, and partition if its metrics are told apart by partition."""


class Recorder:
    """What was measured and is not written yet. Not thread-safe: one event loop records and writes."""

    def __init__(self, write: Callable[[bytes], None] | None = None) -> None:
        self._write = write
        self._exchange = ""
        self._values: dict[_Group, dict[Metric, list[float]]] = {}

    def open(self, exchange: str, write: Callable[[bytes], None]) -> None:
        """Write to `write` from now on, for the exchange of that name; without it what is recorded is dropped."""
        self._exchange, self._write = exchange, write

    def count(self, metric: Metric, value: int = 1, *, partition: int | None = None) -> None:
        """Add to a counter."""
        assert metric.kind is Kind.COUNTER
        values = self._of(metric, partition)
        if values:
            values[0] += value
        else:
            values.append(value)

    def gauge(self, metric: Metric, value: float, *, partition: int | None = None) -> None:
        """What a gauge shows now."""
        assert metric.kind is Kind.GAUGE
        self._of(metric, partition)[:] = [value]

    def timing(self, metric: Metric, value: float, *, partition: int | None = None) -> None:
        """One more value of a distribution, in the metric's unit."""
        assert metric.kind is Kind.TIMING
        values = self._of(metric, partition)
        values.append(round(value, 3))
        if len(values) >= VALUES_MAX:
            self._write_group((metric.service, partition), {metric: values})
            values.clear()

    def flush(self) -> None:
        """Write what was recorded since the last time; a gauge that was not set since says nothing."""
        gathered, self._values = self._values, {}
        for group, values in gathered.items():
            self._write_group(group, values)

    def _of(self, metric: Metric, partition: int | None) -> list[float]:
        assert metric.is_per_partition == (partition is not None), f"{metric.name}: which partition?"
        return self._values.setdefault((metric.service, partition), {}).setdefault(metric, [])

    def _write_group(self, group: _Group, values: dict[Metric, list[float]]) -> None:
        recorded = {metric: found for metric, found in values.items() if found}
        if self._write is not None and recorded:
            self._write(emf_line(self._exchange, *group, recorded, time.time_ns() // 1_000_000))


def emf_line(
    exchange: str, service: str, partition: int | None, values: dict[Metric, list[float]], at_ms: int
) -> bytes:
    """One document of the format. `values` are of one service, and of one partition or of none."""
    dimensions: dict[str, str] = {Dimension.EXCHANGE.value: exchange, Dimension.SERVICE.value: service}
    if partition is not None:
        dimensions[Dimension.PARTITION.value] = str(partition)
    directive = {
        "Namespace": NAMESPACE,
        "Dimensions": [list(dimensions)],
        "Metrics": [{"Name": metric.name, "Unit": metric.unit} for metric in values],
    }
    document: dict[str, Any] = {
        "_aws": {"Timestamp": at_ms, "CloudWatchMetrics": [directive]},
        **dimensions,
        **{metric.name: found if metric.kind is Kind.TIMING else found[0] for metric, found in values.items()},
    }
    return orjson.dumps(document)


recorder: Final = Recorder()
"""The process's own."""


@asynccontextmanager
async def recording() -> AsyncIterator[None]:
    """Write to standard output every FLUSH_S, and once more on leaving; CROSSBOOK_PREFIX names the exchange."""
    open_recorder()
    task = asyncio.create_task(_flush_for_ever())
    try:
        yield
    finally:
        task.cancel()
        recorder.flush()


def open_recorder() -> None:
    """Let what is recorded be written to standard output."""
    recorder.open(os.environ.get("CROSSBOOK_PREFIX", "crossbook"), _print_line)


async def _flush_for_ever() -> None:
    while True:
        await asyncio.sleep(FLUSH_S)
        recorder.flush()


def _print_line(line: bytes) -> None:
    sys.stdout.write(line.decode() + "\n")
    sys.stdout.flush()
