"""One client's connection: what it has subscribed to, and sending to it without ever waiting for it."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Protocol

from exchange_fanout.frames import CloseCode, text_frame

if TYPE_CHECKING:
    from exchange_fanout.protocol import Topic
    from exchange_fanout.subscriptions import Subscription

CATCH_UP_INTERVAL_S: Final = 0.02
BURST: Final = 256
"""After so many connections in a row the event loop gets a turn."""


class Held(Protocol):
    """A subscription that keeps messages back for a client that is behind."""

    def take_held(self) -> bytes | None:
        """The frame that catches up with what was kept back, which is then forgotten; None if there is none."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Patience:
    """What is borne of a slow reader: from `behind_bytes` waiting on it gets less (see `subscriptions`), and it is cut
    when `waiting_bytes_max` would wait or it has been behind for `behind_s_max`."""

    behind_bytes: int
    waiting_bytes_max: int
    behind_s_max: float


class Connection:
    """The sending half of a WebSocket, bounded in bytes.

    `send` never waits: what the kernel does not take at once stays in the transport's buffer. A client that is given up
    is told by `end(connection, TOO_SLOW)`, once. `on_behind` is called when something is first kept back for it: from
    then on `catch_up` must be called until it says that nothing is.
    """

    def __init__(
        self,
        *,
        connection_id: str,
        transport: asyncio.Transport,
        patience: Patience,
        end: Callable[["Connection", CloseCode], None],
        on_behind: Callable[["Connection"], None],
    ) -> None:
        self.connection_id = connection_id
        self.subscriptions: dict[Topic, Subscription] = {}
        self._transport = transport
        self._patience = patience
        self._end = end
        self._on_behind = on_behind
        self._held: dict[Held, None] = {}
        self._behind_since_s = 0.0
        self._is_open = True

    @property
    def waiting_bytes(self) -> int:
        """How much is still to be sent."""
        return self._transport.get_write_buffer_size()

    @property
    def is_behind(self) -> bool:
        """Whether what can be kept back should be."""
        return bool(self._held) or self.waiting_bytes > self._patience.behind_bytes

    def reply(self, payload: bytes) -> None:
        """Send one message to this client only."""
        self.send(text_frame(payload))

    def send(self, frame: bytes) -> None:
        """Send whole frames; after the connection was given up, nothing."""
        if not self._is_open or self._transport.is_closing():
            return
        if self.waiting_bytes + len(frame) > self._patience.waiting_bytes_max:
            self.end(CloseCode.TOO_SLOW)
            return
        self._transport.write(frame)

    def hold_back(self, subscription: Held) -> None:
        """Something of this subscription waits until the client has caught up."""
        if not self._held and self._is_open:
            self._behind_since_s = asyncio.get_running_loop().time()
            self._on_behind(self)
        self._held[subscription] = None

    def forget(self, subscription: Held) -> None:
        """Nothing of it waits any more: it has ended."""
        self._held.pop(subscription, None)

    def catch_up(self) -> bool:
        """Send what was kept back, as far as the client takes it; whether nothing is left. May give the client up."""
        while self._held and self._is_open and self.waiting_bytes <= self._patience.behind_bytes:
            subscription = next(iter(self._held))
            del self._held[subscription]
            frame = subscription.take_held()
            if frame is not None:
                self.send(frame)
        if not self._held or not self._is_open:
            return True
        if asyncio.get_running_loop().time() - self._behind_since_s > self._patience.behind_s_max:
            self.end(CloseCode.TOO_SLOW)
        return not self._is_open

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


class Laggards:
    """The connections that something is kept back for, and the stage that sends it on."""

    def __init__(self) -> None:
        self._behind: dict[Connection, None] = {}
        self._has_come = asyncio.Event()

    def add(self, connection: Connection) -> None:
        """It has fallen behind."""
        self._behind[connection] = None
        self._has_come.set()

    async def run(self) -> None:
        """Try each of them every few milliseconds, for ever."""
        while True:
            await self._has_come.wait()
            self._has_come.clear()
            while self._behind:
                await asyncio.sleep(CATCH_UP_INTERVAL_S)
                for number, connection in enumerate(tuple(self._behind), start=1):
                    if connection.catch_up():
                        del self._behind[connection]
                    if number % BURST == 0:
                        await asyncio.sleep(0)
