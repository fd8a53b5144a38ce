"""Depth through fanout: the reference client has the matcher's book, whatever is lost and however slowly it reads."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from random import Random
from typing import Any

import aiohttp
import pytest

from exchange_adapters.sim import SimRedis
from exchange_core.instruments import Instrument
from exchange_core.market_data import BOOK_CACHE_LEVELS, Level, depth_message, order_book_message
from exchange_core.topology import depth_channel, order_book_key
from exchange_fanout.connections import Connection, Laggards, Patience
from exchange_fanout.frames import CloseCode
from exchange_fanout.hub import Hub
from exchange_fanout.messages import read_diff
from exchange_fanout.subscriptions import MERGED_LEVELS_MAX, DepthSubscription, LatestSubscription
from simulation.clients.depth_client import depth_client
from tests.eventually import eventually
from tests.unit.fanout.support import PATIENCE_S, Fanout, ask, running_fanout, subscribe
from tests.unit.fanout.test_hub import RecordingTransport

SYMBOL = "BTCUSDT"
INSTRUMENT = Instrument(
    symbol=SYMBOL,
    base="BTC",
    quote="USDT",
    base_decimals=8,
    quote_decimals=8,
    tick_size=Decimal("0.01"),
    lot_size=Decimal("0.00001"),
    min_quantity=1,
    max_quantity=10**9,
    min_notional=0,
    maker_fee_bps=10,
    taker_fee_bps=20,
    band_bps=5_000,
    reference_price=5_000_000,
    partition=0,
)
Sides = tuple[list[Level], list[Level]]


class Market:
    """A book that changes at random, published as the matcher publishes it."""

    def __init__(self, redis: SimRedis, seed: int = 1) -> None:
        self._redis = redis
        self._random = Random(seed)
        self._bids: dict[int, int] = {}
        self._asks: dict[int, int] = {}
        self._published: Sides = ([], [])
        self._published_seq = 0
        self.seq = 0
        self.history: dict[int, Any] = {}

    @property
    def sides(self) -> Sides:
        return (
            sorted(self._bids.items(), reverse=True)[:BOOK_CACHE_LEVELS],
            sorted(self._asks.items())[:BOOK_CACHE_LEVELS],
        )

    def change(self, count: int = 5) -> None:
        for _ in range(count):
            self.seq += 1
            side, sign = self._random.choice(((self._bids, -1), (self._asks, 1)))
            price = 5_000_000 + sign * self._random.randint(1, 400)
            if not side.pop(price, 0) or self._random.random() < 0.5:
                side[price] = self._random.randint(1, 10**6)

    async def publish(self) -> None:
        """Cache and diff, as one writing."""
        cached = order_book_message(INSTRUMENT, self.seq, 0, *self.sides)
        self.history[self.seq] = told(json.loads(cached, parse_float=str, parse_int=str))
        diff = depth_message(
            INSTRUMENT,
            seq=self.seq,
            prev_seq=self._published_seq,
            at_ms=0,
            before=self._published,
            after=self.sides,
        )
        self._published, self._published_seq = self.sides, self.seq
        await self._redis.publish({order_book_key(SYMBOL): cached}, [(depth_channel(SYMBOL), diff)])


def told(message: Any) -> Any:
    return dict(message["bids"]), dict(message["asks"])


class Client:
    """The reference client, and every book it had."""

    def __init__(self) -> None:
        self.seq = 0
        self.history: dict[int, Any] = {}
        self.steps = 0

    async def run(self, fanout: Fanout) -> None:
        async for book in depth_client.follow(fanout.session, f"{fanout.url}/ws", SYMBOL):
            self.seq = book.seq
            self.steps += 1
            self.history[book.seq] = (dict(book.bids), dict(book.asks))


@contextlib.asynccontextmanager
async def following(fanout: Fanout) -> AsyncIterator[Client]:
    client = Client()
    task = asyncio.create_task(client.run(fanout))
    try:
        yield client
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


async def test_the_reference_client_has_every_book_of_the_matcher() -> None:
    async with running_fanout() as fanout, following(fanout) as client:
        market = Market(fanout.redis)
        market.change(300)
        await market.publish()
        await eventually(lambda: client.seq == market.seq)
        for _ in range(300):
            market.change()
            await market.publish()
        await eventually(lambda: client.seq == market.seq)
        assert client.history == market.history
        assert client.steps == 301, "one snapshot and each diff once"


async def test_who_comes_later_gets_the_book_of_this_moment_and_may_ask_for_it_again() -> None:
    async with running_fanout() as fanout, await fanout.connect() as first, await fanout.connect() as second:
        market = Market(fanout.redis)
        market.change(50)
        await market.publish()
        for socket in (first, second, second):
            await subscribe(socket, SYMBOL, "depth")
            snapshot = json.loads(await socket.receive_str(timeout=PATIENCE_S), parse_float=str, parse_int=str)
            assert (snapshot["event"], told(snapshot)) == ("snapshot", market.history[market.seq])
            book = depth_client.Book()
            assert book.take(snapshot), "its checksum is right"
        assert fanout.faults.calls["redis.get"] < 10, "the node reads the book once for all"


async def test_a_symbol_without_a_book_sends_it_when_there_is_one() -> None:
    async with running_fanout() as fanout, await fanout.connect() as socket:
        await subscribe(socket, SYMBOL, "depth")
        assert (await ask(socket, action="ping"))["event"] == "pong"
        market = Market(fanout.redis)
        market.change(1)
        await market.publish()
        snapshot = await socket.receive_json(timeout=PATIENCE_S)
        assert (snapshot["event"], snapshot["seq"]) == ("snapshot", 1)


async def test_what_redis_lost_is_mended_by_a_new_book() -> None:
    async with running_fanout() as fanout, following(fanout) as client:
        market = Market(fanout.redis)
        market.change(50)
        await market.publish()
        await eventually(lambda: client.seq == market.seq)
        for _ in range(5):
            fanout.faults.down("redis")
            market.change()
            await market.publish()
            fanout.faults.up("redis")
            market.change()
            await market.publish()
            await eventually(lambda: client.seq == market.seq)
        assert all(market.history[seq] == book for seq, book in client.history.items())


async def test_a_cache_that_is_behind_its_diffs_is_read_until_it_is_not() -> None:
    async with running_fanout() as fanout, following(fanout) as client:
        market = Market(fanout.redis)
        market.change(10)
        await market.publish()
        old = await fanout.redis.get(order_book_key(SYMBOL))
        assert old is not None
        await eventually(lambda: client.seq == market.seq)
        fanout.faults.down("redis")
        market.change()
        await market.publish()
        fanout.faults.up("redis")
        new = await fanout.redis.get(order_book_key(SYMBOL))
        assert new is not None
        # A matcher that was paused wakes and writes its old book over the new one.
        market.change()
        await market.publish()
        newest = await fanout.redis.get(order_book_key(SYMBOL))
        assert newest is not None
        await fanout.redis.publish({order_book_key(SYMBOL): old}, [])
        reads = fanout.faults.calls["redis.get"]
        await eventually(lambda: fanout.faults.calls["redis.get"] > reads + 1)
        await fanout.redis.publish({order_book_key(SYMBOL): newest}, [])
        await eventually(lambda: client.seq == market.seq)
        assert all(market.history[seq] == book for seq, book in client.history.items())


@pytest.mark.parametrize("message", [b"", b"{}", b'{"seq":1}', b'{"event":"depth","symbol":"BTCUSDT","seq":"x"}'])
async def test_what_is_no_diff_harms_nobody(message: bytes) -> None:
    with pytest.raises(ValueError):
        read_diff(message)
    async with running_fanout() as fanout, following(fanout) as client:
        market = Market(fanout.redis)
        market.change(10)
        await market.publish()
        await eventually(lambda: client.seq == market.seq)
        await fanout.redis.publish({}, [(depth_channel(SYMBOL), message)])
        market.change()
        await market.publish()
        await eventually(lambda: client.seq == market.seq)
        assert client.history[market.seq] == market.history[market.seq]


class SlowReader:
    """One connection on a transport of the test's, which says how much waits."""

    def __init__(self, patience: Patience) -> None:
        self.transport = RecordingTransport()
        self.ended: list[CloseCode] = []
        self.laggards = Laggards()
        self.connection = Connection(
            connection_id="1",
            transport=self.transport,
            patience=patience,
            end=lambda _, code: self.ended.append(code),
            on_behind=self.laggards.add,
        )

    def read(self) -> list[Any]:
        """What was written since, without the frames' headers."""
        payloads = [frame[frame.index(b"{") :] for frame in self.transport.written]
        self.transport.written.clear()
        return [json.loads(payload, parse_float=str, parse_int=str) for payload in payloads]


