"""An event loop whose time jumps to the next timer as soon as nothing is left to do.

A test that waits five virtual minutes takes no real time. Deterministic: callbacks run in the order they were
scheduled, timers by their due time, and tasks and futures hash by the order they were made in, not by their address,
so that no set of them (in TaskGroup, gather, wait) is walked in an order of chance. There are no sockets and no
threads here: what waits for one would wait for ever, and a loop with nothing left to wait for raises DeadlockError.
"""

import asyncio
import heapq
from collections import deque
from collections.abc import Callable, Coroutine
from contextvars import Context
from functools import wraps
from typing import Any, Final, ParamSpec, TypeVar

Result = TypeVar("Result")
Arguments = ParamSpec("Arguments")


TURNS_MAX: Final = 500_000
"""More turns of the loop than this at one moment of virtual time are a circle."""


class DeadlockError(RuntimeError):
    """Every task waits and no timer will ever wake one; or all run in circles, and time does not go on."""


class _NumberedTask(asyncio.Task[Any]):
    def __hash__(self) -> int:
        return _number_of(self)


class _NumberedFuture(asyncio.Future[Any]):
    def __hash__(self) -> int:
        return _number_of(self)


def _number_of(future: Any) -> int:
    """Given when it is first asked for: most futures are in no set, and a story repeats who is asked when."""
    try:
        return int(future.number)
    except AttributeError:
        loop: VirtualTimeLoop = future.get_loop()
        loop.numbered += 1
        future.number = loop.numbered
        return loop.numbered


class VirtualTimeLoop(asyncio.BaseEventLoop):
    """Starts at time 0 s. `Handle` and `TimerHandle` are what its callbacks wait as."""

    Handle: type[asyncio.Handle] = asyncio.Handle
    TimerHandle: type[asyncio.TimerHandle] = asyncio.TimerHandle

    def __init__(self) -> None:
        super().__init__()
        self._now_s = 0.0
        self._waiting: deque[asyncio.Handle] = self._ready  # type: ignore[attr-defined]
        self._timers: list[tuple[float, int, asyncio.TimerHandle]] = []
        """(due time, number, handle): as tuples they are compared in C"""
        self._timers_made = 0
        self._turns_without_time = 0
        self.numbered = 0

    def time(self) -> float:
        """Virtual seconds since the loop was made."""
        return self._now_s

    def leap(self, seconds: float) -> None:
        """Let so much time pass in which nothing happens: all that falls due in it happens behind it, in order."""
        self._now_s += seconds

    def _run_once(self) -> None:
        """One turn: time jumps to the next timer if nothing is ready; then all that is ready, and nothing that comes of
        it, is called."""
        ready, timers = self._waiting, self._timers
        while timers and (timers[0][0] <= self._now_s or not ready or timers[0][2]._cancelled):
            when, _, timer = heapq.heappop(timers)
            if timer._cancelled:
                continue
            if when > self._now_s:
                self._now_s, self._turns_without_time = when, 0
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

    def call_soon(  # type: ignore[override]
        self, callback: Any, *args: Any, context: Context | None = None
    ) -> asyncio.Handle:
        """In the next turn."""
        self._check_closed()  # type: ignore[attr-defined]
        handle = self.Handle(callback, args, self, context)
        self._waiting.append(handle)
        return handle

    def call_later(  # type: ignore[override]
        self, delay: float, callback: Any, *args: Any, context: Context | None = None
    ) -> asyncio.TimerHandle:
        """In `delay` virtual seconds."""
        return self.call_at(self._now_s + delay, callback, *args, context=context)

    def call_at(  # type: ignore[override]
        self, when: float, callback: Any, *args: Any, context: Context | None = None
    ) -> asyncio.TimerHandle:
        """At that virtual second; of those of one moment the first made is the first called."""
        self._check_closed()  # type: ignore[attr-defined]
        timer = self.TimerHandle(when, callback, args, self, context)
        self._timers_made += 1
        heapq.heappush(self._timers, (when, self._timers_made, timer))
        return timer

    def create_future(self) -> asyncio.Future[Any]:
        """A future that hashes by its number."""
        return _NumberedFuture(loop=self)

    def create_task(  # type: ignore[override]
        self, coro: Coroutine[Any, Any, Result], *, name: str | None = None, context: Context | None = None
    ) -> asyncio.Task[Result]:
        """A task that hashes by its number."""
        self._check_closed()  # type: ignore[attr-defined]
        return _NumberedTask(coro, loop=self, name=name, context=context)

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
