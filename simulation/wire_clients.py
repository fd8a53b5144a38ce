"""Clients of the simulated network: one HTTP request a connection, and a WebSocket that hears trades.

As small as the tests of a protocol may be: the servers on the other side are the real ones.
"""

import asyncio
import base64
import struct
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import orjson

from simulation.network import ConnectionRefused, Network

_HEAD_END: Final = b"\r\n\r\n"
_RESUBSCRIBE_S: Final = 1.0
_TEXT, _CLOSE, _PING, _PONG = 0x1, 0x8, 0x9, 0xA


class NoAnswer(Exception):
    """The connection ended, or nobody answered in time: what was asked for may have happened."""


class NotSent(Exception):
    """Nobody was there to ask: nothing happened."""


@dataclass(frozen=True, slots=True)
class Answer:
    """Status and JSON body of a response."""

    status: int
    body: Any

    @property
    def code(self) -> str | None:
        """The stable code of a problem."""
        return self.body.get("code") if isinstance(self.body, dict) else None


class _Exchange(asyncio.Protocol):
    """Reads one response whose length is given by Content-Length."""

    def __init__(self, answer: "asyncio.Future[tuple[int, bytes]]") -> None:
        self._answer = answer
        self._data = b""

    def data_received(self, data: bytes) -> None:
        self._data += data
        head, end, body = self._data.partition(_HEAD_END)
        if not end or self._answer.done():
            return
        lines = head.decode("latin-1").split("\r\n")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines[1:])}
        if len(body) >= int(headers.get("content-length", 0)):
            self._answer.set_result((int(lines[0].split(" ")[1]), body))

    def connection_lost(self, _: Exception | None) -> None:
        """See asyncio.Protocol."""
        if not self._answer.done():
            self._answer.set_exception(NoAnswer("the connection ended"))


async def request(
    network: Network,
    host: str,
    port: int,
    method: str,
    path: str,
    *,
    token: str,
    trace: int,
    body: Any = None,
    timeout_s: float,
) -> Answer:
    """One request on a connection of its own. `trace` numbers it for the services' logs and the journal.

    Raises NotSent or NoAnswer.
    """
    payload = b"" if body is None else orjson.dumps(body)
    head = (
        f"{method} {path} HTTP/1.1\r\nHost: {host}\r\nAuthorization: Bearer {token}\r\n"
        f"traceparent: 00-{trace:032x}-{1:016x}-01\r\nConnection: close\r\nContent-Length: {len(payload)}\r\n\r\n"
    )
    answer: asyncio.Future[tuple[int, bytes]] = asyncio.get_running_loop().create_future()
    try:
        transport = network.connect(host, port, _Exchange(answer))
    except ConnectionRefused as error:
        raise NotSent(str(error)) from error
    try:
        transport.write(head.encode() + payload)
        async with asyncio.timeout(timeout_s):
            status, data = await answer
    except TimeoutError as error:
        raise NoAnswer("no answer in time") from error
    finally:
        transport.close()
    return Answer(status, orjson.loads(data) if data else None)


class TradeFeed(asyncio.Protocol):
    """A WebSocket that subscribes to the trades of some symbols, again and again where the feed is away.

    `on_message` hears each message's JSON.
    """

    def __init__(
        self, network: Network, host: str, port: int, symbols: tuple[str, ...], on_message: Callable[[Any], None]
    ) -> None:
        self._data = b""
        self._is_open = False
        self._symbols = symbols
        self._on_message = on_message
        self.ended = asyncio.Event()
        self.subscribed: set[str] = set()
        try:
            self._transport = network.connect(host, port, self)
        except ConnectionRefused as error:
            raise NotSent(str(error)) from error
        key = base64.b64encode(b"0123456789abcdef").decode()
        self._transport.write(
            f"GET /ws HTTP/1.1\r\nHost: {host}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            f"Sec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n\r\n".encode()
        )

    @property
    def unheard(self) -> set[str]:
        """The symbols whose trades it is not told."""
        return set(self._symbols) if self.ended.is_set() else set(self._symbols) - self.subscribed

    def close(self) -> None:
        """Hang up."""
        self._transport.close()

    def connection_lost(self, _: Exception | None) -> None:
        """See asyncio.Protocol."""
        self.ended.set()

    def data_received(self, data: bytes) -> None:
        """See asyncio.Protocol."""
        self._data += data
        if not self._is_open:
            head, end, rest = self._data.partition(_HEAD_END)
            if not end:
                return
            if b" 101 " not in head.split(b"\r\n")[0]:
                self._transport.close()
                return
            self._is_open, self._data = True, rest
            for symbol in self._symbols:
                self._subscribe(symbol)
        while (frame := self._next_frame()) is not None:
            self._take(*frame)

    def _take(self, opcode: int, payload: bytes) -> None:
        if opcode == _TEXT:
            message = orjson.loads(payload)
            if message.get("event") == "subscribed":
                self.subscribed.add(message["symbol"])
            elif message.get("code") == "feed_unavailable":
                asyncio.get_running_loop().call_later(_RESUBSCRIBE_S, self._subscribe, message["symbol"])
            self._on_message(message)
        elif opcode == _PING:
            self._send(_PONG, payload)
        elif opcode == _CLOSE:
            self._transport.close()

    def _subscribe(self, symbol: str) -> None:
        if not self.ended.is_set():
            self._send(_TEXT, orjson.dumps({"action": "subscribe", "symbol": symbol}))

    def _next_frame(self) -> tuple[int, bytes] | None:
        if len(self._data) < 2:
            return None
        opcode, length, start = self._data[0] & 0x0F, self._data[1] & 0x7F, 2
        for marker, form in ((126, "!H"), (127, "!Q")):
            if length == marker:
                size = struct.calcsize(form)
                if len(self._data) < 2 + size:
                    return None
                (length,) = struct.unpack(form, self._data[2 : 2 + size])
                start = 2 + size
                break
        if len(self._data) < start + length:
            return None
        payload, self._data = self._data[start : start + length], self._data[start + length :]
        return opcode, payload

    def _send(self, opcode: int, payload: bytes) -> None:
        """A client's frames are masked; with zeros that changes nothing. Short ones only."""
        assert len(payload) < 126
        self._transport.write(bytes((0x80 | opcode, 0x80 | len(payload))) + bytes(4) + payload)
