"""The WebSocket's clients of the twin, held to a real fanout."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import orjson

from crossbook.clients.hearing import hear
from exchange_adapters.sim import Gate
from tests.unit.fanout.support import PATIENCE_S, running_fanout


async def test_what_the_feed_was_away_for_is_asked_for_again() -> None:
    """GIVEN two symbols, one of which Redis does not take in time WHEN Redis is itself again THEN both are heard."""
    async with running_fanout(subscribe_timeout_s=0.05) as fanout, await fanout.connect() as socket:
        heard = hear(socket)
        await socket.send_json({"action": "subscribe", "symbol": "BTCUSDT"})
        assert (await following(heard))["symbol"] == "BTCUSDT"
        gate = Gate()
        fanout.faults.script("redis.subscribe", [gate])
        await socket.send_json({"action": "subscribe", "symbol": "ETHUSDT", "channel": "candle", "interval": "1m"})
        for _ in range(3):
            assert (await following(heard))["code"] == "feed_unavailable"
        gate.open.set()
        while (answer := await following(heard))["event"] == "error":
            pass
        assert answer == {"event": "subscribed", "symbol": "ETHUSDT", "channels": ["candle"], "interval": "1m"}


async def test_only_that_refusal_is_answered() -> None:
    async with running_fanout() as fanout, await fanout.connect() as socket:
        heard = hear(socket)
        await socket.send_json({"action": "subscribe", "symbol": "feed_unavailable"})
        await socket.send_json({"action": "ping", "id": "feed_unavailable"})
        await socket.send_json({"action": "ping"})
        assert [(await following(heard))["event"] for _ in range(3)] == ["error", "pong", "pong"]


async def following(heard: AsyncIterator[str]) -> dict[str, Any]:
    async with asyncio.timeout(PATIENCE_S):
        message: dict[str, Any] = orjson.loads(await anext(heard))
        return message
