"""Group commit: one slow write for all that arrived while the last one was in flight.

The one helper behind the gateway's holds and sends, the matcher's slots and the persister's settlements (DESIGN.md
section 4). An idle system adds no waiting: the first item is written at once; a busy one writes fewer, larger groups.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from typing import Generic, TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


class QueueFullError(Exception):
    """More is waiting than allowed: refuse, or slow down."""


class GroupCommit(Generic[Item, Result]):
    """Collects items and writes them in groups, in order of arrival, one group at a time.

    `write` gets at most `max_items` items whose sizes add up to at most `max_size` (a larger single item goes
    alone), and returns one result an item, in order; an Exception among the results is raised to that item's
    submitter, and one raised by `write` to all of its group. Lifecycle: `async with`; leaving it writes what waits,
    then ends; being cancelled while leaving gives up, and cancels what waits. At most `max_waiting` items wait; more
    raise QueueFullError.
    """

    def __init__(
        self,
        write: Callable[[Sequence[Item]], Awaitable[Sequence[Result | Exception]]],
        *,
        max_items: int,
        max_size: int,
        max_waiting: int,
        size_of: Callable[[Item], int],
    ) -> None:
        assert 0 < max_items and 0 < max_size and 0 < max_waiting
        self._write = write
        self._max_items = max_items
        self._max_size = max_size
        self._max_waiting = max_waiting
        self._size_of = size_of
        self._waiting: deque[tuple[Item, int, asyncio.Future[Result]]] = deque()
        self._wake = asyncio.Event()
        self._is_closing = False
        self._worker: asyncio.Task[None] | None = None

    @property
    def depth(self) -> int:
        """How many items wait."""
        return len(self._waiting)

    async def __aenter__(self) -> "GroupCommit[Item, Result]":
        self._worker = asyncio.create_task(self._run())
        return self

    async def __aexit__(self, *_: object) -> None:
        self._is_closing = True
        self._wake.set()
        assert self._worker is not None
        await self._worker

    def submit(self, item: Item) -> asyncio.Future[Result]:
        """Queue the item; the future resolves when its group was written. Order of calls is order of writing.

        A submitter that is cancelled does not take its item back: what was promised to be written is written.
        """
        assert self._worker is not None and not self._is_closing, "submit only while it is open"
        if len(self._waiting) >= self._max_waiting:
            raise QueueFullError(f"{self._max_waiting} items are waiting")
        future: asyncio.Future[Result] = asyncio.get_running_loop().create_future()
        self._waiting.append((item, self._size_of(item), future))
        self._wake.set()
        return future

    async def _run(self) -> None:
        try:
            while True:
                await self._wake.wait()
                self._wake.clear()
                while self._waiting:
                    await self._write_group(self._next_group())
                if self._is_closing:
                    return
        finally:
            for _, _, future in self._waiting:
                future.cancel()

    def _next_group(self) -> list[tuple[Item, int, asyncio.Future[Result]]]:
        group = [self._waiting.popleft()]
        size = group[0][1]
        while self._waiting and len(group) < self._max_items and size + self._waiting[0][1] <= self._max_size:
            group.append(self._waiting.popleft())
            size += group[-1][1]
        return group

    async def _write_group(self, group: list[tuple[Item, int, asyncio.Future[Result]]]) -> None:
        try:
            results = await self._write([item for item, _, _ in group])
            assert len(results) == len(group), "one result an item"
        except asyncio.CancelledError:
            for _, _, future in group:
                future.cancel()
            raise
        except Exception as error:  # every submitter must hear of it
            for _, _, future in group:
                if not future.done():
                    future.set_exception(error)
            return
        for (_, _, future), result in zip(group, results, strict=True):
            if future.done():
                continue
            if isinstance(result, Exception):
                future.set_exception(result)
            else:
                future.set_result(result)
