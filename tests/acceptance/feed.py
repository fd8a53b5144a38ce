"""One connection to the WebSocket: what it was told, in order."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from decimal import Decimal
from typing import Any, Final

import aiohttp

PATIENCE_S: Final = 30.0
Message = dict[str, Any]


class Feed:
    """`messages` in the order in which they came, numbers exact."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self.messages: list[Message] = []
        self._socket = socket
        self._came = asyncio.Condition()

    async def says(self, **message: Any) -> None:
        """Send an action."""
        await self._socket.send_json(message)

    async def hears(self, event: str, is_it: Callable[[Message], bool] = lambda _: True) -> Message:
        """Wait for the first message of an event, new or old, that is the one."""

        def found() -> list[Message]:
            return [message for message in self.messages if message.get("event") == event and is_it(message)]

        try:
            async with asyncio.timeout(PATIENCE_S), self._came:
                return (await self._came.wait_for(found))[0]
        except TimeoutError:
            raise AssertionError(f"no such {event} among {self.messages}") from None

    def heard(self, event: str) -> list[Message]:
        """All messages of an event so far."""
        return [message for message in self.messages if message.get("event") == event]

    async def listen(self) -> None:
        """Take in messages until the connection ends."""
        async for frame in self._socket:
            if frame.type is aiohttp.WSMsgType.TEXT:
                async with self._came:
                    self.messages.append(json.loads(frame.data, parse_float=Decimal))
                    self._came.notify_all()


@asynccontextmanager
async def connected(session: aiohttp.ClientSession, url: str) -> AsyncIterator[Feed]:
    """A connection, listening from its first message on."""
    async with session.ws_connect(url) as socket:
        feed = Feed(socket)
        listening = asyncio.create_task(feed.listen())
        try:
            yield feed
        finally:
            await socket.close()
            listening.cancel()
            await asyncio.wait([listening])