PATIENCE = Patience(behind_bytes=100, waiting_bytes_max=1 << 20, behind_s_max=60)
IMPATIENCE = replace(PATIENCE, behind_s_max=0.3)


@contextlib.asynccontextmanager
async def slow_reader(patience: Patience = PATIENCE) -> AsyncIterator[tuple[SlowReader, Market, Hub]]:
    server = SimRedis()
    client = server.connect()
    hub = Hub(client, client)
    reader = SlowReader(patience)
    stages = (hub.follow(), hub.broadcast(), hub.read_books(), reader.laggards.run())
    tasks = [asyncio.create_task(stage) for stage in stages]
    channel = depth_channel(SYMBOL)
    depth = DepthSubscription(reader.connection, channel, lambda: hub.snapshot(channel))
    try:
        await hub.watch([depth], timeout_s=1)
        depth.begin()
        market = Market(server)
        market.change(100)
        await market.publish()
        await eventually(lambda: reader.transport.written)
        yield reader, market, hub
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def until_heard(hub: Hub, market: Market) -> None:
    count = hub.message_count
    market.change(3)
    await market.publish()
    await eventually(lambda: hub.message_count > count)


async def test_diffs_for_a_slow_reader_are_merged_into_one_that_leads_to_the_same_book() -> None:
    async with slow_reader() as (reader, market, hub):
        book = depth_client.Book()
        for message in reader.read():
            book.take(message)
        for _ in range(5):
            first = market.seq
            reader.transport.waiting = 101
            for _ in range(6):
                await until_heard(hub, market)
            assert not reader.transport.written
            reader.transport.waiting = 0
            (merged,) = await eventually(reader.read)
            assert (merged["event"], int(merged["prev_seq"]), int(merged["seq"])) == ("depth", first, market.seq)
            assert book.take(merged)
            assert (book.bids, book.asks) == market.history[market.seq]
            await until_heard(hub, market)
            for message in await eventually(reader.read):
                assert book.take(message), "then single diffs again"
        assert not reader.ended


