"""What the gateway and the matcher rely on in the orders queues."""

import asyncio

from exchange_core.ports import CommandMessage, Delivery
from tests.conformance.world import HASTY_VISIBILITY_S, MAX_RECEIVES, World
from tests.eventually import eventually

PATIENCE_S = HASTY_VISIBILITY_S + 8


def message(partition: int, body: str, *, group: str = "BTCUSDT", dedup_id: str | None = None) -> CommandMessage:
    return CommandMessage(partition=partition, group=group, dedup_id=dedup_id or body.replace(" ", "-"), body=body)


def bodies(deliveries: list[Delivery]) -> list[str]:
    return [delivery.body for delivery in deliveries]


async def drain(world: World, partition: int) -> list[Delivery]:
    """Receive and delete until nothing comes."""
    taken: list[Delivery] = []
    while deliveries := await world.command_source.receive(partition, 0):
        taken += deliveries
        await world.command_source.delete(partition, [delivery.receipt for delivery in deliveries])
    return taken


async def test_an_empty_queue_gives_nothing(world, partition):
    assert list(await world.command_source.receive(partition, 0)) == []


async def test_a_delivery_carries_what_was_sent(world, partition):
    body = '{"v": 1, "note": "Größe, 数量"}'
    await world.command_sink.send(partition, [message(partition, body, group="ETHUSDT", dedup_id="one")])
    (delivery,) = await world.command_source.receive(partition, 2)
    assert (delivery.group, delivery.body, delivery.receive_count) == ("ETHUSDT", body, 1)
    assert abs(delivery.sent_at_ms - world.clock.now_ms()) < 30_000
    assert delivery.message_id and delivery.receipt


async def test_a_group_keeps_its_order(world, partition):
    sent = [f"{number}" for number in range(25)]
    for body in sent:
        await world.command_sink.send(partition, [message(partition, body)])
    assert bodies(await drain(world, partition)) == sent


async def test_at_most_ten_come_at_once_and_may_be_of_one_group(world, partition):
    for number in range(12):
        await world.command_sink.send(partition, [message(partition, f"{number}")])
    deliveries = await world.command_source.receive(partition, 0)
    assert bodies(deliveries) == [f"{number}" for number in range(10)]


async def test_one_call_sends_ten_groups(world, partition):
    groups = [f"GROUP{number}" for number in range(10)]
    await world.command_sink.send(partition, [message(partition, group, group=group) for group in groups])
    assert sorted(bodies(await drain(world, partition))) == groups


async def test_a_large_body_comes_through(world, partition):
    body = "x" * 200_000
    await world.command_sink.send(partition, [message(partition, body, dedup_id="large")])
    assert bodies(await drain(world, partition)) == [body]


async def test_a_message_in_flight_blocks_its_group_and_no_other(world, partition):
    await world.command_sink.send(partition, [message(partition, "first")])
    (first,) = await world.command_source.receive(partition, 2)
    await world.command_sink.send(
        partition, [message(partition, "second"), message(partition, "other", group="ETHUSDT")]
    )
    assert bodies(await world.command_source.receive(partition, 0)) == ["other"]
    assert bodies(await world.command_source.receive(partition, 0)) == []
    await world.command_source.delete(partition, [first.receipt])
    assert bodies(await world.command_source.receive(partition, 0)) == ["second"]


async def test_a_group_stays_blocked_while_a_later_message_of_a_batch_is_in_flight(world, partition):
    for body in ("first", "second"):
        await world.command_sink.send(partition, [message(partition, body)])
    first, second = await world.command_source.receive(partition, 2)
    await world.command_source.delete(partition, [first.receipt])
    await world.command_sink.send(partition, [message(partition, "third")])
    assert bodies(await world.command_source.receive(partition, 0)) == []
    await world.command_source.delete(partition, [second.receipt])
    assert bodies(await world.command_source.receive(partition, 0)) == ["third"]


