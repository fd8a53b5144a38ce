"""A store as a process reaches it: over a wire. What was sent goes on by itself, whatever becomes of the sender.

A call runs in the cloud, not in the caller's process. So a request whose sender was killed, was paused or lost patience
may still take effect, also later, when somebody else has gone on: the case that no cancellation in one process shows.
"""

import asyncio
import inspect
from collections.abc import Callable, Coroutine
from contextvars import Context
from typing import Any, Final

Listener = Callable[[str, str], None]
"""Hears (process, what it asked) of every call as it is answered, or as its answer finds nobody."""


_TOLD: Final = (str, int)
"""Arguments that say what is asked for: calls in another order are another story."""


class Remote:
    """Stands for `store`. Its coroutine methods run in the cloud; all else is the store's own."""

    def __init__(self, store: Any, process: str, heard: Listener) -> None:
        self._store = store
        self._process = process
        self._heard = heard

    def __getattr__(self, name: str) -> Any:
        attribute = getattr(self._store, name)
        if not inspect.iscoroutinefunction(attribute):
            return attribute
        process, heard = self._process, self._heard

        async def call(*arguments: Any, **options: Any) -> Any:
            loop = asyncio.get_running_loop()
            reply: asyncio.Future[tuple[Any, BaseException | None]] = loop.create_future()
            work = _serve(attribute(*arguments, **options), reply)
            loop.create_task(work, context=Context())  # noqa: RUF006 - the loop keeps it
            result, error = await reply
            asked = " ".join([name, *[str(one) for one in arguments if type(one) in _TOLD]])
            heard(process, asked if error is None else f"{asked}: {type(error).__name__}")
            if error is not None:
                raise error
            return result

        self.__dict__[name] = call
        return call


async def _serve(work: Coroutine[Any, Any, Any], reply: "asyncio.Future[tuple[Any, BaseException | None]]") -> None:
    """The answer travels as a value: one that nobody waits for any more is no error."""
    try:
        result, error = await work, None
    except Exception as failure:
        result, error = None, failure
    if not reply.done():
        reply.set_result((result, error))