async def test_a_reader_so_slow_that_the_merged_diff_outgrows_the_book_gets_the_book() -> None:
    async with slow_reader() as (reader, market, hub):
        reader.read()
        reader.transport.waiting = 101
        changed = 0
        while changed <= 3 * MERGED_LEVELS_MAX:
            changed += 40
            market.change(40)
            await until_heard(hub, market)
        reader.transport.waiting = 0
        (snapshot,) = await eventually(reader.read)
        assert (snapshot["event"], told(snapshot)) == ("snapshot", market.history[market.seq])
        await until_heard(hub, market)
        (diff,) = await eventually(reader.read)
        assert diff["event"] == "depth"


async def test_of_tickers_a_slow_reader_gets_the_latest_and_is_cut_when_it_stays_behind() -> None:
    async with slow_reader(IMPATIENCE) as (reader, market, hub):
        ticker = LatestSubscription(reader.connection, "ticker:BTCUSDT")
        await hub.watch([ticker], timeout_s=1)
        reader.read()
        reader.transport.waiting = 101
        for number in range(5):
            await market._redis.publish({}, [("ticker:BTCUSDT", b'{"number":%d}' % number)])
        await eventually(lambda: ticker._latest is not None and b"4" in ticker._latest)
        assert not reader.transport.written and not reader.ended
        reader.transport.waiting = 0
        assert await eventually(reader.read) == [{"number": "4"}]
        reader.transport.waiting = 101
        await market._redis.publish({}, [("ticker:BTCUSDT", b'{"number":5}')])
        await eventually(lambda: reader.ended)
        assert reader.ended == [CloseCode.TOO_SLOW]


def corrupted(change: Callable[[dict[str, Any]], None]) -> dict[str, Any]:
    diff: dict[str, Any] = {
        "event": "depth",
        "seq": "3",
        "prev_seq": "2",
        "bids": [["100", "1"]],
        "asks": [],
        "checksum": "0",
    }
    change(diff)
    return diff


def test_the_reference_client_notices_a_gap_and_a_wrong_digit() -> None:
    def book() -> Any:
        kept = depth_client.Book()
        kept.take({"event": "snapshot", "seq": "2", "bids": [], "asks": [], "checksum": "0"})
        return kept

    right = book()
    crc = depth_client.zlib.crc32(b"1001")
    assert right.take(corrupted(lambda diff: diff.update(checksum=str(crc))))
    with pytest.raises(depth_client.OutOfStepError):
        book().take(corrupted(lambda diff: diff.update(checksum=str(crc), prev_seq="1")))
    with pytest.raises(depth_client.OutOfStepError):
        book().take(corrupted(lambda diff: diff.update(checksum=str(crc), bids=[["100", "2"]])))
    assert not book().take(corrupted(lambda diff: diff.update(seq="2", prev_seq="1"))), "older than the book"


def test_the_documented_example_is_right_to_the_last_digit() -> None:
    text = (Path(__file__).parents[3] / "docs" / "websocket.md").read_text()
    example = text[text.index('{"event": "snapshot"') :].partition("```")[0]
    snapshot, _, diff = example.partition("\n{")
    book = depth_client.Book()
    for message in (snapshot, "{" + diff):
        assert book.take(json.loads(message, parse_float=str, parse_int=str))
    assert (book.bids, book.asks) == ({"49999.5": "0.2"}, {"50000": "0.4"})


async def test_a_connection_ends_while_its_book_is_on_its_way() -> None:
    async with running_fanout() as fanout:
        for _ in range(20):
            socket = await fanout.connect()
            await socket.send_json({"action": "subscribe", "symbol": SYMBOL, "channel": "depth"})
            await socket.close()
        await eventually(lambda: not fanout.connections.connections)
        async with await fanout.connect() as last:
            assert isinstance(last, aiohttp.ClientWebSocketResponse)
            await subscribe(last, SYMBOL, "depth")
