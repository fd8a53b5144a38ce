"""The orders queues against an emulated SQS: order, repeats, redelivery, what broke off."""

from collections.abc import AsyncIterator
from types import SimpleNamespace
from uuid import uuid4

import pytest

from exchange_adapters.sqs import SqsCommandSink, SqsCommandSource
from exchange_core.errors import Ambiguous, Fatal, Unavailable
from exchange_core.ports import CommandMessage, Delivery
from exchange_core.topology import Topology
from tests.eventually import eventually
from tests.integration.conftest import ProxiedClients
from tests.integration.dropping_proxy import Cut

PARTITION = 0


def message(body: str, *, group: str = "BTCUSDT", dedup_id: str = "") -> CommandMessage:
    return CommandMessage(partition=PARTITION, group=group, dedup_id=dedup_id or uuid4().hex, body=body)


@pytest.fixture
async def queue(clients: SimpleNamespace, topology: Topology) -> AsyncIterator[str]:
    """The URL of the partition's queue, which each test finds empty."""
    response = await clients.sqs.get_queue_url(QueueName=topology.orders_queue(PARTITION).name)
    await clients.sqs.purge_queue(QueueUrl=response["QueueUrl"])
    yield response["QueueUrl"]
    await clients.sqs.purge_queue(QueueUrl=response["QueueUrl"])


@pytest.fixture
def sink(clients: SimpleNamespace, topology: Topology, queue: str) -> SqsCommandSink:
    return SqsCommandSink(clients.sqs, topology)


@pytest.fixture
def source(clients: SimpleNamespace, topology: Topology, queue: str) -> SqsCommandSource:
    return SqsCommandSource(clients.sqs, topology)


async def drain(source: SqsCommandSource) -> list[str]:
    """All bodies in the order of delivery, each deleted."""
    bodies: list[str] = []
    while deliveries := await source.receive(PARTITION, 0):
        bodies += [delivery.body for delivery in deliveries]
        await source.delete(PARTITION, [delivery.receipt for delivery in deliveries])
    return bodies


async def receive_again(source: SqsCommandSource) -> list[Delivery]:
    deliveries: list[Delivery] = await eventually(lambda: source.receive(PARTITION, 0))
    return deliveries


async def test_what_is_sent_arrives_with_what_the_matcher_needs_to_know(
    sink: SqsCommandSink, source: SqsCommandSource
) -> None:
    await sink.send(PARTITION, [message("one"), message("two", group="ETHUSDT")])
    deliveries = await source.receive(PARTITION, 1)
    assert {(delivery.group, delivery.body) for delivery in deliveries} == {("BTCUSDT", "one"), ("ETHUSDT", "two")}
    assert all(delivery.receive_count == 1 for delivery in deliveries)
    assert all(delivery.sent_at_ms > 1_700_000_000_000 for delivery in deliveries)
    await source.delete(PARTITION, [delivery.receipt for delivery in deliveries])
    assert await drain(source) == []


async def test_a_group_keeps_its_order(sink: SqsCommandSink, source: SqsCommandSource) -> None:
    for n in range(25):
        await sink.send(PARTITION, [message(str(n))])
    assert await drain(source) == [str(n) for n in range(25)]


async def test_a_long_poll_ends_with_the_first_message(sink: SqsCommandSink, source: SqsCommandSource) -> None:
    await sink.send(PARTITION, [message("one")])
    assert [delivery.body for delivery in await source.receive(PARTITION, 20)] == ["one"]


async def test_nothing_is_sent_or_deleted_for_nothing(sink: SqsCommandSink, source: SqsCommandSource) -> None:
    await sink.send(PARTITION, [])
    await source.delete(PARTITION, [])


async def test_a_message_in_flight_blocks_its_group_and_comes_back_when_its_visibility_ends(
    clients: SimpleNamespace, queue: str, sink: SqsCommandSink, source: SqsCommandSource
) -> None:
    await sink.send(PARTITION, [message("first")])
    (delivery,) = await source.receive(PARTITION, 1)
    await sink.send(PARTITION, [message("second")])
    assert await source.receive(PARTITION, 0) == []

    await clients.sqs.change_message_visibility(QueueUrl=queue, ReceiptHandle=delivery.receipt, VisibilityTimeout=0)

    repeat = (await receive_again(source))[0]
    assert (repeat.message_id, repeat.body, repeat.receive_count) == (delivery.message_id, "first", 2)
    await source.delete(PARTITION, [repeat.receipt])


