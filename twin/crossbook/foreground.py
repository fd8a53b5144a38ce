"""Runs a twin in the foreground of a terminal, until a signal ends it or a part dies that cannot be replaced."""

import asyncio
import signal
from pathlib import Path

from crossbook import tables
from crossbook.logs import follow
from crossbook.options import TwinOptions
from crossbook.terminal import console, report
from crossbook.twin import Twin


def run(state_directory: Path, options: TwinOptions, *, shows_logs: bool) -> None:
    """Start the twin, stay with it, stop it. Raises TwinError."""
    asyncio.run(_run_until_stopped(Twin(state_directory, options, report=report), shows_logs=shows_logs))


async def _run_until_stopped(twin: Twin, *, shows_logs: bool) -> None:
    stop_asked = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        loop.add_signal_handler(number, stop_asked.set)
    stopping = asyncio.create_task(stop_asked.wait())
    working = asyncio.create_task(_start_and_watch(twin, shows_logs=shows_logs))
    try:
        await asyncio.wait((stopping, working), return_when=asyncio.FIRST_COMPLETED)
        if stop_asked.is_set():
            report("stopping (state is kept)")
            working.cancel()
        await asyncio.wait((working,))
        if not working.cancelled():
            working.result()
    finally:
        stopping.cancel()
        await twin.stop()
    report("stopped, no process is left")


async def _start_and_watch(twin: Twin, *, shows_logs: bool) -> None:
    await twin.start()
    console.print(tables.places(twin.client_environment), markup=False)
    if twin.options.is_seeded:
        console.print(tables.users())
    console.print(f"logs in {twin.logs}; Ctrl-C stops all", markup=False)
    watching = asyncio.create_task(twin.wait_failure())
    following = asyncio.create_task(_follow(twin)) if shows_logs else None
    try:
        await watching
    finally:
        watching.cancel()
        if following is not None:
            following.cancel()


async def _follow(twin: Twin) -> None:
    await follow(twin.logs, twin.service_names, lambda line: console.print(line, markup=False))
