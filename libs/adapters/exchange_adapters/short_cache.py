"""A store's answers, remembered for seconds: what spares a read per request, and forgets what was revoked.

Whoever hears that a key's answer has changed calls `forget`; who does not hear it asks again after `age_max_s`.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

from exchange_core.errors import Unavailable

Value = TypeVar("Value")


class ShortCache(Generic[Value]):
    """Reads by `read`, which answers None for what does not exist; that is not remembered. Bounded."""

    def __init__(self, read: Callable[[str], Awaitable[Value | None]], *, age_max_s: float, size_max: int) -> None:
        self._read = read
        self._age_max_s = age_max_s
        self._size_max = size_max
        self._known: OrderedDict[str, tuple[Value, float]] = OrderedDict()
        self._asking: dict[str, tuple[asyncio.Future[Value | None], float]] = {}

    async def get(self, key: str) -> Value | None:
        """The store's answer, at most `age_max_s` old. Raises what `read` raises."""
        entry = self._known.get(key)
        if entry is not None and asyncio.get_running_loop().time() < entry[1]:
            return entry[0]
        return await self._ask(key)

    def forget(self, key: str) -> None:
        """Ask the store the next time; an answer that is on its way is not kept."""
        self._known.pop(key, None)
        self._asking.pop(key, None)

    async def _ask(self, key: str) -> Value | None:
        """Read the store; those who come meanwhile wait for the same answer, unless it may be too old for them."""
        loop = asyncio.get_running_loop()
        asked = self._asking.get(key)
        if asked is not None and loop.time() < asked[1]:
            return await asyncio.shield(asked[0])
        answer: asyncio.Future[Value | None] = loop.create_future()
        expires_s = loop.time() + self._age_max_s
        asking = self._asking[key] = (answer, expires_s)
        try:
            value = await self._read(key)
        except BaseException as error:
            answer.set_exception(error if isinstance(error, Exception) else Unavailable("its asker gave up"))
            answer.exception()  # it is raised here; those who wait raise it as well
            raise
        else:
            answer.set_result(value)
            if value is not None and self._asking.get(key) is asking:
                self._known[key] = (value, expires_s)
                self._known.move_to_end(key)
                if len(self._known) > self._size_max:
                    self._known.popitem(last=False)
            return value
        finally:
            if self._asking.get(key) is asking:
                del self._asking[key]
