"""A client that only follows the depth feed has, at every seq, the book that GET /orderbook serves.

Over a replay of the recorded day, with its connection cut every few seconds. Redis tells by MONITOR each book that the
matcher put into the cache, which is all that GET /orderbook could ever serve; and a poller asks as fast as it may. Both
are held against every book that the documented client had, by seq. DEPTH_ROWS says how much of the day: the default
fits a run of all tests, `all` takes the whole of it.
"""

import asyncio
import json
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any
from urllib.parse import urlsplit

import aiohttp
import pytest
from redis.asyncio import Redis

from crossbook.replay.command import SYMBOL, ReplayOptions, replay
from crossbook.replay.recording import Recording, read_recording
from crossbook.twin import Twin
from exchange_core.market_data import BOOK_CACHE_LEVELS
from exchange_core.topology import order_book_key
from simulation.clients.depth_client import depth_client
from tests.chaos.order_flow import write_order_flow
from tests.eventually import eventually
from tests.integration.dropping_proxy import DroppingProxy

RECORDED = Path(__file__).resolve().parents[2].parent / "shared" / "data" / "bitstamp-btcusd-2015-05-01.csv.xz"
ROWS = os.environ.get("DEPTH_ROWS", "800")
ROWS_PER_S = 80
"""The day's pace, or a fast machine would be through before anything is cut, and few books would be cached."""
CUT_EVERY_S = 2.0
POLL_S = 0.012
POLL_FAULTS = (aiohttp.ClientError, OSError)

BookKey = int
"""The hash of a whole book, levels in their order: a day's books themselves would not fit into memory."""


def key_of(bids: Any, asks: Any) -> BookKey:
    return hash((tuple(map(tuple, bids)), tuple(map(tuple, asks))))


def parsed(body: bytes | str) -> tuple[int, BookKey]:
    book = json.loads(body, parse_float=str, parse_int=str)
    return int(book["seq"]), key_of(book["bids"], book["asks"])


def speed_for(recording: Recording) -> float:
    """How much faster than recorded: rows divided by ROWS_PER_S is then how many seconds it takes at least."""
    recorded_s = (recording.rows[-1].at_ms - recording.rows[0].at_ms) / 1000
    return recorded_s / (len(recording.rows) / ROWS_PER_S)


@dataclass(slots=True)
class Witness:
    """Three views of one market, by seq."""

    followed: dict[int, BookKey] = field(default_factory=dict)
    cached: dict[int, BookKey] = field(default_factory=dict)
    answered: dict[int, BookKey] = field(default_factory=dict)
    answers: int = 0
    cuts: int = 0
    steps: int = 0
    seq: int = 0

    async def follow(self, url: str) -> None:
        """The client. Its books are kept as they were before the next message changes them."""
        async with aiohttp.ClientSession() as session:
            async for book in depth_client.follow(session, url, SYMBOL):
                self.steps += 1
                self.seq = book.seq
                self.note(self.followed, book.seq, key_of(*book.best(BOOK_CACHE_LEVELS)))

    async def monitor(self, redis: Redis, is_listening: asyncio.Event) -> None:
        """Every book that is put into the cache."""
        prefix = f"SET {order_book_key(SYMBOL)} "
        async with redis.monitor() as monitor:
            is_listening.set()
            async for event in monitor.listen():
                command = event["command"]
                if command.startswith(prefix):
                    self.note(self.cached, *parsed(command[len(prefix) :]))

    async def poll(self, gateway_url: str) -> None:
        """What is served, as often as one address may ask."""
        async with aiohttp.ClientSession() as session:
            while True:
                with suppress(*POLL_FAULTS):
                    async with session.get(f"{gateway_url}/api/v1/orderbook/{SYMBOL}") as answer:
                        if answer.status == 200:
                            self.answers += 1
                            self.note(self.answered, *parsed(await answer.read()))
                await asyncio.sleep(POLL_S)

    async def cut(self, proxy: DroppingProxy) -> None:
        """Break the client's connection off, again and again."""
        while True:
            await asyncio.sleep(CUT_EVERY_S)
            proxy.drop()
            self.cuts += 1

    @staticmethod
    def note(books: dict[int, BookKey], seq: int, key: BookKey) -> None:
        assert books.setdefault(seq, key) == key, f"two different books stood at seq {seq}"


@pytest.fixture
def recording(tmp_path: Path) -> Recording:
    rows = None if ROWS == "all" else int(ROWS)
    if RECORDED.exists():
        return read_recording(RECORDED, limit=rows)
    print(f"the recorded day is not at {RECORDED}: a synthetic one takes its place")
    made_up = tmp_path / "day.csv"
    write_order_flow(made_up, seed=Random().randrange(10**6), orders=(rows or 50_000) // 2)
    return read_recording(made_up)


@asynccontextmanager
async def observed(twin: Twin) -> AsyncIterator[Witness]:
    """A witness at work from before the first order until it is told to stop."""
    witness = Witness()
    fanout = urlsplit(twin.websocket_url)
    assert fanout.port is not None
    is_listening = asyncio.Event()
    async with (
        DroppingProxy(fanout.port).serving() as proxy,
        Redis.from_url(twin.site.redis_url, decode_responses=True) as redis,
        asyncio.TaskGroup() as work,
    ):
        tasks = [
            work.create_task(witness.monitor(redis, is_listening)),
            work.create_task(witness.follow(f"ws://127.0.0.1:{proxy.port}{fanout.path}")),
            work.create_task(witness.poll(twin.gateway_url)),
            work.create_task(witness.cut(proxy)),
        ]
        await is_listening.wait()
        try:
            yield witness
        finally:
            for task in tasks:
                task.cancel()


async def test_the_depth_feed_alone_gives_the_served_book_at_every_seq(twin: Twin, recording: Recording) -> None:
    options = ReplayOptions(
        gateway_url=twin.gateway_url,
        websocket_url=None,
        operator=twin.operator,
        operator_password=twin.password,
        speed=speed_for(recording),
    )
    async with observed(twin) as witness:
        report = await replay(recording, options)
        await eventually(lambda: witness.seq == max(witness.cached))
    print(
        f"{len(recording.rows)} rows in {report.elapsed_s:.0f} s: {len(witness.cached)} books cached,"
        f" {len(witness.followed)} followed in {witness.steps} steps over {witness.cuts} cuts,"
        f" {len(witness.answered)} of them served in {witness.answers} answers"
    )
    assert report.is_clean
    first = min(witness.cached)  # a book from before the monitor listened was never seen being cached
    followed = {seq: key for seq, key in witness.followed.items() if seq >= first}
    same = {seq for seq, key in followed.items() if witness.cached.get(seq) == key}
    assert same == set(followed), "every book that the client had was the one to be served at its seq"
    served = {seq for seq in witness.answered if seq in witness.followed}
    assert all(witness.answered[seq] == witness.followed[seq] for seq in served)
    assert witness.cuts >= 3
    assert len(same) > len(recording.rows) / 20 and len(same) > 0.5 * len(witness.cached)
    assert len(served) > 0.3 * len(same), "and most of them were asked for"
