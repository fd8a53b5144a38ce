"""Prints what the WebSocket sends about a symbol: a subscriber in a terminal."""

import asyncio
from collections.abc import Callable
from typing import Final

import aiohttp

RETRY_S: Final = 1.0
HEARTBEAT_S: Final = 20.0


async def watch(url: str, symbol: str, *, show: Callable[[str], None], report: Callable[[str], None]) -> None:
    """Subscribe and show every message as it was sent, until cancelled; connects again when the connection is lost."""
    async with aiohttp.ClientSession() as session:
        while True:
            try:
                async with session.ws_connect(url, heartbeat=HEARTBEAT_S) as socket:
                    await socket.send_json({"action": "subscribe", "symbol": symbol})
                    async for message in socket:
                        if message.type is aiohttp.WSMsgType.TEXT:
                            show(message.data)
            except (aiohttp.ClientError, OSError, TimeoutError) as error:
                report(f"{url}: {error}")
            report(f"the connection is lost: trying again in {RETRY_S:.0f} s")
            await asyncio.sleep(RETRY_S)