async def test_a_receipt_that_is_over_is_passed_over_and_the_others_of_its_batch_count(
    clients: SimpleNamespace, queue: str, sink: SqsCommandSink, source: SqsCommandSource
) -> None:
    await sink.send(PARTITION, [message("one"), message("two", group="ETHUSDT")])
    one, two = await source.receive(PARTITION, 1)
    await clients.sqs.change_message_visibility(QueueUrl=queue, ReceiptHandle=one.receipt, VisibilityTimeout=0)
    (repeat,) = await receive_again(source)
    assert repeat.receipt != one.receipt
    await source.delete(PARTITION, [one.receipt, two.receipt])
    await source.delete(PARTITION, [repeat.receipt])
    await source.delete(PARTITION, [repeat.receipt])


async def test_a_send_that_broke_off_is_repeated_as_it_is_and_taken_once(
    proxied_clients: ProxiedClients, topology: Topology, source: SqsCommandSource
) -> None:
    sent = message("once")
    async with proxied_clients("sqs") as (proxy, through_proxy):
        broken = SqsCommandSink(through_proxy.sqs, topology)
        await broken.send(PARTITION, [message("before")])
        for cut in (Cut.BEFORE_ANSWERING, Cut.BEFORE_SENDING):
            proxy.cut = cut
            with pytest.raises(Ambiguous):
                await broken.send(PARTITION, [sent])
        proxy.cut = Cut.NOWHERE
        await broken.send(PARTITION, [sent])
    assert await drain(source) == ["before", "once"]


async def test_a_receive_that_broke_off_is_asked_again_and_gets_the_same_messages_at_once(
    proxied_clients: ProxiedClients, topology: Topology, sink: SqsCommandSink, source: SqsCommandSource
) -> None:
    async with proxied_clients("sqs") as (proxy, through_proxy):
        broken = SqsCommandSource(through_proxy.sqs, topology)
        assert await broken.receive(PARTITION, 0) == []
        await sink.send(PARTITION, [message("one")])
        for cut in (Cut.BEFORE_ANSWERING, Cut.BEFORE_SENDING):
            proxy.cut = cut
            with pytest.raises(Unavailable):
                await broken.receive(PARTITION, 0)
        proxy.cut = Cut.NOWHERE
        assert await source.receive(PARTITION, 0) == [], "to anybody else it is invisible"
        (again,) = await broken.receive(PARTITION, 0)
        assert (again.body, again.receive_count) == ("one", 2)
        await sink.send(PARTITION, [message("two")])
        assert await broken.receive(PARTITION, 0) == [], "that attempt was answered"
        await broken.delete(PARTITION, [again.receipt])
    assert await drain(source) == ["two"]


async def test_a_queue_that_is_not_there_is_fatal_and_one_out_of_reach_unavailable(
    proxied_clients: ProxiedClients, topology: Topology
) -> None:
    async with proxied_clients("sqs") as (proxy, through_proxy):
        with pytest.raises(Fatal):
            await SqsCommandSink(through_proxy.sqs, Topology(prefix="nobody")).send(0, [message("x")])
        await proxy.close()
        with pytest.raises(Unavailable):
            await SqsCommandSource(through_proxy.sqs, topology).receive(PARTITION, 0)


class RefusingClient:
    """Refuses one entry of every batch with the code given."""

    def __init__(self, code: str, *, is_ours: bool) -> None:
        self._failed = [{"Id": "0", "Code": code, "SenderFault": is_ours}]

    async def get_queue_url(self, **_: object) -> dict[str, object]:
        return {"QueueUrl": "queue"}

    async def send_message_batch(self, **_: object) -> dict[str, object]:
        return {"Failed": self._failed}

    async def receive_message(self, **_: object) -> dict[str, object]:
        return {}

    async def delete_message_batch(self, **_: object) -> dict[str, object]:
        return {"Failed": self._failed}


async def test_entries_that_sqs_refused_are_told_by_whose_fault_it_is() -> None:
    for code, is_ours, expected in (("InternalError", False, Unavailable), ("InvalidMessageContents", True, Fatal)):
        with pytest.raises(expected):
            await SqsCommandSink(RefusingClient(code, is_ours=is_ours), Topology()).send(0, [message("x")])
        with pytest.raises(expected):
            await SqsCommandSource(RefusingClient(code, is_ours=is_ours), Topology()).delete(0, ["receipt"])