async def test_what_was_not_deleted_comes_again_in_order(world):
    partition = world.hasty_partition()
    for body in ("first", "second"):
        await world.command_sink.send(partition, [message(partition, body)])
    before = await world.command_source.receive(partition, 2)
    await world.command_sink.send(partition, [message(partition, "third")])
    again = await eventually(lambda: world.command_source.receive(partition, 1), timeout_s=PATIENCE_S)
    assert bodies(again) == ["first", "second", "third"]
    assert [delivery.receive_count for delivery in again] == [2, 2, 1]
    assert [delivery.message_id for delivery in again[:2]] == [delivery.message_id for delivery in before]


async def test_a_receipt_is_passed_over_when_its_visibility_ran_out(world):
    partition = world.hasty_partition()
    await world.command_sink.send(partition, [message(partition, "once more")])
    (first,) = await world.command_source.receive(partition, 2)
    (second,) = await eventually(lambda: world.command_source.receive(partition, 1), timeout_s=PATIENCE_S)
    await world.command_source.delete(partition, [first.receipt])
    await world.command_source.delete(partition, [second.receipt, second.receipt])
    await asyncio.sleep(HASTY_VISIBILITY_S)
    assert bodies(await drain(world, partition)) == []


async def test_the_same_dedup_id_is_taken_once_even_after_it_was_deleted(world, partition):
    await world.command_sink.send(partition, [message(partition, "first", dedup_id="same")])
    await world.command_sink.send(partition, [message(partition, "repeat", dedup_id="same")])
    assert bodies(await drain(world, partition)) == ["first"]
    await world.command_sink.send(partition, [message(partition, "repeat", dedup_id="same")])
    assert bodies(await drain(world, partition)) == []


async def test_a_repeated_send_takes_what_is_missing(world, partition):
    one, two = message(partition, "one", group="BTCUSDT"), message(partition, "two", group="ETHUSDT")
    await world.command_sink.send(partition, [one])
    await world.command_sink.send(partition, [one, two])
    assert sorted(bodies(await drain(world, partition))) == ["one", "two"]


async def test_dedup_is_by_group(world, partition):
    await world.command_sink.send(
        partition,
        [
            message(partition, "one", group="BTCUSDT", dedup_id="same"),
            message(partition, "two", group="ETHUSDT", dedup_id="same"),
        ],
    )
    assert sorted(bodies(await drain(world, partition))) == ["one", "two"]


async def test_a_dedup_id_is_remembered_for_every_group_that_used_it(world, partition):
    for group in ("BTCUSDT", "ETHUSDT", "BTCUSDT"):
        await world.command_sink.send(partition, [message(partition, group, group=group, dedup_id="same")])
    assert sorted(bodies(await drain(world, partition))) == ["BTCUSDT", "ETHUSDT"]


async def test_partitions_have_queues_of_their_own(world):
    here, there = world.partition(), world.partition()
    await world.command_sink.send(here, [message(here, "here", dedup_id="same")])
    await world.command_sink.send(there, [message(there, "there", dedup_id="same")])
    assert bodies(await drain(world, there)) == ["there"]
    assert bodies(await drain(world, here)) == ["here"]


async def test_a_long_poll_hears_of_a_message_soon(world, partition):
    async with asyncio.timeout(5):
        poll = asyncio.create_task(world.command_source.receive(partition, 20))
        await asyncio.sleep(0.2)
        await world.command_sink.send(partition, [message(partition, "at last")])
        assert bodies(await poll) == ["at last"]


async def test_a_message_received_too_often_becomes_a_dead_letter_and_frees_its_group(world):
    partition = world.hasty_partition()
    await world.command_sink.send(partition, [message(partition, "poison")])
    counts = []
    for _ in range(MAX_RECEIVES):
        (delivery,) = await eventually(lambda: world.command_source.receive(partition, 1), timeout_s=PATIENCE_S)
        counts.append(delivery.receive_count)
    assert counts == list(range(1, MAX_RECEIVES + 1))
    await world.command_sink.send(partition, [message(partition, "healthy")])
    next_one = await eventually(lambda: world.command_source.receive(partition, 1), timeout_s=PATIENCE_S)
    assert bodies(next_one) == ["healthy"]
    assert await world.dead_letters(partition) == ["poison"]
