"""Runs the processes of a twin: starts them in order, starts them again when they die, stops them in reverse.

Each child leads a session of its own, so that Ctrl-C reaches the supervisor only; each is told by the kernel when the
supervisor dies (Linux), so that none outlives it; each writes straight to its log file, so that neither a slow nor a
dead supervisor ever blocks it.
"""

import asyncio
import contextlib
import ctypes
import os
import signal
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from crossbook import readiness
from crossbook.errors import ProcessError
from crossbook.state import RunningProcess, is_alive, process_start_time_s

READY_POLL_S = 0.05
BACKOFF_FIRST_S = 0.2
BACKOFF_LAST_S = 5.0
STEADY_S = 20.0
"""Up for this long, a child has recovered: its next death is answered by the first back-off again."""
KILL_TIMEOUT_S = 5.0
LOG_TAIL_LINES = 15
LOG_BYTES_MAX = 64 * 1024 * 1024
PR_SET_PDEATHSIG = 1

Report = Callable[[str], None]


def ignore_report(_: str) -> None:
    """Report to nobody."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ProcessSpec:
    """How one process is started, known to be ready, and stopped.

    `become` runs in the child before the program does, to change its user. A process that `is_replaceable` is started
    again when it dies; the death of another is the end of the whole twin. Time-outs are in seconds.
    """

    name: str
    command: tuple[str, ...]
    environment: Mapping[str, str]
    port: int
    zone: str = ""
    ready_path: str = ""
    is_ready: Callable[[], Awaitable[bool]] | None = None
    become: Callable[[], None] | None = None
    stop_signal: signal.Signals = signal.SIGTERM
    stop_timeout_s: float = 15.0
    ready_timeout_s: float = 60.0
    is_replaceable: bool = True
    directory: Path | None = None


def tie_to_supervisor(supervisor_pid: int, death_signal: signal.Signals) -> None:
    """In the child: be sent the signal when the supervisor dies. A no-op where the kernel cannot do it."""
    if sys.platform != "linux":
        return
    _LIBC.prctl(PR_SET_PDEATHSIG, int(death_signal), 0, 0, 0)
    if os.getppid() != supervisor_pid:
        os._exit(1)  # it died before the kernel was asked


_LIBC = ctypes.CDLL(None, use_errno=True)


@dataclass(slots=True, kw_only=True)
class Child:
    """One supervised process, through all its lives. `variables` are what this one has besides its own."""

    spec: ProcessSpec
    log: Path
    restarts: int = 0
    variables: dict[str, str] = field(default_factory=dict)
    next_variables: dict[str, str] = field(default_factory=dict)
    started_at_s: float = 0.0
    process: asyncio.subprocess.Process | None = None
    keeper: asyncio.Task[None] | None = field(default=None)

    @property
    def pid(self) -> int:
        """Its process id, 0 while it is down."""
        return self.process.pid if self.process is not None and self.process.returncode is None else 0

    def describe(self) -> RunningProcess:
        """What other terminals are told about it."""
        return RunningProcess(
            name=self.spec.name,
            pid=self.pid,
            started_at_s=self.started_at_s,
            port=self.spec.port,
            restarts=self.restarts,
            zone=self.spec.zone,
            ready_path=self.spec.ready_path,
        )

    async def spawn(self) -> None:
        """Start the program, its output appended to the log."""
        self._trim_log()
        supervisor_pid, spec = os.getpid(), self.spec
        self.variables, self.next_variables = self.next_variables, {}

        def prepare() -> None:
            if spec.become is not None:
                spec.become()
            tie_to_supervisor(supervisor_pid, spec.stop_signal)

        with self.log.open("ab") as output:
            self.process = await asyncio.create_subprocess_exec(
                *spec.command,
                env={**spec.environment, **self.variables},
                cwd=spec.directory,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                preexec_fn=prepare,
            )
        self.started_at_s = process_start_time_s(self.process.pid)

    async def wait_ready(self) -> None:
        """Return once it is ready; raises ProcessError when it ends before, or takes too long."""
        assert self.process is not None
        try:
            async with asyncio.timeout(self.spec.ready_timeout_s):
                while not await self._is_ready():
                    if self.process.returncode is not None:
                        raise ProcessError(self._complaint(f"ended with {_outcome(self.process.returncode)}"))
                    await asyncio.sleep(READY_POLL_S)
        except TimeoutError:
            limit_s = self.spec.ready_timeout_s
            raise ProcessError(self._complaint(f"was not ready within {limit_s:.0f} s")) from None

    async def stop(self) -> None:
        """End it in good order, by force when it takes too long."""
        if self.keeper is not None:
            self.keeper.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self.keeper
        if self.process is None:
            return
        if self.pid:
            with contextlib.suppress(ProcessLookupError):
                self.process.send_signal(self.spec.stop_signal)
            try:
                async with asyncio.timeout(self.spec.stop_timeout_s):
                    await self.process.wait()
            except TimeoutError:
                with contextlib.suppress(ProcessLookupError):
                    self.process.kill()
                await self.process.wait()
        self.end_group()

    def end_group(self) -> None:
        """Kill what the ended process left behind in its session."""
        assert self.process is not None
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.process.pid, signal.SIGKILL)

    async def _is_ready(self) -> bool:
        if self.spec.is_ready is not None:
            return await self.spec.is_ready()
        return await readiness.is_ready(self.spec.port, self.spec.ready_path)

    def _complaint(self, what: str) -> str:
        tail = self.log.read_text(errors="replace").splitlines()[-LOG_TAIL_LINES:]
        return "\n  ".join([f"{self.spec.name} {what}; the end of {self.log}:", *tail])

    def _trim_log(self) -> None:
        if self.log.exists() and self.log.stat().st_size > LOG_BYTES_MAX:
            self.log.replace(self.log.with_suffix(".log.1"))


def _outcome(return_code: int) -> str:
    return f"signal {signal.Signals(-return_code).name}" if return_code < 0 else f"exit status {return_code}"


class Supervisor:
    """All children of a twin. `failure` is done, with a message, when a child died that cannot be replaced."""

    def __init__(
        self, *, logs: Path, report: Report = ignore_report, changed: Callable[[], None] = lambda: None
    ) -> None:
        self._logs = logs
        self._report = report
        self._changed = changed
        self._children: list[Child] = []
        self.failure: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        logs.mkdir(parents=True, exist_ok=True)

    @property
    def processes(self) -> tuple[RunningProcess, ...]:
        """Every child as it is now, in order of start."""
        return tuple(child.describe() for child in self._children)

    def find(self, name: str) -> Child:
        """The child of that name; raises KeyError."""
        for child in self._children:
            if child.spec.name == name:
                return child
        raise KeyError(name)

    async def start(self, *specs: ProcessSpec) -> None:
        """Start these side by side and return when all are ready; raises ProcessError when one is not."""
        started = [Child(spec=spec, log=self._logs / f"{spec.name}.log") for spec in specs]
        for child in started:
            await child.spawn()
            self._children.append(child)
        self._changed()
        for child in started:
            await child.wait_ready()
            child.keeper = asyncio.create_task(self._keep(child), name=f"keep {child.spec.name}")

    async def hold(self, name: str) -> None:
        """Stop one child in good order; it stays down until `resume`. Raises KeyError."""
        await self.find(name).stop()
        self._changed()

    async def resume(self, name: str) -> None:
        """Start a held child again; returns when it is ready. Raises KeyError and ProcessError."""
        child = self.find(name)
        await child.spawn()
        self._changed()
        await child.wait_ready()
        child.keeper = asyncio.create_task(self._keep(child), name=f"keep {child.spec.name}")

    def arm(self, name: str, **variables: str) -> None:
        """The next time the child starts, and only then, it is given these variables too. Raises KeyError."""
        self.find(name).next_variables = variables

    async def stop(self) -> None:
        """Stop all children, the last started first. Safe to call again."""
        while self._children:
            await self._children[-1].stop()
            self._children.pop()
            self._changed()
        if not self.failure.done():
            self.failure.cancel()

    async def _keep(self, child: Child) -> None:
        backoff_s = BACKOFF_FIRST_S
        while True:
            assert child.process is not None
            spawned_at_s = time.monotonic()
            return_code = await child.process.wait()
            child.end_group()
            self._changed()
            if not child.spec.is_replaceable:
                self._fail(f"{child.spec.name} died ({_outcome(return_code)}) and cannot be replaced")
                return
            if child.variables or time.monotonic() - spawned_at_s > STEADY_S:  # armed, it died as it was told to
                backoff_s = BACKOFF_FIRST_S
            self._report(f"{child.spec.name} DIED ({_outcome(return_code)}); starting it again in {backoff_s:.1f} s")
            await asyncio.sleep(backoff_s)
            backoff_s = min(backoff_s * 2, BACKOFF_LAST_S)
            await self._respawn(child)

    async def _respawn(self, child: Child) -> None:
        child.restarts += 1
        await child.spawn()
        self._changed()
        try:
            await child.wait_ready()
        except ProcessError as error:
            self._report(str(error))
        else:
            self._report(f"{child.spec.name} is back (restart {child.restarts})")

    def _fail(self, message: str) -> None:
        if not self.failure.done():
            self.failure.set_result(message)


async def end_strays(
    processes: tuple[RunningProcess, ...], *, patience_s: float, report: Report = ignore_report
) -> None:
    """End what a killed supervisor left: most of it is ending already, told so by the kernel; the rest is made to."""
    strays = [process for process in processes if is_alive(process)]
    if not strays:
        return
    report("waiting for what a killed twin left: " + ", ".join(process.name for process in strays))
    if sys.platform != "linux":
        _signal_all(strays, signal.SIGTERM)
    if not await _all_gone(strays, patience_s):
        _signal_all(strays, signal.SIGKILL)
        await _all_gone(strays, KILL_TIMEOUT_S)


async def _all_gone(processes: list[RunningProcess], timeout_s: float) -> bool:
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(timeout_s):
            while any(is_alive(process) for process in processes):
                await asyncio.sleep(READY_POLL_S)
            return True
    return False


def _signal_all(processes: list[RunningProcess], number: signal.Signals) -> None:
    for process in processes:
        if is_alive(process):
            with contextlib.suppress(ProcessLookupError):
                os.kill(process.pid, number)
