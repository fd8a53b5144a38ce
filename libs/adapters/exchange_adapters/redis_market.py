"""What is worth seeing now, in Redis: cache, subscriber sets and pub/sub. Losing all of it loses no order, no money.

Every call is bounded by CALL_TIMEOUT_S and attempted once, and whatever goes wrong raises Unavailable: a caller goes on
without. Each class is an async context manager that closes its connections; none connects before it is used, so
that a service starts while Redis is away.
"""

import asyncio
import random
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Any, Final, Self

import structlog
from redis.asyncio import Connection, ConnectionPool, Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import ReadOnlyError, RedisError, ResponseError

from exchange_adapters.system import end_tasks
from exchange_core.errors import Unavailable

CALL_TIMEOUT_S: Final = 0.5
SUBSCRIBERS_TTL_S: Final = 24 * 3600
"""A set of subscribers that nobody joined for this long is dropped: its fanout task died without removing them."""
MESSAGES_WAITING_MAX: Final = 10_000
SILENCE_S: Final = 5.0
"""A subscribed connection silent for this long is asked for a sign of life, and given up after as long again."""
_CONNECTIONS_MAX: Final = 64
_BACKOFF_FIRST_S: Final = 0.05
_BACKOFF_MAX_S: Final = 2.0


class RedisCalls:
    """A pool of connections for short calls.

    A primary that has become a replica keeps its connections and refuses every write on them. The first to hear of it
    closes those at rest, so that the calls after it go where the name leads by then.
    """

    def __init__(self, url: str) -> None:
        self._redis = Redis(connection_pool=_pool(url))

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._redis.aclose()
        await self._redis.connection_pool.disconnect()

    @asynccontextmanager
    async def _bounded(self) -> AsyncIterator[None]:
        """Bound and translate one call."""
        try:
            async with asyncio.timeout(CALL_TIMEOUT_S):
                yield
        except (RedisError, OSError) as error:
            if _is_by_a_replica(error):
                with suppress(RedisError, OSError):  # one that does not close in time is given up all the same
                    await self._redis.connection_pool.disconnect(inuse_connections=False)
            raise Unavailable(f"{type(error).__name__}: {error}") from error


class RedisMarketPublisher(RedisCalls):
    """MarketPublisher: the writing half of cache and pub/sub."""

    async def publish(self, cache: Mapping[str, bytes], messages: Sequence[tuple[str, bytes]]) -> None:
        """Set the keys, then publish (channel, message) in order, in one round trip."""
        if not cache and not messages:
            return
        async with self._bounded():
            pipeline = self._redis.pipeline(transaction=False)
            for key, value in cache.items():
                pipeline.set(key, value)
            for channel, message in messages:
                pipeline.publish(channel, message)
            await pipeline.execute()


class RedisMarketCache(RedisCalls):
    """MarketCache: the reading half of the cache."""

    async def get(self, key: str) -> bytes | None:
        """The value, or None when it is not cached."""
        async with self._bounded():
            value = await self._redis.get(key)
            assert not isinstance(value, str), "connections answer in bytes"
            return value


class RedisSubscriberSets(RedisCalls):
    """SubscriberSets: who watches what."""

    async def add(self, key: str, member: str) -> None:
        """Add the member, extending the set's life to SUBSCRIBERS_TTL_S from now."""
        async with self._bounded():
            pipeline = self._redis.pipeline(transaction=False)
            pipeline.sadd(key, member)
            pipeline.expire(key, SUBSCRIBERS_TTL_S)
            await pipeline.execute()

    async def remove(self, key: str, member: str) -> None:
        """Remove the member."""
        async with self._bounded():
            pipeline = self._redis.pipeline(transaction=False)
            pipeline.srem(key, member)
            await pipeline.execute()


