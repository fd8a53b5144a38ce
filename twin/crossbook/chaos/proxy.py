"""Stands between the services and one of their stores; passes bytes on, late or not at all while it is told so."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from types import TracebackType
from typing import Final, Self

from crossbook.ports import LOOPBACK

CHUNK_BYTES: Final = 1 << 16


class ChaosProxy:
    """A TCP proxy on a free port of the loopback interface. Every chunk waits for `delay_s`; `reset` ends all
    connections at once. `target_port` is asked for at each connection, so that the store may be started later."""

    def __init__(self, target_port: Callable[[], int]) -> None:
        self.delay_s = 0.0
        self._target_port = target_port
        self._server: asyncio.Server | None = None
        self._connections: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, LOOPBACK, 0)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._server is not None
        self._server.close()
        self.reset()
        if self._connections:
            await asyncio.wait(self._connections)

    @property
    def port(self) -> int:
        """Where the services find the store."""
        assert self._server is not None
        return int(self._server.sockets[0].getsockname()[1])

    def reset(self) -> None:
        """End every connection; new ones are taken."""
        for connection in self._connections:
            connection.cancel()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connection = asyncio.current_task()
        assert connection is not None
        self._connections.add(connection)
        connection.add_done_callback(self._connections.discard)
        with contextlib.suppress(OSError, asyncio.CancelledError):
            async with _closing(writer):
                store_reader, store_writer = await asyncio.open_connection(LOOPBACK, self._target_port())
                async with _closing(store_writer):
                    ways = [self._copy(reader, store_writer), self._copy(store_reader, writer)]
                    tasks = [asyncio.create_task(way) for way in ways]
                    try:
                        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
                    finally:
                        for task in tasks:
                            task.cancel()
                        await asyncio.gather(*tasks, return_exceptions=True)

    async def _copy(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while chunk := await reader.read(CHUNK_BYTES):
            if self.delay_s:
                await asyncio.sleep(self.delay_s)
            writer.write(chunk)
            await writer.drain()


@contextlib.asynccontextmanager
async def _closing(writer: asyncio.StreamWriter) -> AsyncIterator[None]:
    try:
        yield
    finally:
        writer.transport.abort()
