"""A TCP proxy that breaks connections off, before or after what was sent has reached the other side."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from enum import Enum, auto


class Cut(Enum):
    """Where connections break."""

    NOWHERE = auto()
    BEFORE_SENDING = auto()
    """The request is swallowed and the connection closed: nothing happened."""
    BEFORE_ANSWERING = auto()
    """The request is served, and the connection is closed in place of the answer: it happened."""
    SILENCE = auto()
    """The request is served, and no answer ever comes."""


class DroppingProxy:
    """Passes bytes between its own port on loopback and `target_port`; `cut` may be changed at any time, and so may
    `target_port`, for connections to come.

    `accepted` counts the connections so far.
    """

    def __init__(self, target_port: int) -> None:
        self.cut = Cut.NOWHERE
        self.port = 0
        self.accepted = 0
        self.target_port = target_port
        self._server: asyncio.Server | None = None
        self._serving: set[asyncio.Task[None]] = set()

    @contextlib.asynccontextmanager
    async def serving(self) -> AsyncIterator["DroppingProxy"]:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        try:
            yield self
        finally:
            await self.close()

    async def close(self) -> None:
        """End all connections; new ones are refused from now on."""
        assert self._server is not None
        self._server.close()
        self.drop()
        await asyncio.gather(*self._serving, return_exceptions=True)

    def drop(self) -> None:
        """End all connections; new ones are taken."""
        for task in list(self._serving):
            task.cancel()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._serving.add(task)
        self.accepted += 1
        task.add_done_callback(self._serving.discard)
        with contextlib.closing(writer), contextlib.suppress(OSError, asyncio.CancelledError):
            target_reader, target_writer = await asyncio.open_connection("127.0.0.1", self.target_port)
            with contextlib.closing(target_writer):
                await self._pass_on(reader, writer, target_reader, target_writer)

    async def _pass_on(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        target_reader: asyncio.StreamReader,
        target_writer: asyncio.StreamWriter,
    ) -> None:
        async def forward() -> None:
            while data := await reader.read(65536):
                if self.cut is Cut.BEFORE_SENDING:
                    return
                target_writer.write(data)
                await target_writer.drain()

        async def backward() -> None:
            while data := await target_reader.read(65536):
                if self.cut is Cut.BEFORE_ANSWERING:
                    return
                if self.cut is not Cut.SILENCE:
                    writer.write(data)
                    await writer.drain()

        tasks = [asyncio.create_task(forward()), asyncio.create_task(backward())]
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
