"""Clients of the WebSocket on the simulated network: one hears trades, one leads books by their depth, one hears of its
user's orders and balances.

As small as the tests of a protocol may be: the server on the other side is the real one.
"""

import asyncio
import base64
import json
import struct
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any, Final

import orjson

from exchange_core.market_data import BOOK_CACHE_LEVELS
from simulation.clients.depth_client import depth_client
from simulation.clients.wire import HEAD_END, NotSent
from simulation.machines.network import ConnectionRefused, Network

Hear = Callable[[dict[str, Any]], None]
"""Takes each message's JSON."""
_AGAIN_S: Final = 1.0
_TEXT, _CLOSE, _PING, _PONG = 0x1, 0x8, 0x9, 0xA


class Feed(asyncio.Protocol, ABC):
    """One connection; `ended` is set when it is over. Raises NotSent where nobody listens."""

    def __init__(self, network: Network, host: str, port: int, hear: Hear) -> None:
        self._data = b""
        self._is_open = False
        self._hear = hear
        self.ended = asyncio.Event()
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
    @abstractmethod
    def is_told(self) -> bool:
        """Whether it is told all that it wants to hear."""

    @abstractmethod
    def _begin(self) -> None:
        """The connection stands: subscribe."""

    @abstractmethod
    def _read(self, payload: bytes) -> None:
        """What the server says."""

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
            head, end, rest = self._data.partition(HEAD_END)
            if not end:
                return
            if b" 101 " not in head.split(b"\r\n")[0]:
                self._transport.close()
                return
            self._is_open, self._data = True, rest
            self._begin()
        while (frame := self._next_frame()) is not None:
            self._take_frame(*frame)

    def _take_frame(self, opcode: int, payload: bytes) -> None:
        if opcode == _TEXT:
            self._read(payload)
        elif opcode == _PING:
            self._send(_PONG, payload)
        elif opcode == _CLOSE:
            self._transport.close()

    def _ask(self, **message: Any) -> None:
        if not self.ended.is_set():
            self._send(_TEXT, orjson.dumps(message))

    def _later(self, ask: Callable[..., None], *arguments: Any) -> None:
        asyncio.get_running_loop().call_later(_AGAIN_S, ask, *arguments)

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
        """A client's frames are masked; with zeros that changes nothing."""
        length = len(payload)
        size = bytes((0x80 | length,)) if length < 126 else struct.pack("!BH", 0x80 | 126, length)
        self._transport.write(bytes((0x80 | opcode,)) + size + bytes(4) + payload)


class TradeFeed(Feed):
    """Subscribes to the trades of some symbols, again and again where the feed is away."""

    def __init__(self, network: Network, host: str, port: int, symbols: tuple[str, ...], hear: Hear) -> None:
        self._symbols = symbols
        self._subscribed: set[str] = set()
        super().__init__(network, host, port, hear)

    @property
    def is_told(self) -> bool:
        """The trades of every symbol."""
        return not self.ended.is_set() and self._subscribed.issuperset(self._symbols)

    def _begin(self) -> None:
        for symbol in self._symbols:
            self._subscribe(symbol)

    def _read(self, payload: bytes) -> None:
        message = orjson.loads(payload)
        if message["event"] == "subscribed":
            self._subscribed.add(message["symbol"])
        elif message.get("code") == "feed_unavailable":
            self._later(self._subscribe, message["symbol"])
        self._hear(message)

    def _subscribe(self, symbol: str) -> None:
        self._ask(action="subscribe", symbol=symbol)


class DepthFeed(Feed):
    """Leads the books of some symbols as the documented client does; hears each book that it comes to have."""

    def __init__(self, network: Network, host: str, port: int, symbols: tuple[str, ...], hear: Hear) -> None:
        self._books = {symbol: depth_client.Book() for symbol in symbols}
        super().__init__(network, host, port, hear)

    @property
    def is_told(self) -> bool:
        """A book of every symbol."""
        return not self.ended.is_set() and all(book.seq is not None for book in self._books.values())

    def _begin(self) -> None:
        for symbol in self._books:
            self._subscribe(symbol)

    def _read(self, payload: bytes) -> None:
        message = json.loads(payload, parse_float=str, parse_int=str)
        symbol = message.get("symbol")
        if message["event"] == "error":
            self._later(self._subscribe, symbol)
            return
        book = self._books[symbol]
        try:
            if book.take(message):
                bids, asks = book.best(BOOK_CACHE_LEVELS)
                self._hear({"event": "book", "symbol": symbol, "seq": book.seq, "bids": bids, "asks": asks})
        except depth_client.OutOfStepError:
            self._books[symbol] = depth_client.Book()
            self._subscribe(symbol)

    def _subscribe(self, symbol: str) -> None:
        self._ask(action="subscribe", symbol=symbol, channel="depth")


class PrivateFeed(Feed):
    """Logs its user in and subscribes to all that is his, again and again where that cannot be had."""

    def __init__(self, network: Network, host: str, port: int, token: str, hear: Hear) -> None:
        self._token = token
        self._is_subscribed = False
        super().__init__(network, host, port, hear)

    @property
    def is_told(self) -> bool:
        """Orders and balances."""
        return self._is_subscribed and not self.ended.is_set()

    def _begin(self) -> None:
        self._ask(action="auth", token=self._token)

    def _read(self, payload: bytes) -> None:
        message = orjson.loads(payload)
        match message["event"], message.get("code"):
            case "authenticated", _:
                self._subscribe()
            case "subscribed", _:
                self._is_subscribed = True
            case "auth_ended", _:
                self._is_subscribed = False
                self._later(self._begin)
            case "error", "feed_unavailable":
                self._later(self._subscribe)
            case "error", _:
                self._later(self._begin)
        self._hear(message)

    def _subscribe(self) -> None:
        self._ask(action="subscribe", channels=["orders", "balances"])
