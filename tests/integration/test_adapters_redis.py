"""Cache, sets and pub/sub against a real Redis, which is killed, silenced and started again."""

import asyncio
import contextlib
import signal
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest
from redis.asyncio import Redis

from crossbook.ports import PortAllocator, PortWish
from crossbook.processes import Supervisor
from crossbook.servers.redis import RedisServer
from crossbook.twin import Backing
from exchange_adapters import redis_market
from exchange_adapters.redis_limits import RedisOnceMarks, RedisRateLimiter
from exchange_adapters.redis_market import (
    SUBSCRIBERS_TTL_S,
    RedisMarketCache,
    RedisMarketPublisher,
    RedisMessageSource,
    RedisSubscriberSets,
)
from exchange_core.errors import Unavailable
from exchange_core.rate_limits import Charge, RateLimit
from tests.eventually import eventually
from tests.integration.dropping_proxy import Cut, DroppingProxy

PASSWORD = "for-tests"


class OwnRedis:
    """A Redis of one test, which comes back on the same port when it is killed, empty."""

    def __init__(self, server: RedisServer, supervisor: Supervisor, port: int) -> None:
        self.url = server.url
        self.port = port
        self._child = supervisor.find("redis")

    def kill(self) -> None:
        assert self._child.process is not None
        self._child.process.kill()

    def stand_still(self) -> None:
        assert self._child.process is not None
        self._child.process.send_signal(signal.SIGSTOP)

    def go_on(self) -> None:
        assert self._child.process is not None
        self._child.process.send_signal(signal.SIGCONT)

    async def follow(self, primary: "OwnRedis") -> None:
        """Become the other one's replica; connections stand."""
        async with Redis.from_url(self.url) as client:
            await client.config_set("masterauth", PASSWORD)
            await client.execute_command("REPLICAOF", "127.0.0.1", primary.port)


@contextlib.asynccontextmanager
async def running_redis(folder: Path) -> AsyncIterator[OwnRedis]:
    port = PortAllocator().claim_all((PortWish(name="redis"),), remembered={})["redis"]
    server = RedisServer(folder, port=port, password=PASSWORD)
    supervisor = Supervisor(logs=folder / "logs")
    try:
        await supervisor.start(server.spec())
        yield OwnRedis(server, supervisor, port)
    finally:
        await supervisor.stop()


@pytest.fixture
async def own_redis(tmp_path: Path) -> AsyncIterator[OwnRedis]:
    async with running_redis(tmp_path) as redis:
        yield redis


