"""Stands between the services and the emulated cloud, and counts what passes: calls by operation, and their bytes.

It copies bytes both ways and reads only the head of each request, so what it counts is what was sent, retries
included. It adds some latency: figures of speed are taken without it.
"""

import asyncio
import contextlib
import re
from collections import Counter
from types import TracebackType
from typing import Final, Self

CHUNK_BYTES: Final = 1 << 16
_LENGTH: Final = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
_TARGET: Final = re.compile(rb"\r\nx-amz-target: *([A-Za-z0-9_.]+)", re.IGNORECASE)
_HEAD_END: Final = b"\r\n\r\n"
_NAMES: Final = {
    "DynamoDB": "dynamodb",
    "AmazonSQS": "sqs",
    "Kinesis": "kinesis",
    "AWSCognitoIdentityProviderService": "cognito",
}


class CountingProxy:
    """A TCP proxy on a free port of the loopback interface. `calls` maps "service.Operation" to a count."""

    def __init__(self, port: int) -> None:
        self._target_port = port
        self._server: asyncio.Server | None = None
        self._connections: set[asyncio.Task[None]] = set()
        self.calls: Counter[str] = Counter()
        self.request_bytes: Counter[str] = Counter()

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._server is not None
        self._server.close()
        for connection in self._connections:
            connection.cancel()
        if self._connections:
            await asyncio.wait(self._connections)

    @property
    def url(self) -> str:
        """Where the services should find the cloud."""
        assert self._server is not None
        return f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connection = asyncio.current_task()
        assert connection is not None
        self._connections.add(connection)
        try:
            await self._pass(reader, writer)
        except (OSError, asyncio.CancelledError):
            pass  # one end is gone, or the proxy ends: either way the other end is told by closing
        finally:
            self._connections.discard(connection)
            writer.close()

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        cloud_reader, cloud_writer = await asyncio.open_connection("127.0.0.1", self._target_port)
        try:
            async with asyncio.TaskGroup() as ways:
                ways.create_task(self._pass_requests(reader, cloud_writer))
                ways.create_task(_copy(cloud_reader, writer))
        except* OSError:
            pass  # one end broke off
        finally:
            cloud_writer.close()

    async def _pass_requests(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Whole requests one after the other: a head, then as many bytes as it says; ends when the client does."""
        with contextlib.suppress(asyncio.IncompleteReadError):
            while True:
                head = await reader.readuntil(_HEAD_END)
                length = _LENGTH.search(head)
                left = int(length[1]) if length else 0
                self._count(head, left)
                writer.write(head)
                while left:
                    chunk = await reader.read(min(left, CHUNK_BYTES))
                    if not chunk:
                        raise ConnectionAbortedError("the client broke off in a request")
                    left -= len(chunk)
                    writer.write(chunk)
                    await writer.drain()
        writer.write_eof()

    def _count(self, head: bytes, length: int) -> None:
        name = operation(head)
        self.calls[name] += 1
        self.request_bytes[name] += len(head) + length


def operation(head: bytes) -> str:
    """ "dynamodb.PutItem" from the head of a request; S3 calls by method."""
    target = _TARGET.search(head)
    if target is None:
        method = head.split(b" ", 1)[0].decode("ascii", "replace")
        return f"s3.{method}" if b".well-known" not in head.split(b"\r\n", 1)[0] else "cognito.jwks"
    service, _, action = target[1].decode().partition(".")
    return f"{_NAMES.get(service.partition('_')[0], service)}.{action}"


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while chunk := await reader.read(CHUNK_BYTES):
        writer.write(chunk)
        await writer.drain()
    writer.close()
