"""Watches the trades of one symbol on the WebSocket, and counts what came, what came twice and what is missing."""

import asyncio
from typing import Any, Final

import aiohttp
import orjson

from crossbook.clients.hearing import hear

RECONNECT_S: Final = 0.25
HEARTBEAT_S: Final = 15.0


class TradeWatch:
    """Run `watch` as a task; it connects again whenever it is cut off. Trade ids have no gaps, so a lost one shows."""

    def __init__(self, websocket_url: str, symbol: str) -> None:
        self._websocket_url = websocket_url
        self._symbol = symbol
        self._last_trade_id = 0
        self.subscribed = asyncio.Event()
        self.trade_count = 0
        self.lost_count = 0
        self.gap_count = 0
        self.repeated_count = 0
        self.connection_count = 0

    async def watch(self) -> None:
        """Count for ever."""
        async with aiohttp.ClientSession() as session:
            while True:
                try:
                    await self._watch_once(session)
                except (aiohttp.ClientError, OSError, TimeoutError):
                    self.subscribed.clear()
                await asyncio.sleep(RECONNECT_S)

    async def _watch_once(self, session: aiohttp.ClientSession) -> None:
        async with session.ws_connect(self._websocket_url, heartbeat=HEARTBEAT_S) as socket:
            self.connection_count += 1
            await socket.send_json({"action": "subscribe", "symbol": self._symbol})
            async for message in hear(socket):
                self._take(orjson.loads(message))

    def _take(self, message: dict[str, Any]) -> None:
        if message.get("event") == "subscribed":
            self.subscribed.set()
        if message.get("event") != "trade":
            return
        trade_id = int(message["trade_id"])
        if trade_id <= self._last_trade_id:
            self.repeated_count += 1
            return
        if self._last_trade_id and trade_id > self._last_trade_id + 1:
            self.gap_count += 1
            self.lost_count += trade_id - self._last_trade_id - 1
        self._last_trade_id = trade_id
        self.trade_count += 1
