"""An event loop whose time jumps to the next timer as soon as nothing is left to do.

A test that waits five virtual minutes takes no real time. Deterministic: callbacks run in the order they were
scheduled, timers by their due time, and tasks and futures hash by the order they were made in, not by their address,
so that no set of them (in TaskGroup, gather, wait) is walked in an order of chance. There are no sockets and no
threads here: what waits for one would wait for ever, and a loop with nothing left to wait for raises DeadlockError.
"""

import asyncio
import heapq
from collections.abc import Callable, Coroutine, Generator
from functools import wraps
from typing import Any, Final, ParamSpec, TypeVar

Result = TypeVar("Result")
Arguments = ParamSpec("Arguments")


TURNS_MAX: Final = 500_000
"""More turns of the loop than this at one moment of virtual time are a circle."""


class DeadlockError(RuntimeError):
    """Every task waits and no timer will ever wake one; or all run in circles, and time does not go on."""


class _NumberedTask(asyncio.Task[Any]):
    def __init__(self, number: int, *arguments: Any, **options: Any) -> None:
        self._number = number  # first: the parent's constructor hashes the task
        super().__init__(*arguments, **options)

    def __hash__(self) -> int:
        return self._number


class _NumberedFuture(asyncio.Future[Any]):
    def __init__(self, number: int, loop: asyncio.AbstractEventLoop) -> None:
        self._number = number
        super().__init__(loop=loop)

    def __hash__(self) -> int:
        return self._number


class VirtualTimeLoop(asyncio.BaseEventLoop):
    """Starts at time 0 s."""

    def __init__(self) -> None:
        super().__init__()
        self._now_s = 0.0
        self._made = 0
        self._turns_without_time = 0
        self.set_task_factory(self._make_task)

    def time(self) -> float:
        """Virtual seconds since the loop was made."""
        return self._now_s

    def _run_once(self) -> None:
        """One turn: time jumps to the next timer if nothing is ready; then all that is ready, and nothing that comes of
        it, is called."""
        ready, timers = self._ready, self._scheduled  # type: ignore[attr-defined]
        while timers and (timers[0]._cancelled or timers[0]._when <= self._now_s or not ready):
            timer = heapq.heappop(timers)
            timer._scheduled = False
            if timer._cancelled:
                continue
            if timer._when > self._now_s:
                self._now_s, self._turns_without_time = timer._when, 0
            ready.append(timer)
        if not ready:
            if self._stopping:  # type: ignore[attr-defined]
                return
            raise DeadlockError("nothing is left to happen")
        self._turns_without_time += 1
        if self._turns_without_time > TURNS_MAX:
            raise DeadlockError(f"time stands still at {self._now_s} s: something runs in circles")
        for _ in range(len(ready)):
            handle = ready.popleft()
            if not handle._cancelled:
                handle._run()

    def create_future(self) -> asyncio.Future[Any]:
        """A future that hashes by its number."""
        return _NumberedFuture(self._next_number(), self)

    def _make_task(
        self,
        loop: asyncio.AbstractEventLoop,
        coroutine: Coroutine[Any, Any, Result] | Generator[Any, None, Result],
        **options: Any,
    ) -> asyncio.Task[Result]:
        return _NumberedTask(self._next_number(), coroutine, loop=loop, **options)

    def _next_number(self) -> int:
        self._made += 1
        return self._made

    def _write_to_self(self) -> None:
        raise RuntimeError("no thread may wake a virtual loop: its time would not be its own")


def run_virtual(main: Coroutine[Any, Any, Result]) -> Result:
    """Run `main` in a new virtual-time loop, cancel what it left behind, and close the loop."""
    loop = VirtualTimeLoop()
    try:
        return loop.run_until_complete(main)
    finally:
        try:
            left = asyncio.all_tasks(loop)
            for task in left:
                task.cancel()
            if left:
                loop.run_until_complete(asyncio.gather(*left, return_exceptions=True))
            loop.run_until_complete(loop.shutdown_asyncgens())
        finally:
            loop.close()


def in_virtual_time(
    scenario: Callable[Arguments, Coroutine[Any, Any, Result]],
) -> Callable[Arguments, Result]:
    """Decorates an async function (a test) to run in a virtual-time loop of its own."""

    @wraps(scenario)
    def run(*arguments: Arguments.args, **options: Arguments.kwargs) -> Result:
        return run_virtual(scenario(*arguments, **options))

    return run
