"""What matcher, fanout and gateway rely on in Redis: cache, sets, and pub/sub at most once, in order."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from exchange_core.ports import MessageSource
from tests.conformance.world import World
from tests.eventually import eventually


@asynccontextmanager
async def hearing(source: MessageSource) -> AsyncIterator[list[tuple[str, bytes]]]:
    """All that the source says, as it comes."""
    heard: list[tuple[str, bytes]] = []

    async def listen() -> None:
        async for arrival in source.messages():
            heard.append(arrival)  # noqa: PERF401 - seen while it grows

    listener = asyncio.create_task(listen())
    try:
        yield heard
    finally:
        listener.cancel()
        await asyncio.gather(listener, return_exceptions=True)


async def test_what_is_cached_can_be_read_and_the_last_value_counts(world):
    key, other = world.fresh("orderbook"), world.fresh("orderbook")
    assert await world.cache.get(key) is None
    await world.publisher.publish({key: b"old", other: b"\x00\xff"}, [])
    await world.publisher.publish({key: b"new"}, [])
    assert (await world.cache.get(key), await world.cache.get(other)) == (b"new", b"\x00\xff")


async def test_publishing_nothing_is_fine(world):
    await world.publisher.publish({}, [])


async def test_messages_arrive_in_order_at_every_subscriber(world):
    trades, depth = world.fresh("trades"), world.fresh("depth")
    sent = [(trades if number % 2 else depth, b"%d" % number) for number in range(100)]
    async with world.open_message_source() as one, world.open_message_source() as two:
        for source in (one, two):
            await subscribed(world, source, trades, depth)
        async with hearing(one) as first, hearing(two) as second:
            await world.publisher.publish({world.fresh("price"): b"1"}, sent[:60])
            await world.publisher.publish({}, sent[60:])
            await eventually(lambda: without_probes(first) == sent and without_probes(second) == sent)


async def test_only_channels_subscribed_to_are_heard(world):
    wanted, unwanted = world.fresh("trades"), world.fresh("trades")
    async with world.open_message_source() as source:
        await subscribed(world, source, wanted, unwanted)
        await source.unsubscribe(unwanted)
        async with hearing(source) as heard:
            await asyncio.sleep(0.05)  # an unsubscription has no confirmation to wait for
            await world.publisher.publish({}, [(unwanted, b"no"), (world.fresh("trades"), b"no"), (wanted, b"yes")])
            await eventually(lambda: without_probes(heard) == [(wanted, b"yes")])


async def test_what_was_said_before_subscribing_is_not_heard(world):
    channel = world.fresh("trades")
    await world.publisher.publish({}, [(channel, b"early")])
    async with world.open_message_source() as source:
        await subscribed(world, source, channel)
        async with hearing(source) as heard:
            await world.publisher.publish({}, [(channel, b"late")])
            await eventually(lambda: (channel, b"late") in heard)
            assert (channel, b"early") not in heard


async def test_a_channel_subscribed_to_twice_is_heard_once(world):
    channel = world.fresh("trades")
    async with world.open_message_source() as source:
        await subscribed(world, source, channel)
        await source.subscribe(channel)
        async with hearing(source) as heard:
            await world.publisher.publish({}, [(channel, b"one"), (channel, b"two")])
            await eventually(lambda: without_probes(heard) == [(channel, b"one"), (channel, b"two")])


async def test_sets_hold_each_member_once(world):
    key = world.fresh("subscribers")
    for member in ("a", "b", "a"):
        await world.subscribers.add(key, member)
    assert await world.members(key) == {"a", "b"}
    for _ in range(2):
        await world.subscribers.remove(key, "a")
    assert await world.members(key) == {"b"}
    await world.subscribers.remove(world.fresh("subscribers"), "a")


async def subscribed(world: World, source: MessageSource, *channels: str) -> None:
    """Subscribe, and wait until a probe on each channel is heard: a source may still be connecting."""
    for channel in channels:
        await source.subscribe(channel)
    async with hearing(source) as heard:

        async def is_heard() -> bool:
            await world.publisher.publish({}, [(channel, b"probe") for channel in channels])
            return {channel for channel, _ in heard} >= set(channels)

        await eventually(is_heard)


def without_probes(heard: list[tuple[str, bytes]]) -> list[tuple[str, bytes]]:
    return [arrival for arrival in heard if arrival[1] != b"probe"]