@pytest.fixture
async def another_redis(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[OwnRedis]:
    async with running_redis(tmp_path_factory.mktemp("another")) as redis:
        yield redis


@pytest.fixture
async def raw(backing: Backing) -> AsyncIterator["Redis[Any]"]:
    async with Redis.from_url(backing.redis_url) as client:
        yield client


@contextlib.asynccontextmanager
async def hearing(source: RedisMessageSource) -> AsyncIterator[list[tuple[str, bytes]]]:
    """What the source gives out while the block runs."""
    heard: list[tuple[str, bytes]] = []

    async def listen() -> None:
        async for arrived in source.messages():
            heard.append(arrived)  # noqa: PERF401 - it never ends, and is looked at meanwhile

    task = asyncio.create_task(listen())
    try:
        yield heard
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


async def test_keys_are_set_and_messages_published_in_order(backing: Backing) -> None:
    async with (
        RedisMarketPublisher(backing.redis_url) as publisher,
        RedisMarketCache(backing.redis_url) as cache,
        RedisMessageSource(backing.redis_url) as source,
        hearing(source) as heard,
    ):
        await source.subscribe("trades:A")
        await source.subscribe("trades:B")
        await publisher.publish({}, [])
        await publisher.publish(
            {"price:A": b"1", "orderbook:A": b"\x00\xff"},
            [("trades:A", b"1"), ("trades:B", b"2"), ("trades:C", b"3"), ("trades:A", b"4")],
        )
        assert await cache.get("price:A") == b"1"
        assert await cache.get("orderbook:A") == b"\x00\xff"
        assert await cache.get("price:nobody") is None
        await eventually(lambda: heard == [("trades:A", b"1"), ("trades:B", b"2"), ("trades:A", b"4")])


async def test_what_is_said_after_subscribe_returned_is_heard_and_nothing_after_unsubscribe(backing: Backing) -> None:
    async with (
        RedisMarketPublisher(backing.redis_url) as publisher,
        RedisMessageSource(backing.redis_url) as source,
        hearing(source) as heard,
    ):
        for n in range(50):
            await source.subscribe(f"channel-{n}")
            await publisher.publish({}, [(f"channel-{n}", b"x")])
        await eventually(lambda: len(heard) == 50)
        await source.unsubscribe("channel-7")
        await source.subscribe("last")
        await publisher.publish({}, [("channel-7", b"y"), ("last", b"y")])
        await eventually(lambda: heard[50:] == [("last", b"y")])


async def subscribed(source: RedisMessageSource, channels: Sequence[str]) -> None:
    """Ask again for those that Redis has not confirmed in time, as a busy machine may have it."""
    async with asyncio.timeout(60):
        while channels:
            results = await asyncio.gather(*map(source.subscribe, channels), return_exceptions=True)
            assert all(result is None or isinstance(result, Unavailable) for result in results), results
            channels = [channel for channel, result in zip(channels, results, strict=True) if result is not None]


async def test_thousands_subscribe_at_once(backing: Backing) -> None:
    channels = [f"user:{number}" for number in range(5_000)]
    async with (
        RedisMessageSource(backing.redis_url) as source,
        RedisMarketPublisher(backing.redis_url) as publisher,
        contextlib.aclosing(source.messages()) as heard,
    ):
        await subscribed(source, channels)
        await publisher.publish({}, [(channel, channel.encode()) for channel in channels])
        async with asyncio.timeout(30):
            assert [await anext(heard) for _ in channels] == [(channel, channel.encode()) for channel in channels]


async def test_the_source_hears_again_after_redis_was_killed(own_redis: OwnRedis) -> None:
    async with (
        RedisMarketPublisher(own_redis.url) as publisher,
        RedisMessageSource(own_redis.url) as source,
        hearing(source) as heard,
    ):
        await source.subscribe("kept")
        await source.subscribe("dropped")
        own_redis.kill()
        await source.unsubscribe("dropped")
        with contextlib.suppress(Unavailable):  # unless it is back already
            await source.subscribe("wished for while it was down")

        async def published_and_heard() -> bool:
            with contextlib.suppress(Unavailable):
                everywhere = ("kept", "dropped", "wished for while it was down")
                await publisher.publish({}, [(channel, b"x") for channel in everywhere])
            return len({channel for channel, _ in heard}) == 2

        await eventually(published_and_heard, timeout_s=20)
        assert {channel for channel, _ in heard} == {"kept", "wished for while it was down"}


async def test_a_connection_that_fell_silent_is_given_up(own_redis: OwnRedis, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(redis_market, "SILENCE_S", 0.1)
    async with DroppingProxy(own_redis.port).serving() as proxy:
        url = own_redis.url.replace(str(own_redis.port), str(proxy.port))
        async with (
            RedisMarketPublisher(own_redis.url) as publisher,
            RedisMessageSource(url) as source,
            hearing(source) as heard,
        ):
            await source.subscribe("channel")
            assert proxy.accepted == 1
            proxy.cut = Cut.SILENCE
            await eventually(lambda: proxy.accepted > 1)
            proxy.cut = Cut.NOWHERE

            async def published_and_heard() -> bool:
                await publisher.publish({}, [("channel", b"x")])
                return bool(heard)

            await eventually(published_and_heard)


async def test_a_subscription_is_not_confirmed_by_a_redis_that_stands_still(own_redis: OwnRedis) -> None:
    async with RedisMessageSource(own_redis.url) as source:
        await source.subscribe("before")
        own_redis.stand_still()
        try:
            for _ in range(2):
                with pytest.raises(Unavailable, match="has not confirmed the subscription to meanwhile"):
                    await source.subscribe("meanwhile")
        finally:
            own_redis.go_on()
        await source.subscribe("meanwhile")
        await source.subscribe("before")


async def test_a_quiet_connection_that_lives_is_kept(own_redis: OwnRedis, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(redis_market, "SILENCE_S", 0.02)
    async with (
        Redis.from_url(own_redis.url) as raw_client,
        DroppingProxy(own_redis.port).serving() as proxy,
        RedisMessageSource(own_redis.url.replace(str(own_redis.port), str(proxy.port))) as source,
        hearing(source),
    ):
        await source.subscribe("channel")

        async def pinged() -> bool:
            return int((await raw_client.info("commandstats")).get("cmdstat_ping", {}).get("calls", 0)) >= 8

        await eventually(pinged)
        assert proxy.accepted == 1


async def test_a_source_starts_while_redis_is_away_and_closes_at_any_time() -> None:
    port = PortAllocator().claim_all((PortWish(name="nobody"),), remembered={})["nobody"]
    async with RedisMessageSource(f"redis://127.0.0.1:{port}/0") as source, hearing(source) as heard:
        with pytest.raises(Unavailable, match="has not confirmed"):
            await source.subscribe("channel")
    assert heard == []


async def test_closing_the_source_ends_its_messages(backing: Backing) -> None:
    source = RedisMessageSource(backing.redis_url)
    async with RedisMarketPublisher(backing.redis_url) as publisher, source:
        await source.subscribe("channel")
        await publisher.publish({}, [("channel", b"x")])
        messages = source.messages()
        assert await anext(messages) == ("channel", b"x")
    assert [message async for message in messages] == []


async def test_calls_to_a_redis_that_is_away_or_silent_are_unavailable(
    own_redis: OwnRedis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(redis_market, "CALL_TIMEOUT_S", 0.1)
    async with DroppingProxy(own_redis.port).serving() as proxy:
        url = own_redis.url.replace(str(own_redis.port), str(proxy.port))
        async with (
            RedisMarketPublisher(url) as publisher,
            RedisMarketCache(url) as cache,
            RedisSubscriberSets(url) as sets,
        ):
            await publisher.publish({"key": b"value"}, [])
            assert await cache.get("key") == b"value"
            for cut in (Cut.SILENCE, Cut.BEFORE_ANSWERING):
                proxy.cut = cut
                for call in (publisher.publish({"key": b"v"}, []), cache.get("key"), sets.add("set", "member")):
                    with pytest.raises(Unavailable):
                        await call
            proxy.cut = Cut.NOWHERE
            assert await cache.get("key") == b"v", "the connections were replaced"
            await proxy.close()
            with pytest.raises(Unavailable):
                await cache.get("key")


@pytest.mark.parametrize("call", ["publish", "join", "take", "claim"])
async def test_a_server_that_has_become_a_replica_is_asked_once(
    own_redis: OwnRedis, another_redis: OwnRedis, call: str
) -> None:
    async with DroppingProxy(own_redis.port).serving() as proxy, AsyncExitStack() as stack:
        url = own_redis.url.replace(str(own_redis.port), str(proxy.port))
        publisher, sets = RedisMarketPublisher(url), RedisSubscriberSets(url)
        limiter, marks = RedisRateLimiter(url), RedisOnceMarks(url)
        for calls in (publisher, sets, limiter, marks):
            await stack.enter_async_context(calls)
        charge = Charge(key="limit", limit=RateLimit(requests=100, window_ms=1_000))
        ways: dict[str, Callable[[], Awaitable[object]]] = {
            "publish": lambda: publisher.publish({"key": b"value"}, []),
            "join": lambda: sets.add("set", "member"),
            "take": lambda: limiter.take([[charge]]),
            "claim": lambda: marks.claim("mark", 1_000),
        }
        # GIVEN connections to a primary, some of them at rest
        await asyncio.gather(*(ways[call]() for _ in range(3)))
        # WHEN another one takes its place and its name, while the connections stand
        proxy.target_port = another_redis.port
        await own_redis.follow(another_redis)
        # THEN one call hears of it, and the next ones reach the new primary
        with pytest.raises(Unavailable, match="read only replica"):
            await ways[call]()
        await asyncio.gather(*(ways[call]() for _ in range(3)))


async def test_a_replica_whose_connections_do_not_close_is_left_all_the_same(
    own_redis: OwnRedis, another_redis: OwnRedis, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def never_closed(_: asyncio.StreamWriter) -> None:
        await asyncio.Event().wait()

    monkeypatch.setattr(redis_market, "CALL_TIMEOUT_S", 0.2)
    async with DroppingProxy(own_redis.port).serving() as proxy:
        url = own_redis.url.replace(str(own_redis.port), str(proxy.port))
        async with RedisMarketPublisher(url) as publisher:
            await publisher.publish({"key": b"value"}, [])
            proxy.target_port = another_redis.port
            await own_redis.follow(another_redis)
            with monkeypatch.context() as closing:
                closing.setattr(asyncio.StreamWriter, "wait_closed", never_closed)
                with pytest.raises(Unavailable, match="read only replica"):
                    await publisher.publish({"key": b"value"}, [])
            await publisher.publish({"key": b"value"}, [])


async def test_a_refusal_of_redis_is_unavailable(raw: "Redis[Any]", backing: Backing) -> None:
    await raw.sadd("a-set", "member")
    async with RedisMarketCache(backing.redis_url) as cache:
        with pytest.raises(Unavailable):
            await cache.get("a-set")


async def test_a_set_of_subscribers_lives_as_long_as_somebody_joins(raw: "Redis[Any]", backing: Backing) -> None:
    async with RedisSubscriberSets(backing.redis_url) as sets:
        await sets.add("subscribers:A", "one")
        await raw.expire("subscribers:A", 10)
        await sets.add("subscribers:A", "two")
        assert await raw.ttl("subscribers:A") == SUBSCRIBERS_TTL_S
        assert await raw.smembers("subscribers:A") == {b"one", b"two"}
        await sets.remove("subscribers:A", "one")
        await sets.remove("subscribers:A", "one")
        assert await raw.smembers("subscribers:A") == {b"two"}
