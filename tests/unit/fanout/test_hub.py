"""The hub: one subscription a channel, kept equal to what is watched, whatever Redis does."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from exchange_adapters.sim import Faults, Gate, SimRedis
from exchange_adapters.sim.virtual_time import in_virtual_time
from exchange_fanout.connections import Connection, Patience
from exchange_fanout.frames import CloseCode, text_frame
from exchange_fanout.hub import FeedUnavailableError, Hub
from exchange_fanout.subscriptions import EverySubscription
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


PATIENCE = Patience(behind_bytes=500, waiting_bytes_max=1000, behind_s_max=60)


class Client:
    """One connection, watching as many channels as it likes."""

    def __init__(self, name: str) -> None:
        self.transport = RecordingTransport()
        self.connection = Connection(
            connection_id=name,
            transport=self.transport,
            patience=PATIENCE,
            end=lambda _, code: ended.append(code),
            on_behind=lambda _: None,
        )
        self._watchers: dict[str, EverySubscription] = {}

    async def watch(self, hub: Hub, channel: str, timeout_s: float = 10.0) -> None:
        self._watchers[channel] = EverySubscription(self.connection, channel)
        await hub.watch([self._watchers[channel]], timeout_s=timeout_s)

    def unwatch(self, hub: Hub, channel: str) -> None:
        hub.unwatch(self._watchers.pop(channel))


def make_hub(server: SimRedis, faults: Faults | None = None) -> Hub:
    client = server.connect(faults)
    return Hub(client, client)


@asynccontextmanager
async def running(hub: Hub) -> AsyncIterator[None]:
    stages = (hub.follow(), hub.broadcast(), hub.read_books())
    tasks = [asyncio.create_task(stage) for stage in stages]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


@in_virtual_time
async def test_thousands_who_come_at_once_do_not_wait_for_one_another() -> None:
    faults = Faults()
    faults.set_delay("redis.subscribe", 100, 100)
    hub = make_hub(SimRedis(), faults)
    async with running(hub):
        await asyncio.gather(*(Client(str(number)).watch(hub, f"user:{number}", 2.0) for number in range(3_000)))
    assert faults.calls["redis.subscribe"] == hub.channel_count == 3_000


async def test_many_watchers_of_a_channel_share_one_redis_subscription() -> None:
    faults, server = Faults(), SimRedis()
    hub = make_hub(server, faults)
    clients = [Client(str(number)) for number in range(600)]
    async with running(hub):
        await asyncio.gather(*(client.watch(hub, "trades:BTCUSDT") for client in clients))
        await server.publish({}, [("trades:BTCUSDT", b'{"seq":1}'), ("trades:ETHUSDT", b"other")])
        await eventually(lambda: all(client.transport.written for client in clients))
    assert faults.calls["redis.subscribe"] == 1
    assert all(client.transport.written == [text_frame(b'{"seq":1}')] for client in clients)


async def test_the_last_watcher_to_leave_ends_the_redis_subscription() -> None:
    faults, server = Faults(), SimRedis()
    hub = make_hub(server, faults)
    first, second = Client("1"), Client("2")
    async with running(hub):
        await first.watch(hub, "trades:BTCUSDT")
        await second.watch(hub, "trades:BTCUSDT")
        first.unwatch(hub, "trades:BTCUSDT")
        await first.watch(hub, "trades:ETHUSDT")
        assert faults.calls["redis.unsubscribe"] == 0
        second.unwatch(hub, "trades:BTCUSDT")
        await eventually(lambda: hub.channel_count == 1)
    assert faults.calls["redis.unsubscribe"] == 1


async def test_who_comes_while_the_channel_is_being_left_is_subscribed_again() -> None:
    faults, server = Faults(), SimRedis()
    gate = Gate()
    faults.script("redis.unsubscribe", [gate])
    hub = make_hub(server, faults)
    first, second = Client("1"), Client("2")
    async with running(hub):
        await first.watch(hub, "trades:BTCUSDT")
        first.unwatch(hub, "trades:BTCUSDT")
        await gate.reached.wait()
        arriving = asyncio.create_task(second.watch(hub, "trades:BTCUSDT"))
        await asyncio.sleep(0)
        gate.open.set()
        await arriving
        await server.publish({}, [("trades:BTCUSDT", b"{}")])
        await eventually(lambda: second.transport.written)


async def test_a_subscription_that_is_not_settled_in_time_is_refused_and_can_be_made_again() -> None:
    faults, server = Faults(), SimRedis()
    gate = Gate()
    faults.script("redis.subscribe", [gate])
    hub = make_hub(server, faults)
    client = Client("1")
    async with running(hub):
        with pytest.raises(FeedUnavailableError):
            await client.watch(hub, "trades:BTCUSDT", timeout_s=0.02)
        gate.open.set()
        await client.watch(hub, "trades:BTCUSDT", timeout_s=5)
        await server.publish({}, [("trades:BTCUSDT", b"{}")])
        await eventually(lambda: client.transport.written)


async def test_who_subscribes_while_redis_is_away_is_told_and_nothing_of_it_stays() -> None:
    faults, server = Faults(), SimRedis()
    hub = make_hub(server, faults)
    client = Client("1")
    faults.down("redis")
    async with running(hub):
        for number in range(3):
            with pytest.raises(FeedUnavailableError):
                await client.watch(hub, f"user:{number}", timeout_s=0.02)
        await eventually(lambda: hub.channel_count == 0)


async def test_who_waits_until_redis_is_back_hears_from_then_on() -> None:
    faults, server = Faults(), SimRedis()
    hub = make_hub(server, faults)
    client = Client("1")
    faults.down("redis")
    async with running(hub):
        waiting = asyncio.create_task(client.watch(hub, "trades:BTCUSDT", timeout_s=5))
        await eventually(lambda: faults.calls["redis.subscribe"] >= 1)
        assert not waiting.done()
        faults.up("redis")
        await waiting
        await server.publish({}, [("trades:BTCUSDT", b"{}")])
        await eventually(lambda: client.transport.written)


async def test_a_client_that_does_not_read_is_given_up_once_and_costs_the_others_nothing() -> None:
    server = SimRedis()
    hub = make_hub(server)
    slow, fast = Client("slow"), Client("fast")
    ended.clear()
    async with running(hub):
        await slow.watch(hub, "trades:BTCUSDT")
        await fast.watch(hub, "trades:BTCUSDT")
        slow.transport.waiting = 999
        await server.publish({}, [("trades:BTCUSDT", b"%d" % number) for number in range(5)])
        await eventually(lambda: len(fast.transport.written) == 5)
    assert ended == [CloseCode.TOO_SLOW]
    assert slow.transport.written == []


@pytest.mark.parametrize("length", [0, 125, 126, 65_535, 65_536])
def test_a_frame_says_its_length_in_the_shortest_form(length: int) -> None:
    frame = text_frame(b"x" * length)
    assert frame[0] == 0x81
    header = 2 if length < 126 else 4 if length < 65_536 else 10
    assert len(frame) == header + length
