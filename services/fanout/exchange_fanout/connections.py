"""One client's connection: what it watches, and sending to it without ever waiting for it."""

import asyncio
from collections.abc import Callable

from exchange_fanout.frames import CloseCode, text_frame


class Connection:
    """The sending half of a WebSocket, bounded in bytes.

    `send` never waits: what the kernel does not take at once stays in the transport's buffer, and a client for which
    more than `buffer_bytes` would wait is given up by calling `end(connection, TOO_SLOW)`, once.
    """

    def __init__(
        self,
        *,
        connection_id: str,
        transport: asyncio.Transport,
        buffer_bytes: int,
        end: Callable[["Connection", CloseCode], None],
    ) -> None:
        self.connection_id = connection_id
        self.symbols: set[str] = set()
        self._transport = transport
        self._buffer_bytes = buffer_bytes
        self._end = end
        self._is_open = True

    @property
    def waiting_bytes(self) -> int:
        """How much is still to be sent."""
        return self._transport.get_write_buffer_size()

    def reply(self, payload: bytes) -> None:
        """Send one message to this client only."""
        self.send(text_frame(payload))

    def send(self, frame: bytes) -> None:
        """Send whole frames; after the connection was given up, nothing."""
        if not self._is_open or self._transport.is_closing():
            return
        if self.waiting_bytes + len(frame) > self._buffer_bytes:
            self.end(CloseCode.TOO_SLOW)
            return
        self._transport.write(frame)

    def end(self, code: CloseCode) -> None:
        """Send nothing more and close with this code; only the first call counts."""
        if self._is_open:
            self._is_open = False
            self._end(self, code)

    def mute(self) -> None:
        """Send nothing more: the connection ends by itself."""
        self._is_open = False

    def abort(self) -> None:
        """Drop the connection and whatever waits to be sent."""
        self._transport.abort()
