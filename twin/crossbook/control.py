"""What other terminals do with a running twin: find it, ask how it is, stop it, forget it."""

import asyncio
import os
import signal
import time
from dataclasses import dataclass

from crossbook import readiness
from crossbook.errors import NotRunningError, ProcessError, SetupError
from crossbook.processes import Report, end_strays
from crossbook.state import Running, RunningProcess, StateDirectory, is_alive

GATEWAY_VARIABLE = "CROSSBOOK_GATEWAY_URL"
STOP_TIMEOUT_S = 240.0
POLL_S = 0.1
STRAYS_PATIENCE_S = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class ProcessState:
    """How one process is now. `uptime_s` is in seconds, 0 when it is down."""

    process: RunningProcess
    is_alive: bool
    is_ready: bool
    uptime_s: float


def running(state: StateDirectory) -> Running:
    """The twin that runs with this directory; raises NotRunningError."""
    found = state.read_running()
    if found is None or not is_alive(found.supervisor):
        raise NotRunningError(f"no twin with the state directory {state.path} is running: `crossbook up` starts one")
    return found


def exchange(state: StateDirectory) -> dict[str, str]:
    """The variables that lead to an exchange: this process's own if they name one, as they do in a container beside
    it, else those of the twin that runs with the directory. Raises NotRunningError."""
    return dict(os.environ) if GATEWAY_VARIABLE in os.environ else running(state).environment


async def probe(twin: Running) -> list[ProcessState]:
    """How each process is, asked of the process itself."""
    return list(await asyncio.gather(*(_probe(process) for process in twin.processes)))


def stop(state: StateDirectory, *, report: Report) -> bool:
    """Ask the running twin to stop, and wait until it has; whether there was one. Raises ProcessError after a while.

    What a killed supervisor left behind is ended as well.
    """
    found = state.read_running()
    if found is None:
        return False
    was_running = is_alive(found.supervisor)
    if was_running:
        os.kill(found.supervisor.pid, signal.SIGTERM)
        deadline_s = time.monotonic() + STOP_TIMEOUT_S
        while is_alive(found.supervisor):
            if time.monotonic() > deadline_s:
                raise ProcessError(f"the supervisor {found.supervisor.pid} did not stop in {STOP_TIMEOUT_S:.0f} s")
            time.sleep(POLL_S)
    with state.locked():
        asyncio.run(end_strays(found.processes, patience_s=STRAYS_PATIENCE_S, report=report))
        state.clear_running()
    return was_running


def wipe(state: StateDirectory) -> None:
    """Delete the directory; raises AlreadyRunningError while a twin holds it."""
    if not state.path.exists():
        return
    if not state.is_of_a_twin:
        raise SetupError(f"{state.path} is not the state directory of a twin: nothing was deleted")
    with state.locked():
        state.wipe()


async def _probe(process: RunningProcess) -> ProcessState:
    alive = is_alive(process)
    return ProcessState(
        process=process,
        is_alive=alive,
        is_ready=alive and await readiness.is_ready(process.port, process.ready_path),
        uptime_s=max(0.0, time.time() - process.started_at_s) if alive else 0.0,
    )
