"""The matcher as a process, on the emulated cloud and a real Redis."""

import asyncio
import contextlib
import signal
import sys
from collections.abc import AsyncIterator
from types import SimpleNamespace

import aiohttp
import orjson
import pytest
from redis.asyncio import Redis

from crossbook.bootstrap import Cloud, open_cloud
from crossbook.environment import inherited_environment
from crossbook.ports import LOOPBACK, PortAllocator, PortWish
from crossbook.site import Site
from exchange_adapters.dynamodb_journal import DynamoJournal
from exchange_adapters.kinesis import KinesisExecutionSource
from exchange_adapters.sqs import SqsCommandSink
from exchange_adapters.system import SystemClock
from exchange_core.codec import Slot, decode_slot, encode_commands
from exchange_core.commands import Command
from exchange_core.engine import PartitionEngine
from exchange_core.events import TradeExecuted
from exchange_core.orders import Side
from exchange_core.ports import CommandMessage
from tests.eventually import eventually
from tests.unit.matcher.support import SYMBOL, listing, order


class MatcherProcess:
    """`python -m exchange_matcher` with a health port of its own."""

    def __init__(self, site: Site, name: str) -> None:
        self.port = PortAllocator().claim_all((PortWish(name="any"),), remembered={})["any"]
        self._environment = (
            inherited_environment()
            | site.exchange_environment
            | {"HTTP_PORT": str(self.port), "HTTP_HOST": LOOPBACK, "SERVICE_INSTANCE": name, "LOG_LEVEL": "debug"}
        )
        self.process: asyncio.subprocess.Process | None = None

    async def start(self) -> "MatcherProcess":
        self.process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "exchange_matcher", env=self._environment, stdout=asyncio.subprocess.DEVNULL
        )
        return self

    async def is_ready(self) -> bool:
        with contextlib.suppress(aiohttp.ClientError):
            async with (
                aiohttp.ClientSession() as session,
                session.get(f"http://{LOOPBACK}:{self.port}/readyz") as answer,
            ):
                return answer.status == 200
        return False

    async def end(self, number: int) -> int:
        assert self.process is not None
        if self.process.returncode is None:
            self.process.send_signal(number)
        return await self.process.wait()


class Place:
    """A site with clients of its stores, and the matchers started on it."""

    def __init__(self, site: Site, cloud: Cloud) -> None:
        clients = SimpleNamespace(sqs=cloud.sqs, dynamodb=cloud.dynamodb, kinesis=cloud.kinesis)
        self.site = site
        self.sink = SqsCommandSink(clients.sqs, site.topology)
        self.journal = DynamoJournal(clients.dynamodb, site.topology)
        self.stream = KinesisExecutionSource(clients.kinesis, site.topology)
        self.matchers: list[MatcherProcess] = []
        self._sent = 0

    async def start(self, name: str) -> MatcherProcess:
        matcher = await MatcherProcess(self.site, name).start()
        self.matchers.append(matcher)
        return matcher

    async def send(self, *commands: Command) -> None:
        self._sent += 1
        body = encode_commands(commands)
        await self.sink.send(0, [CommandMessage(partition=0, group=SYMBOL, dedup_id=str(self._sent), body=body)])

    async def slots(self) -> list[Slot]:
        slots = [decode_slot(data) for _, data in await self.journal.read(0, 0, 10_000)]
        assert [slot.n for slot in slots] == list(range(1, len(slots) + 1))
        return slots

    async def has(self, *command_ids: int) -> bool:
        return set(command_ids) <= {event.cause for slot in await self.slots() for event in slot.events}

    async def streamed(self) -> list[int]:
        numbers = []
        for shard in await self.stream.shards():
            iterator = await self.stream.iterator(shard.shard_id, None)
            page = await self.stream.read(iterator, 10_000)
            slots = [decode_slot(record.data) for record in page.records]
            numbers += [slot.n for slot in slots if slot.partition == 0]
        return numbers


@pytest.fixture
async def place(site: Site) -> AsyncIterator[Place]:
    async with open_cloud(site.aws) as cloud:
        place = Place(site, cloud)
        try:
            yield place
        finally:
            for matcher in place.matchers:
                await matcher.end(signal.SIGKILL)


async def test_it_journals_feeds_and_publishes_and_stops_in_order(place: Place):
    matcher = await place.start("matcher-1")
    await eventually(matcher.is_ready)
    now_ms = SystemClock().now_ms()
    await place.send(listing(entered_at_ms=now_ms), order(10, Side.SELL, user_id="bob", entered_at_ms=now_ms))
    await place.send(order(11, entered_at_ms=now_ms))
    await eventually(lambda: place.has(1, 10, 11))
    events = [event for slot in await place.slots() for event in slot.events]
    assert [type(event) for event in events].count(TradeExecuted) == 1
    redis = Redis.from_url(place.site.redis_url)
    try:
        price = await eventually(lambda: redis.get(f"price:{SYMBOL}"))
        assert orjson.loads(price)["price"] == 50_000
        book = orjson.loads(await redis.get(f"orderbook:{SYMBOL}"))
        assert (book["bids"], book["asks"], book["seq"]) == ([], [], events[-1].seq)
    finally:
        await redis.aclose()
    streamed = await place.streamed()
    assert streamed == sorted(streamed) and set(streamed) == {slot.n for slot in await place.slots()}
    assert await matcher.end(signal.SIGTERM) == 0
    again = await place.start("matcher-1")
    await eventually(again.is_ready)
    await place.send(order(11, entered_at_ms=now_ms), order(12, entered_at_ms=now_ms))
    await eventually(lambda: place.has(12))
    assert [event.cause for slot in await place.slots() for event in slot.events].count(11) == [
        event.cause for event in events
    ].count(11)


async def test_a_killed_matcher_is_replaced_and_no_command_is_lost(place: Place):
    first = await place.start("matcher-1")
    await eventually(first.is_ready)
    await place.send(listing(entered_at_ms=SystemClock().now_ms()))
    await eventually(lambda: place.has(1))
    standby = await place.start("matcher-2")
    await eventually(standby.is_ready)
    now_ms = SystemClock().now_ms()
    ids = list(range(10, 70))
    for number in ids:
        side = Side.BUY if number % 2 else Side.SELL
        await place.send(order(number, side, user_id=f"user-{number % 3}", entered_at_ms=now_ms))
        if number == 40:
            await first.end(signal.SIGKILL)
            await standby.end(signal.SIGKILL)
            first = await place.start("matcher-1")
    await eventually(lambda: place.has(*ids), timeout_s=60)
    slots = await place.slots()
    live = PartitionEngine(0)
    for slot in slots:
        live.apply_slot(slot)
    accepted = [event.cause for slot in slots for event in slot.events if type(event).__name__ == "OrderAccepted"]
    assert sorted(accepted) == ids
    firsts = list(dict.fromkeys(await place.streamed()))
    assert firsts == list(range(1, len(firsts) + 1)), "a slot came to the stream before the one before it"
