"""A reference client of the depth feed: it keeps one symbol's book by snapshots, diffs and checksums (websocket.md).

    python docs/depth_client.py ws://localhost:8081/ws BTCUSDT

Needs aiohttp. Numbers stay the texts they were sent as: a float would change some of them, and the checksum is over
their digits.
"""

import asyncio
import json
import sys
import zlib
from collections.abc import AsyncIterator
from decimal import Decimal
from typing import Any

import aiohttp

RETRY_S = 0.5


class OutOfStepError(Exception):
    """The book cannot be led on: subscribe again, which brings a snapshot."""


class Book:
    """Price → quantity of both sides, as they stand after `seq` (None: no snapshot has come yet)."""

    def __init__(self) -> None:
        self.seq: int | None = None
        self.bids: dict[str, str] = {}
        self.asks: dict[str, str] = {}

    def take(self, message: dict[str, Any]) -> bool:
        """Take a message in; whether the book moved on. Raises OutOfStepError."""
        if message["event"] == "snapshot":
            self.bids, self.asks = dict(message["bids"]), dict(message["asks"])
        elif message["event"] != "depth" or self.seq is None or int(message["seq"]) <= self.seq:
            return False
        elif int(message["prev_seq"]) != self.seq:
            raise OutOfStepError(f"a diff from {message['prev_seq']} does not start at {self.seq}")
        else:
            for side, changes in ((self.bids, message["bids"]), (self.asks, message["asks"])):
                side.update(changes)
                for price in [price for price, quantity in changes if quantity == "0"]:
                    del side[price]
        self.seq = int(message["seq"])
        if self.checksum() != int(message["checksum"]):
            raise OutOfStepError(f"the checksum at {self.seq} is another one")
        return True

    def best(self, count: int) -> tuple[list[tuple[str, str]], list[tuple[str, str]]]:
        """The best bids, from high to low, and the best asks, from low to high."""
        bids = sorted(self.bids.items(), key=lambda level: Decimal(level[0]), reverse=True)
        asks = sorted(self.asks.items(), key=lambda level: Decimal(level[0]))
        return bids[:count], asks[:count]

    def checksum(self) -> int:
        """CRC32 over the best ten asks, then bids: each price, then quantity, without point and leading zeros."""
        bids, asks = self.best(10)
        numbers = [number for level in asks + bids for number in level]
        return zlib.crc32("".join(number.replace(".", "").lstrip("0") for number in numbers).encode())


async def follow(session: aiohttp.ClientSession, url: str, symbol: str) -> AsyncIterator[Book]:
    """The book after every change, for ever; connects and subscribes again where it must."""
    subscription = {"action": "subscribe", "symbol": symbol, "channel": "depth"}
    while True:
        try:
            async with session.ws_connect(url, heartbeat=20) as socket:
                book = Book()
                await socket.send_json(subscription)
                async for received in socket:
                    message = json.loads(received.data, parse_float=str, parse_int=str)
                    try:
                        if book.take(message):
                            yield book
                    except OutOfStepError:
                        book = Book()
                        await socket.send_json(subscription)
                    if message["event"] == "error":
                        break
        except (aiohttp.ClientError, OSError):
            pass  # the next attempt tells
        await asyncio.sleep(RETRY_S)


async def main(url: str, symbol: str) -> None:
    """Print the best bid and ask whenever the book changes."""
    async with aiohttp.ClientSession() as session:
        async for book in follow(session, url, symbol):
            bids, asks = book.best(1)
            print(book.seq, "bid", *(bids or ["none"]), "ask", *(asks or ["none"]))  # noqa: T201 - it is for a terminal


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:3]))
