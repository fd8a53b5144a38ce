"""What a WebSocket says to a client that means to go on hearing what it subscribed."""

from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import orjson


async def hear(socket: aiohttp.ClientWebSocketResponse) -> AsyncIterator[str]:
    """Every message, as it was sent, until the connection ends.

    What could not be subscribed because the feed was away is asked for again: fanout says so after some seconds of
    trying, and its connection stands, so nobody else would.
    """
    async for message in socket:
        if message.type is not aiohttp.WSMsgType.TEXT:
            continue
        yield message.data
        if "feed_unavailable" in message.data:
            refusal = orjson.loads(message.data)
            if refusal.get("code") == "feed_unavailable":
                await socket.send_json({"action": "subscribe", **_named(refusal)})


def _named(refusal: dict[str, Any]) -> dict[str, Any]:
    return {name: refusal[name] for name in ("id", "symbol", "channels", "interval") if name in refusal}
