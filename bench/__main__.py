"""`python -m bench`: measure, print a table, keep it with `--json`."""

import asyncio
import logging
import platform
import tempfile
import time
from collections.abc import Callable, Coroutine
from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import Annotated, Any, TypeVar

import orjson
import psutil
import structlog
import typer
import uvloop
from rich.console import Console

from bench.core import CoreResult, measure_core, recorded_flow, synthetic_flow
from bench.exchange import ExchangeResult, measure_exchange
from bench.recovery import LENGTHS, RecoveryFigures, measure_recovery
from bench.state import StateResult, measure_states
from bench.tables import (
    calls_table,
    catch_up_table,
    core_table,
    cost_table,
    load_table,
    probe_table,
    recovery_table,
    state_table,
)
from crossbook.replay.report import make_console

Figures = TypeVar("Figures")


class Stage(StrEnum):
    """What can be measured: the core takes seconds, a state or an exchange two minutes, recovery a quarter of an
    hour."""

    CORE = "core"
    STATE = "state"
    EXCHANGE = "exchange"
    RECOVERY = "recovery"


def main(
    recording: Annotated[
        Path | None, typer.Option(exists=True, help="Recorded flow for the core, besides the synthetic.")
    ] = None,
    seconds: Annotated[float, typer.Option(min=2, max=60, help="How long each rate is held.")] = 10.0,
    rate: Annotated[list[float] | None, typer.Option(min=1, help="Orders a second; may be given again.")] = None,
    stage: Annotated[
        list[Stage] | None, typer.Option(help="What to measure; may be given again. Else the core and an exchange.")
    ] = None,
    events: Annotated[
        list[int] | None, typer.Option(min=1, help="How long a journal to recover from; may be given again.")
    ] = None,
    json_file: Annotated[Path | None, typer.Option("--json", help="Write the figures here as well.")] = None,
) -> None:
    """Measure the core against bourse, and a private exchange against a bare server, in one run; or what a partition's
    state costs, or how long a matcher takes to recover."""
    stages = stage or [Stage.CORE, Stage.EXCHANGE]
    console = make_console()
    started_s = time.monotonic()
    machine = _machine()
    core: list[CoreResult] = []
    states: list[StateResult] = []
    exchange: ExchangeResult | None = None
    recovery: RecoveryFigures | None = None
    if Stage.CORE in stages:
        core = _run_core(console, recording)
        console.print(core_table(core))
    if Stage.STATE in stages:
        with console.status("states"):
            states = list(measure_states())
        console.print(state_table(states))
    if Stage.EXCHANGE in stages:
        exchange = _run(console, partial(measure_exchange, rates_per_s=rate or [100.0, 500.0], duration_s=seconds))
        console.print(load_table(exchange.loads), probe_table(exchange.probes), cost_table(exchange.costs))
        console.print(calls_table(exchange.costs))
    if Stage.RECOVERY in stages:
        structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING))  # the matcher's own
        recovery = _run(console, partial(measure_recovery, lengths=events or LENGTHS))
        console.print(recovery_table(recovery.recoveries), catch_up_table(recovery.catch_ups))
    console.print(f"{machine}; {time.monotonic() - started_s:.0f} s in all")
    if json_file is not None:
        record = {"machine": machine, "core": core, "states": states, "exchange": exchange, "recovery": recovery}
        json_file.write_bytes(orjson.dumps(record, option=orjson.OPT_INDENT_2))


def _run_core(console: Console, recording: Path | None) -> list[CoreResult]:
    flows = {"synthetic": synthetic_flow()}
    if recording is not None:
        flows["recorded"] = recorded_flow(recording)
    with console.status("the core"):
        return list(measure_core(flows))


def _run(console: Console, measure: Callable[..., Coroutine[Any, Any, Figures]]) -> Figures:
    """Measure in a directory of its own, and show what it is at."""
    with (
        tempfile.TemporaryDirectory(prefix="crossbook-bench-") as directory,
        console.status("starting") as status,
        asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner,
    ):
        return runner.run(measure(Path(directory), say=status.update))


def _machine() -> str:
    """What it ran on, and how busy that was before: latencies are the wall's, so others' work is in them."""
    memory_gb, load = psutil.virtual_memory().total / 1e9, psutil.getloadavg()[0]
    cores = psutil.cpu_count()
    return f"Python {platform.python_version()}, {cores} cores, {memory_gb:.0f} GB, load {load:.1f} before the start"


if __name__ == "__main__":
    typer.run(main)
