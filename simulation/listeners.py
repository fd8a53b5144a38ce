"""Who listens to the feeds of a world: each keeps one WebSocket open and writes down what it hears."""

import asyncio
from collections.abc import Callable
from typing import Any

from simulation.directory import token_of
from simulation.feeds import Feed, Hear, PrivateFeed, TradeFeed
from simulation.history import Heard, History
from simulation.hosts import HTTP_PORT
from simulation.market import SYMBOLS
from simulation.network import Network
from simulation.wire_clients import NotSent
from simulation.workload import now_ms


class Listener:
    """`connect` makes a connection that hears into what it is given; `keep` gets all that any of them heard."""

    def __init__(self, name: str, connect: Callable[[Hear], Feed], keep: Callable[[Heard], None]) -> None:
        self.name = name
        self._connect = connect
        self._keep = keep
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
        return self._feed is not None and not self._feed.unheard

    def _into(self, connection: int) -> Hear:
        def hear(message: dict[str, Any]) -> None:
            self._keep(Heard(listener=self.name, connection=connection, at_ms=now_ms(), message=message))

        return hear


def trade_listener(network: Network, host: str, history: History) -> Listener:
    """Hears the trades of all symbols."""

    def keep(heard: Heard) -> None:
        if heard.message["event"] == "trade":
            history.trades.append(heard)

    return Listener("", lambda hear: TradeFeed(network, host, HTTP_PORT, SYMBOLS, hear), keep)


def private_listener(network: Network, host: str, history: History, user_id: str) -> Listener:
    """Hears of one user's orders and balances; its name is the user's."""

    def keep(heard: Heard) -> None:
        if heard.message["event"] in ("order", "balance"):
            history.notices.append(heard)

    return Listener(user_id, lambda hear: PrivateFeed(network, host, HTTP_PORT, token_of(user_id), hear), keep)
