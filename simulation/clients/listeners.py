"""Who listens to the feeds of a world: each keeps one WebSocket open and writes down what it hears."""

import asyncio
from collections.abc import Callable, Sequence
from typing import Any, Final, Literal

from simulation.clients.desk import now_ms
from simulation.clients.feeds import DepthFeed, Feed, Hear, PrivateFeed, TradeFeed
from simulation.clients.history import Heard, History
from simulation.clients.wire import NotSent
from simulation.machines.directory import token_of
from simulation.machines.hosts import HTTP_PORT
from simulation.machines.network import Network
from simulation.market import SYMBOLS

Wants = Literal["trades", "books", "notices"]
_EVENTS: Final[dict[Wants, tuple[str, ...]]] = {
    "trades": ("trade",),
    "books": ("book",),
    "notices": ("order", "balance"),
}


class Listener:
    """`connect` makes a connection that hears into what it is given; what is wanted of all that any of them heard goes
    to `kept`. `user_id` is whose feed it is, empty for one that everybody may hear."""

    def __init__(self, wants: Wants, connect: Callable[[Hear], Feed], kept: list[Heard], *, user_id: str = "") -> None:
        self.wants = wants
        self._connect = connect
        self._kept = kept
        self._user_id = user_id
        self._connections = 0
        self._feed: Feed | None = None

    async def run(self, ending: asyncio.Event) -> None:
        """Connect, listen, connect again, until `ending` is set."""
        while not ending.is_set():
            self._connections += 1
            try:
                self._feed = self._connect(self._into(self._connections))
            except NotSent:
                await asyncio.sleep(1.0)
                continue
            waiting = [asyncio.ensure_future(one.wait()) for one in (ending, self._feed.ended)]
            await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
            for one in waiting:
                one.cancel()
            await asyncio.sleep(0.5)
        if self._feed is not None:
            self._feed.close()

    @property
    def is_listening(self) -> bool:
        """Whether it is told all that it wants to hear."""
        return self._feed is not None and self._feed.is_told

    def _into(self, connection: int) -> Hear:
        def hear(message: dict[str, Any]) -> None:
            if message["event"] in _EVENTS[self.wants]:
                heard = Heard(listener=self._user_id, connection=connection, at_ms=now_ms(), message=message)
                self._kept.append(heard)

        return hear


def listeners(network: Network, host: str, history: History, user_ids: Sequence[str]) -> list[Listener]:
    """One for the trades of all symbols, one for their books, and one for all that is told to each of these users."""

    def private(user_id: str) -> Listener:
        def connect(hear: Hear) -> Feed:
            return PrivateFeed(network, host, HTTP_PORT, token_of(user_id), hear)

        return Listener("notices", connect, history.notices, user_id=user_id)

    return [
        Listener("trades", lambda hear: TradeFeed(network, host, HTTP_PORT, SYMBOLS, hear), history.trades),
        Listener("books", lambda hear: DepthFeed(network, host, HTTP_PORT, SYMBOLS, hear), history.books),
        *map(private, user_ids),
    ]
