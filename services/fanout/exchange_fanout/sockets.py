"""`/ws`: takes connections within limits, reads what clients ask, answers, and ends connections for a reason."""

import asyncio
import contextlib
import secrets

import structlog
from aiohttp import WSMsgType, web

from exchange_adapters.emf import recorder
from exchange_adapters.metrics import SLOW_READERS_CUT
from exchange_core.addresses import client_address
from exchange_fanout.connections import Connection, Laggards
from exchange_fanout.desk import SubscriptionDesk
from exchange_fanout.frames import CloseCode
from exchange_fanout.limits import HARD_LIMIT_FACTOR, AddressCount, Limits, MessageBudget
from exchange_fanout.presence import Presence
from exchange_fanout.protocol import ErrorCode, RequestError, error_reply, parse_request

RETRY_AFTER_S = 5

log = structlog.get_logger()


class Sockets:
    """All connections of this node. Lifecycle: `async with`; leaving it closes them all with SERVICE_RESTART."""

    def __init__(self, *, desk: SubscriptionDesk, presence: Presence, laggards: Laggards, limits: Limits) -> None:
        self._desk = desk
        self._presence = presence
        self._laggards = laggards
        self._limits = limits
        self._addresses = AddressCount(limits.connections_per_address_max)
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
        forwarded_for = request.headers.getall("X-Forwarded-For", ())
        address = client_address(request.remote, forwarded_for, self._limits.trusted_proxies)
        if self._addresses.is_full(address):
            return _problem(429, "too_many_connections", "Too many connections from this address.")
        with self._addresses.counting(address):
            return await self._serve(request)

    async def _serve(self, request: web.Request) -> web.StreamResponse:
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
            patience=self._limits.patience,
            end=self._end,
            on_behind=self._laggards.add,
        )
        self._open[connection] = socket
        self._presence.join(connection.connection_id)
        try:
            await self._read(connection, socket)
        finally:
            self._forget(connection)
        return socket

    async def _read(self, connection: Connection, socket: web.WebSocketResponse) -> None:
        budget = MessageBudget(self._limits.message_rate)
        async for message in socket:
            try:
                if not budget.spend():
                    raise RequestError(ErrorCode.TOO_MANY_MESSAGES, "slow down; this message was not heard")
                if message.type is not WSMsgType.TEXT:
                    raise RequestError(ErrorCode.BINARY_UNSUPPORTED, "send text")
                if len(message.data.encode()) > self._limits.message_bytes_max:
                    raise RequestError(
                        ErrorCode.MESSAGE_TOO_LARGE, f"send at most {self._limits.message_bytes_max} bytes"
                    )
                await self._desk.answer(connection, parse_request(message.data))
            except RequestError as error:
                connection.reply(error_reply(error))
            if budget.is_overdrawn:
                connection.end(CloseCode.TOO_MANY_MESSAGES)

    def _forget(self, connection: Connection) -> None:
        connection.mute()
        self._desk.leave(connection)
        self._open.pop(connection, None)
        self._presence.leave(connection.connection_id)

    def _end(self, connection: Connection, code: CloseCode) -> None:
        if code is CloseCode.TOO_SLOW:
            recorder.count(SLOW_READERS_CUT)
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
    headers = {"Upgrade": "websocket"} if status == 426 else {"Retry-After": str(RETRY_AFTER_S)}
    return web.json_response(
        {"type": "about:blank", "title": code.replace("_", " "), "status": status, "code": code, "detail": detail},
        status=status,
        headers=headers,
        content_type="application/problem+json",
    )
