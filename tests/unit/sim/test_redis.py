"""How pub/sub loses messages; the rest is in tests/conformance."""

import asyncio

import pytest

from exchange_adapters.sim import Faults, SimRedis
from exchange_adapters.sim.redis import MAX_BUFFERED
from exchange_adapters.sim.virtual_time import in_virtual_time
from exchange_core.errors import Unavailable

CHANNEL = "trades:BTCUSDT"


async def hear(client: SimRedis, patience_s: float = 1.0) -> list[bytes]:
    """What arrives until it is silent."""
    heard: list[bytes] = []
    source = client.messages()
    try:
        while True:
            async with asyncio.timeout(patience_s):
                _, message = await anext(source)
            heard.append(message)
    except TimeoutError:
        return heard


@in_virtual_time
async def test_a_client_that_was_cut_off_misses_what_was_said_meanwhile():
    server, faults = SimRedis(), Faults()
    client = server.connect(faults)
    await client.subscribe(CHANNEL)
    await server.publish({}, [(CHANNEL, b"1")])
    faults.down("redis")
    await server.publish({}, [(CHANNEL, b"2")])
    faults.up()
    await server.publish({}, [(CHANNEL, b"3")])
    assert await hear(client) == [b"1", b"3"]


@in_virtual_time
async def test_a_channel_wanted_while_the_server_is_away_is_heard_later():
    server, faults = SimRedis(), Faults()
    client = server.connect(faults)
    faults.down("redis")
    with pytest.raises(Unavailable):
        await client.subscribe(CHANNEL)
    faults.up()
    await server.publish({}, [(CHANNEL, b"1")])
    assert await hear(client) == [b"1"]


@in_virtual_time
async def test_single_deliveries_can_be_lost():
    faults = Faults()
    client = SimRedis(faults=faults)
    await client.subscribe(CHANNEL)
    faults.script("redis.deliver", [None, "lost", None])
    await client.publish({}, [(CHANNEL, b"1"), (CHANNEL, b"2"), (CHANNEL, b"3")])
    assert await hear(client) == [b"1", b"3"]


@in_virtual_time
async def test_a_slow_reader_is_cut_and_hears_what_comes_after():
    client = SimRedis()
    await client.subscribe(CHANNEL)
    await client.publish({}, [(CHANNEL, b"%d" % number) for number in range(MAX_BUFFERED + 2)])
    assert await hear(client) == [b"%d" % (MAX_BUFFERED), b"%d" % (MAX_BUFFERED + 1)]


@in_virtual_time
async def test_whatever_goes_wrong_is_unavailable():
    faults = Faults()
    client = SimRedis(faults=faults)
    for operation in ("publish", "get", "add"):
        faults.script(f"redis.{operation}", ["before", "after", "lost"])
    for _ in range(3):
        for call in (client.publish({"key": b"1"}, []), client.get("key"), client.add("set", "member")):
            with pytest.raises(Unavailable):
                await call
    assert await client.get("key") == b"1"


@in_virtual_time
async def test_a_restart_without_a_disk_loses_keys_and_sets():
    client = SimRedis()
    await client.publish({"key": b"1"}, [])
    await client.add("set", "member")
    client.flush()
    assert await client.get("key") is None
    assert client.members("set") == set()
