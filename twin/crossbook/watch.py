"""Prints what the WebSocket sends about a symbol: a subscriber in a terminal."""

import asyncio
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

import aiohttp

from crossbook.clients.hearing import hear

RETRY_S: Final = 1.0
HEARTBEAT_S: Final = 20.0
PRIVATE_CHANNELS: Final = frozenset({"orders", "balances"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Wishes:
    """What to watch: channels of a symbol (candles at `interval`), and with a token the user's own."""

    symbol: str
    channels: Sequence[str]
    interval: str
    token: str

    def requests(self) -> Iterator[dict[str, Any]]:
        """What to say to the WebSocket, in order."""
        public = [channel for channel in self.channels if channel not in PRIVATE_CHANNELS]
        private = [channel for channel in self.channels if channel in PRIVATE_CHANNELS]
        if public:
            interval = {"interval": self.interval} if "candle" in public else {}
            yield {"action": "subscribe", "symbol": self.symbol, "channels": public, **interval}
        if private:
            yield {"action": "auth", "token": self.token}
            yield {"action": "subscribe", "channels": private}


async def watch(url: str, wishes: Wishes, *, show: Callable[[str], None], report: Callable[[str], None]) -> None:
    """Subscribe and show every message as it was sent, until cancelled; connects again when the connection is lost,
    and asks again when the feed was away."""
    async with aiohttp.ClientSession() as session:
        while True:
            try:
                async with session.ws_connect(url, heartbeat=HEARTBEAT_S) as socket:
                    for request in wishes.requests():
                        await socket.send_json(request)
                    async for message in hear(socket):
                        show(message)
            except (aiohttp.ClientError, OSError, TimeoutError) as error:
                report(f"{url}: {error}")
            report(f"the connection is lost: trying again in {RETRY_S:.0f} s")
            await asyncio.sleep(RETRY_S)
