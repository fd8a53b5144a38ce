"""`/ws`: takes connections within limits, reads what clients ask, answers, and ends connections for a reason."""

import asyncio
import contextlib
import secrets
from dataclasses import dataclass

import structlog
from aiohttp import WSMsgType, web

from exchange_core.ports import Clock
from exchange_core.topology import trades_channel
from exchange_fanout.connections import Connection
from exchange_fanout.frames import CloseCode
from exchange_fanout.hub import FeedUnavailableError, Hub
from exchange_fanout.presence import Presence
from exchange_fanout.protocol import (
    ErrorCode,
    Ping,
    Request,
    RequestError,
    Subscribe,
    Unsubscribe,
    error_reply,
    parse_request,
    pong_reply,
    subscribed_reply,
    unsubscribed_reply,
)

HARD_LIMIT_FACTOR = 4
"""A message up to the limit times this is answered with an error; a longer one ends the connection (1009)."""
RETRY_AFTER_S = 5

log = structlog.get_logger()


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What one node and one connection may take; times in seconds, sizes in bytes."""

    connections_max: int
    subscriptions_max: int
    message_bytes_max: int
    send_buffer_bytes: int
    heartbeat_s: float
    subscribe_timeout_s: float
    close_timeout_s: float


class Sockets:
    """All connections of this node. Lifecycle: `async with`; leaving it closes them all with SERVICE_RESTART."""

    def __init__(self, *, hub: Hub, presence: Presence, clock: Clock, limits: Limits) -> None:
        self._hub = hub
        self._presence = presence
        self._clock = clock
        self._limits = limits
        self._open: dict[Connection, web.WebSocketResponse] = {}
        self._closers = asyncio.TaskGroup()
        self._is_stopping = False

    @property
    def connection_count(self) -> int:
        """How many clients are connected."""
        return len(self._open)

    async def __aenter__(self) -> "Sockets":
        await self._closers.__aenter__()
        return self

    async def __aexit__(self, *_: object) -> None:
        self._is_stopping = True
        for connection in tuple(self._open):
            connection.end(CloseCode.SERVICE_RESTART)
        await self._closers.__aexit__(None, None, None)

    async def serve(self, request: web.Request) -> web.StreamResponse:
        """One connection from its handshake to its end."""
        if self._is_stopping or len(self._open) >= self._limits.connections_max:
            return _problem(503, "too_many_connections", "This node takes no more connections now.")
        socket = web.WebSocketResponse(
            heartbeat=self._limits.heartbeat_s,
            max_msg_size=self._limits.message_bytes_max * HARD_LIMIT_FACTOR,
            compress=False,
            timeout=self._limits.close_timeout_s,
        )
        if not socket.can_prepare(request):
            return _problem(426, "upgrade_required", "This address speaks WebSocket.")
        await socket.prepare(request)
        transport = request.transport
        if transport is None:
            return socket
        connection = Connection(
            connection_id=secrets.token_hex(12),
            transport=transport,
            buffer_bytes=self._limits.send_buffer_bytes,
            end=self._end,
        )
        self._open[connection] = socket
        self._presence.join(connection.connection_id)
        try:
            await self._read(connection, socket)
        finally:
            self._forget(connection)
        return socket

    async def _read(self, connection: Connection, socket: web.WebSocketResponse) -> None:
        async for message in socket:
            try:
                if message.type is not WSMsgType.TEXT:
                    raise RequestError(ErrorCode.BINARY_UNSUPPORTED, "send text")
                if len(message.data.encode()) > self._limits.message_bytes_max:
                    raise RequestError(
                        ErrorCode.MESSAGE_TOO_LARGE, f"send at most {self._limits.message_bytes_max} bytes"
                    )
                await self._answer(connection, parse_request(message.data))
            except RequestError as error:
                connection.reply(error_reply(error))

    async def _answer(self, connection: Connection, request: Request) -> None:
        match request:
            case Subscribe():
                await self._subscribe(connection, request)
                connection.reply(subscribed_reply(request))
            case Unsubscribe():
                self._unsubscribe(connection, request)
                connection.reply(unsubscribed_reply(request))
            case Ping():
                connection.reply(pong_reply(request, self._clock.now_ms()))

    async def _subscribe(self, connection: Connection, request: Subscribe) -> None:
        if request.symbol in connection.symbols:
            return
        if len(connection.symbols) >= self._limits.subscriptions_max:
            limit = self._limits.subscriptions_max
            raise RequestError(ErrorCode.TOO_MANY_SUBSCRIPTIONS, f"at most {limit} symbols", request.request_id)
        try:
            await self._hub.watch(
                connection, trades_channel(request.symbol), timeout_s=self._limits.subscribe_timeout_s
            )
        except FeedUnavailableError:
            raise RequestError(
                ErrorCode.FEED_UNAVAILABLE, "the market feed is away; try again", request.request_id
            ) from None
        connection.symbols.add(request.symbol)
        self._presence.watch(connection.connection_id, request.symbol)

    def _unsubscribe(self, connection: Connection, request: Unsubscribe) -> None:
        if request.symbol not in connection.symbols:
            raise RequestError(ErrorCode.NOT_SUBSCRIBED, "there is no such subscription", request.request_id)
        self._leave(connection, request.symbol)

    def _leave(self, connection: Connection, symbol: str) -> None:
        connection.symbols.discard(symbol)
        self._hub.unwatch(connection, trades_channel(symbol))
        self._presence.unwatch(connection.connection_id, symbol)

    def _forget(self, connection: Connection) -> None:
        connection.mute()
        for symbol in tuple(connection.symbols):
            self._leave(connection, symbol)
        self._open.pop(connection, None)
        self._presence.leave(connection.connection_id)

    def _end(self, connection: Connection, code: CloseCode) -> None:
        self._closers.create_task(self._close(connection, code))

    async def _close(self, connection: Connection, code: CloseCode) -> None:
        """Say why, behind what waits to be sent; whoever does not take it in time is dropped."""
        socket = self._open.get(connection)
        if socket is None:
            return
        log.info("connection_ended", connection_id=connection.connection_id, code=int(code), reason=code.name.lower())
        # What waits goes out before the transport closes; for a client that never takes it, that is cut short.
        asyncio.get_running_loop().call_later(self._limits.close_timeout_s, connection.abort)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._limits.close_timeout_s):
                await socket.close(code=code, message=code.name.lower().encode(), drain=False)


def _problem(status: int, code: str, detail: str) -> web.Response:
    headers = {"Retry-After": str(RETRY_AFTER_S)} if status == 503 else {"Upgrade": "websocket"}
    return web.json_response(
        {"type": "about:blank", "title": code.replace("_", " "), "status": status, "code": code, "detail": detail},
        status=status,
        headers=headers,
        content_type="application/problem+json",
    )
