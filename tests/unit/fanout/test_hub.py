"""The hub: one subscription a channel, kept equal to what is watched, whatever Redis does."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from exchange_adapters.sim import Faults, Gate, SimRedis
from exchange_fanout.connections import Connection
from exchange_fanout.frames import CloseCode, text_frame
from exchange_fanout.hub import FeedUnavailableError, Hub
from tests.eventually import eventually


class RecordingTransport(asyncio.Transport):
    """Takes what is written, and says that `waiting` bytes of it are still to be sent."""

    def __init__(self) -> None:
        super().__init__()
        self.written: list[bytes] = []
        self.waiting = 0

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.written.append(bytes(data))

    def get_write_buffer_size(self) -> int:
        return self.waiting

    def is_closing(self) -> bool:
        return False


ended: list[CloseCode] = []


def make_connection(name: str) -> tuple[Connection, RecordingTransport]:
    transport = RecordingTransport()
    connection = Connection(
        connection_id=name, transport=transport, buffer_bytes=1000, end=lambda _, code: ended.append(code)
    )
    return connection, transport


@asynccontextmanager
async def running(hub: Hub) -> AsyncIterator[None]:
    tasks = [asyncio.create_task(hub.follow()), asyncio.create_task(hub.broadcast())]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def test_many_watchers_of_a_channel_share_one_redis_subscription() -> None:
    faults, server = Faults(), SimRedis()
    hub = Hub(server.connect(faults))
    clients = [make_connection(str(number)) for number in range(600)]
    async with running(hub):
        await asyncio.gather(*(hub.watch(connection, "trades:BTCUSDT", timeout_s=1) for connection, _ in clients))
        await server.publish({}, [("trades:BTCUSDT", b'{"seq":1}'), ("trades:ETHUSDT", b"other")])
        await eventually(lambda: all(transport.written for _, transport in clients))
    assert faults.calls["redis.subscribe"] == 1
    assert all(transport.written == [text_frame(b'{"seq":1}')] for _, transport in clients)


async def test_the_last_watcher_to_leave_ends_the_redis_subscription() -> None:
    faults, server = Faults(), SimRedis()
    hub = Hub(server.connect(faults))
    (first, _), (second, _) = make_connection("1"), make_connection("2")
    async with running(hub):
        await hub.watch(first, "trades:BTCUSDT", timeout_s=1)
        await hub.watch(second, "trades:BTCUSDT", timeout_s=1)
        hub.unwatch(first, "trades:BTCUSDT")
        await hub.watch(first, "trades:ETHUSDT", timeout_s=1)
        assert faults.calls["redis.unsubscribe"] == 0
        hub.unwatch(second, "trades:BTCUSDT")
        await eventually(lambda: hub.channel_count == 1)
    assert faults.calls["redis.unsubscribe"] == 1


async def test_who_comes_while_the_channel_is_being_left_is_subscribed_again() -> None:
    faults, server = Faults(), SimRedis()
    gate = Gate()
    faults.script("redis.unsubscribe", [gate])
    hub = Hub(server.connect(faults))
    (first, _), (second, transport) = make_connection("1"), make_connection("2")
    async with running(hub):
        await hub.watch(first, "trades:BTCUSDT", timeout_s=1)
        hub.unwatch(first, "trades:BTCUSDT")
        await gate.reached.wait()
        arriving = asyncio.create_task(hub.watch(second, "trades:BTCUSDT", timeout_s=1))
        await asyncio.sleep(0)
        gate.open.set()
        await arriving
        await server.publish({}, [("trades:BTCUSDT", b"{}")])
        await eventually(lambda: transport.written)


async def test_a_subscription_that_is_not_settled_in_time_is_refused_and_can_be_made_again() -> None:
    faults, server = Faults(), SimRedis()
    gate = Gate()
    faults.script("redis.subscribe", [gate])
    hub = Hub(server.connect(faults))
    connection, transport = make_connection("1")
    async with running(hub):
        with pytest.raises(FeedUnavailableError):
            await hub.watch(connection, "trades:BTCUSDT", timeout_s=0.02)
        gate.open.set()
        await hub.watch(connection, "trades:BTCUSDT", timeout_s=5)
        await server.publish({}, [("trades:BTCUSDT", b"{}")])
        await eventually(lambda: transport.written)


async def test_who_subscribes_while_redis_is_away_hears_it_once_it_is_back() -> None:
    faults, server = Faults(), SimRedis()
    hub = Hub(server.connect(faults))
    connection, transport = make_connection("1")
    faults.down("redis")
    async with running(hub):
        await hub.watch(connection, "trades:BTCUSDT", timeout_s=5)
        faults.up("redis")
        await server.publish({}, [("trades:BTCUSDT", b"{}")])
        await eventually(lambda: transport.written)


async def test_a_client_that_does_not_read_is_given_up_once_and_costs_the_others_nothing() -> None:
    server = SimRedis()
    hub = Hub(server.connect())
    (slow, slow_transport), (fast, fast_transport) = make_connection("slow"), make_connection("fast")
    ended.clear()
    async with running(hub):
        await hub.watch(slow, "trades:BTCUSDT", timeout_s=1)
        await hub.watch(fast, "trades:BTCUSDT", timeout_s=1)
        slow_transport.waiting = 999
        await server.publish({}, [("trades:BTCUSDT", b"%d" % number) for number in range(5)])
        await eventually(lambda: len(fast_transport.written) == 5)
    assert ended == [CloseCode.TOO_SLOW]
    assert slow_transport.written == []


@pytest.mark.parametrize("length", [0, 125, 126, 65_535, 65_536])
def test_a_frame_says_its_length_in_the_shortest_form(length: int) -> None:
    frame = text_frame(b"x" * length)
    assert frame[0] == 0x81
    header = 2 if length < 126 else 4 if length < 65_536 else 10
    assert len(frame) == header + length
