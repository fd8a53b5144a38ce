"""`python -m bench`: measure, print a table, keep it with `--json`."""

import asyncio
import platform
import tempfile
import time
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import orjson
import psutil
import typer
import uvloop
from rich.console import Console

from bench.core import CoreResult, measure_core, recorded_flow, synthetic_flow
from bench.exchange import ExchangeResult, measure_exchange
from bench.tables import calls_table, core_table, cost_table, load_table, probe_table
from crossbook.replay_report import make_console


def main(
    recording: Annotated[
        Path | None, typer.Option(exists=True, help="Recorded flow for the core, besides the synthetic.")
    ] = None,
    seconds: Annotated[float, typer.Option(min=2, max=60, help="How long each rate is held.")] = 10.0,
    rate: Annotated[list[float] | None, typer.Option(min=1, help="Orders a second; may be given again.")] = None,
    only_core: Annotated[bool, typer.Option("--only-core", help="Do not start an exchange.")] = False,
    json_file: Annotated[Path | None, typer.Option("--json", help="Write the figures here as well.")] = None,
) -> None:
    """Measure the core against bourse, and a private exchange against a bare server, in one run."""
    console = make_console()
    started_s = time.monotonic()
    machine = _machine()
    flows = {"synthetic": synthetic_flow()}
    if recording is not None:
        flows["recorded"] = recorded_flow(recording)
    with console.status("the core"):
        core = list(measure_core(flows))
    console.print(core_table(core))
    exchange: ExchangeResult | None = None
    if not only_core:
        exchange = _run_exchange(console, rate or [100.0, 500.0], seconds)
        console.print(load_table(exchange.loads), probe_table(exchange.probes), cost_table(exchange.costs))
        console.print(calls_table(exchange.costs))
    console.print(f"{machine}; {time.monotonic() - started_s:.0f} s in all")
    if json_file is not None:
        json_file.write_bytes(orjson.dumps(_record(machine, core, exchange), option=orjson.OPT_INDENT_2))


def _run_exchange(console: Console, rates_per_s: list[float], duration_s: float) -> ExchangeResult:
    with (
        tempfile.TemporaryDirectory(prefix="crossbook-bench-") as directory,
        console.status("starting") as status,
        asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner,
    ):
        return runner.run(
            measure_exchange(Path(directory), rates_per_s=rates_per_s, duration_s=duration_s, say=status.update)
        )


def _machine() -> str:
    """What it ran on, and how busy that was before: latencies are the wall's, so others' work is in them."""
    memory_gb, load = psutil.virtual_memory().total / 1e9, psutil.getloadavg()[0]
    cores = psutil.cpu_count()
    return f"Python {platform.python_version()}, {cores} cores, {memory_gb:.0f} GB, load {load:.1f} before the start"


def _record(machine: str, core: list[CoreResult], exchange: ExchangeResult | None) -> dict[str, Any]:
    return {
        "machine": machine,
        "core": [asdict(result) for result in core],
        "exchange": None if exchange is None else asdict(exchange),
    }


if __name__ == "__main__":
    typer.run(main)
