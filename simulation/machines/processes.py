"""Processes on a virtual-time loop: groups of tasks that can be killed, paused and woken like real ones.

Which process a callback belongs to stands in its context, which every task, timer and future hands on by itself. A kill
is no cancellation: the callbacks of a dead process are dropped, so none of its `finally` blocks runs. A paused
process's callbacks wait, its timers go off late, and the world goes on meanwhile.
"""

import asyncio
from collections.abc import Callable, Coroutine
from contextvars import Context, ContextVar
from enum import Enum, auto
from typing import Any, Final, TypeVar

from exchange_adapters.sim.virtual_time import VirtualTimeLoop

_PROCESS: Final[ContextVar["Process"]] = ContextVar("simulated_process")
_DISPOSAL_S: Final = 120.0
_FIRST_PRUNING: Final = 512

Result = TypeVar("Result")


class State(Enum):
    """What becomes of a process's callbacks."""

    RUNNING = auto()
    PAUSED = auto()
    DEAD = auto()


_RUNNING: Final = State.RUNNING


class Process:
    """One process of a host. `on_kill` hears of its death: what the operating system closes for it."""

    def __init__(self, loop: "SimulationLoop", name: str, on_kill: Callable[[], None] = lambda: None) -> None:
        self._loop = loop
        self.name = name
        self.state = State.RUNNING
        self.context = Context()
        self.context.run(_PROCESS.set, self)
        self._on_kill = on_kill
        self._backlog: list[asyncio.Handle] = []

    def start(self, main: Coroutine[Any, Any, Result]) -> asyncio.Task[Result]:
        """Run `main` in this process."""
        return self._loop.create_task(main, context=self.context)

    def kill(self) -> None:
        """As SIGKILL: nothing of it is ever called again."""
        if self.state is not State.DEAD:
            self._loop.keep_all()
            self.state = State.DEAD
            self._on_kill()

    def pause(self) -> None:
        """As SIGSTOP."""
        if self.state is State.RUNNING:
            self.state = State.PAUSED

    def wake(self) -> None:
        """As SIGCONT: what came meanwhile happens now, in order."""
        if self.state is State.PAUSED:
            self.bury()

    def bury(self) -> None:
        """Let what was kept back happen: of a dead process only after the world has ended and its tasks were cancelled,
        so that nothing of it is left in memory."""
        self.state = State.RUNNING
        backlog, self._backlog = self._backlog, []
        for handle in backlog:
            self._loop.resume(handle)

    def admits(self, handle: asyncio.Handle) -> bool:
        """Whether the callback may be called now; otherwise it is kept."""
        if self.state is State.RUNNING:
            return True
        self._backlog.append(handle)
        return False


def _run_if_admitted(handle: Any) -> None:
    """What a handle does when its turn comes: a callback that fails is told to the loop, as the base class has it."""
    process = handle._context.get(_PROCESS)
    if process is None or process.state is _RUNNING or process.admits(handle):
        try:
            handle._context.run(handle._callback, *handle._args)
        except (SystemExit, KeyboardInterrupt):
            raise
        except BaseException as error:  # a task's own errors are in the task
            handle._loop.call_exception_handler(
                {"message": f"{handle._callback!r} failed", "exception": error, "handle": handle}
            )


class _Handle(asyncio.Handle):
    _run = _run_if_admitted


class _TimerHandle(asyncio.TimerHandle):
    _run = _run_if_admitted


class SimulationLoop(VirtualTimeLoop):
    """A virtual-time loop that knows processes. `network` answers for its listening and connecting.

    It keeps every task that is not done: a task of a dead process that were collected as garbage would run its
    `finally` blocks after all.
    """

    Handle = _Handle
    TimerHandle = _TimerHandle

    def __init__(self) -> None:
        super().__init__()
        self._kept: list[asyncio.Task[Any]] = []
        self._prune_at = _FIRST_PRUNING
        self.processes: list[Process] = []
        self.listen: Callable[..., Any] | None = None
        self.faults: list[dict[str, Any]] = []
        self.set_exception_handler(lambda _, context: self.faults.append(context))

    def process(self, name: str, on_kill: Callable[[], None] = lambda: None) -> Process:
        """A new process without tasks."""
        made = Process(self, name, on_kill)
        self.processes.append(made)
        return made

    def resume(self, handle: asyncio.Handle) -> None:
        """Call a callback after those that are ready."""
        self._waiting.append(handle)

    def create_task(  # type: ignore[override]
        self, coro: Coroutine[Any, Any, Result], *, name: str | None = None, context: Context | None = None
    ) -> asyncio.Task[Result]:
        """As the base class does it, and kept."""
        task = super().create_task(coro, name=name, context=context)
        self._kept.append(task)
        if len(self._kept) >= self._prune_at:
            self._kept = [one for one in self._kept if not one.done()]
            self._prune_at = max(_FIRST_PRUNING, 2 * len(self._kept))
        return task

    def keep_all(self) -> None:
        """Keep also the tasks that were not made by `create_task`, as aiohttp's are from Python 3.12 on."""
        known = set(map(id, self._kept))
        self._kept += [task for task in asyncio.all_tasks(self) if id(task) not in known]

    async def create_server(self, protocol_factory: Any, host: Any = None, port: Any = None, **_: Any) -> Any:
        """Listen in the simulated network."""
        assert self.listen is not None, "this loop has no network"
        return self.listen(protocol_factory, host, port)

    def dispose(self) -> None:
        """End what is left, the dead and the living, and close."""
        try:
            self.keep_all()
            left = [task for task in self._kept if not task.done()]
            for task in left:
                task.cancel()
            for process in self.processes:
                process.bury()
            if left:
                self.run_until_complete(self._end_all())
            self.run_until_complete(self.shutdown_asyncgens())
        finally:
            self._kept.clear()
            self.close()

    async def _end_all(self) -> None:
        """Cancelled tasks may need to be told twice, as those of real programs do; some start others as they end."""
        deadline_s = self.time() + _DISPOSAL_S
        me = asyncio.current_task()
        while pending := [task for task in self._kept if not task.done() and task is not me]:
            assert self.time() < deadline_s, f"these do not end: {pending}"
            await asyncio.wait(pending, timeout=1.0)
            self.keep_all()
            for task in pending:
                task.cancel()


def current_process() -> Process | None:
    """The process that is running now; None for the world itself."""
    return _PROCESS.get(None)


__all__ = ["Process", "SimulationLoop", "State", "current_process"]