class RedisMessageSource:
    """MessageSource: the reading half of pub/sub.

    One task owns one connection: it connects, subscribes to all that is wanted, reads, and starts over after any
    fault, with growing pauses. Listeners are told of none: what was said meanwhile is lost, and `seq` shows the gap.
    A reader of `messages` that is slow makes the task stop reading, until Redis cuts the connection: memory stays
    bounded, and the loss shows in the same way.
    """

    def __init__(self, url: str) -> None:
        self._pool = _pool(url)
        self._wanted: dict[str, asyncio.Event] = {}  # set once Redis has confirmed it on the connection that is there
        self._connection: Connection | None = None
        self._queue: asyncio.Queue[tuple[str, bytes]] = asyncio.Queue(MESSAGES_WAITING_MAX)
        self._arrived = asyncio.Event()
        self._reader: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        self._reader = asyncio.create_task(self._read_for_ever())
        self._reader.add_done_callback(lambda _: self._arrived.set())
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._reader is not None
        await end_tasks([self._reader])
        await self._pool.disconnect()

    async def subscribe(self, channel: str) -> None:
        """Hear this channel from now on: returns when Redis has confirmed it.

        Raises Unavailable when it has not within CALL_TIMEOUT_S. The wish stands: the channel is heard from whenever
        Redis takes it, and whoever needs to know asks again.
        """
        confirmed = self._wanted.get(channel)
        if confirmed is None:
            confirmed = self._wanted[channel] = asyncio.Event()
            await self._tell("SUBSCRIBE", channel)
        try:
            async with asyncio.timeout(CALL_TIMEOUT_S):
                await confirmed.wait()
        except TimeoutError:
            raise Unavailable(f"Redis has not confirmed the subscription to {channel}") from None

    async def unsubscribe(self, channel: str) -> None:
        """Stop hearing it, whether Redis is there or not; messages that have arrived already are still given out."""
        self._wanted.pop(channel, None)
        await self._tell("UNSUBSCRIBE", channel)

    async def messages(self) -> AsyncIterator[tuple[str, bytes]]:
        """(channel, message), until the source is closed; reconnects and resubscribes by itself. For one reader."""
        assert self._reader is not None, "read only while it is open"
        while True:
            while not self._queue.empty():
                yield self._queue.get_nowait()
            if self._reader.done():
                if not self._reader.cancelled():
                    self._reader.result()  # raises a bug of ours: faults do not end it, and closing cancels it
                return
            self._arrived.clear()
            await self._arrived.wait()

    async def _tell(self, command: str, channel: str) -> None:
        """Pass the wish on to a connection that works; one that does not will learn of it when it works again."""
        if self._connection is None:
            return
        try:
            await self._connection.send_command(command, channel, check_health=False)
        except (RedisError, OSError):
            return

    async def _read_for_ever(self) -> None:
        log = structlog.get_logger()
        pause_s = _BACKOFF_FIRST_S
        while True:
            connection: Connection = self._pool.make_connection()  # type: ignore[no-untyped-call]
            try:
                await self._connect(connection)
                pause_s = _BACKOFF_FIRST_S
                await self._read(connection)
            except (RedisError, OSError) as error:
                log.warning("redis_subscription_lost", cause=f"{type(error).__name__}: {error}")
            finally:
                self._connection = None
                for confirmed in self._wanted.values():
                    confirmed.clear()
                await connection.disconnect(nowait=True)
            await asyncio.sleep(random.uniform(pause_s / 2, pause_s))  # noqa: S311 - spreads load, guards nothing
            pause_s = min(2 * pause_s, _BACKOFF_MAX_S)

    async def _connect(self, connection: Connection) -> None:
        await connection.connect()  # type: ignore[no-untyped-call]
        # No await between the two: whoever subscribes next either is among them or finds the connection.
        self._connection = connection
        wanted = sorted(self._wanted)
        if wanted:
            await connection.send_command("SUBSCRIBE", *wanted, check_health=False)

    async def _read(self, connection: Connection) -> None:
        is_asked = False
        while True:
            response = await connection.read_response(timeout=SILENCE_S, disconnect_on_error=False)
            if response is None:
                if is_asked:
                    raise TimeoutError("no sign of life")
                await connection.send_command("PING", check_health=False)
            is_asked = response is None
            await self._take(response)

    async def _take(self, response: Any) -> None:
        match response:
            case [b"message", bytes(channel), bytes(message)]:
                await self._queue.put((channel.decode(), message))
                self._arrived.set()
            case [b"subscribe", bytes(channel), _]:
                confirmed = self._wanted.get(channel.decode())
                if confirmed is not None:
                    confirmed.set()


def _pool(url: str) -> ConnectionPool:
    """Connections that answer in bytes, in the older protocol (all servers know it), and that never try twice."""
    return ConnectionPool.from_url(
        url,
        protocol=2,
        socket_timeout=CALL_TIMEOUT_S,
        socket_connect_timeout=CALL_TIMEOUT_S,
        socket_keepalive=True,
        max_connections=_CONNECTIONS_MAX,
        retry=Retry(NoBackoff(), 0),
    )


def _is_by_a_replica(error: Exception) -> bool:
    """Whether a write was refused because the server is a replica; a script's refusal says so in its text alone."""
    return isinstance(error, ReadOnlyError) or (isinstance(error, ResponseError) and "READONLY" in str(error))
