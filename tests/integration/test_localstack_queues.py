"""What becomes of commands whose consumer dies, is slow, or can do nothing with them: on LocalStack and MiniStack."""

import asyncio
import itertools
import json
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from types import SimpleNamespace
from typing import Any

import pytest

from crossbook.backing import Backing
from crossbook.bootstrap import create_resources
from exchange_adapters.sqs import SqsCommandSink, SqsCommandSource
from exchange_core.ports import CommandMessage, Delivery
from exchange_core.topology import QueueSpec, Topology
from tests.eventually import eventually
from tests.localstack.backing import LocalStackBacking

VISIBILITY_S = 2
MAX_RECEIVES = 3
PATIENCE_S = VISIBILITY_S + 8


@dataclass(frozen=True, slots=True, kw_only=True)
class ImpatientTopology(Topology):
    """Messages that come again soon, and not often."""

    prefix: str = "impatient"
    partitions: int = 6

    def orders_queue(self, partition: int) -> QueueSpec:
        # Named, because dataclass(slots=True) makes a new class that a bare super() does not know.
        spec = Topology.orders_queue(self, partition)
        return replace(spec, visibility_s=VISIBILITY_S, max_receives=MAX_RECEIVES)


@dataclass(frozen=True, slots=True, kw_only=True)
class Queue:
    """The queue of one partition, which no other test uses, with both ends of it."""

    partition: int
    spec: QueueSpec
    sink: SqsCommandSink
    source: SqsCommandSource
    numbers: Iterator[int]

    async def send(self, *bodies: str, group: str = "BTCUSDT") -> None:
        for body in bodies:
            dedup_id = f"{next(self.numbers)}"
            message = CommandMessage(partition=self.partition, group=group, dedup_id=dedup_id, body=body)
            await self.sink.send(self.partition, [message])

    async def receive(self) -> list[Delivery]:
        return list(await self.source.receive(self.partition, 0))

    async def receive_again(self) -> list[Delivery]:
        deliveries: list[Delivery] = await eventually(self.receive, timeout_s=PATIENCE_S)
        return deliveries

    async def delete(self, *deliveries: Delivery) -> None:
        await self.source.delete(self.partition, [delivery.receipt for delivery in deliveries])


@pytest.fixture(scope="module")
def partitions() -> Iterator[int]:
    return itertools.count()


@pytest.fixture(scope="module")
async def names(emulator: Backing | LocalStackBacking) -> ImpatientTopology:
    topology = ImpatientTopology()
    await create_resources(emulator.cloud, topology)
    return topology


@pytest.fixture
def open_queue(clients: SimpleNamespace, names: ImpatientTopology, partitions: Iterator[int]) -> Callable[[], Queue]:
    def opened() -> Queue:
        partition = next(partitions) % names.partitions
        return Queue(
            partition=partition,
            spec=names.orders_queue(partition),
            sink=SqsCommandSink(clients.sqs, names),
            source=SqsCommandSource(clients.sqs, names),
            numbers=itertools.count(1),
        )

    return opened


def bodies(deliveries: list[Delivery]) -> list[str]:
    return [delivery.body for delivery in deliveries]


def depth(sqs: Any, name: str) -> int:
    """How many messages could be received."""
    url = sqs.get_queue_url(QueueName=name)["QueueUrl"]
    attributes = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["ApproximateNumberOfMessages"])["Attributes"]
    return int(attributes["ApproximateNumberOfMessages"])


async def test_what_a_dead_consumer_held_comes_to_the_next_in_order_and_before_what_came_since(open_queue) -> None:
    queue = open_queue()
    await queue.send("1", "2", "3", "4")
    held = await queue.receive()
    assert bodies(held) == ["1", "2", "3", "4"]
    await queue.delete(held[0], held[1])  # it dies here
    await queue.send("5")
    await queue.send("other", group="ETHUSDT")
    (other,) = await queue.receive()
    assert other.body == "other", "its groups are blocked, and no others"
    await queue.delete(other)
    again = await queue.receive_again()
    assert [(delivery.body, delivery.receive_count) for delivery in again] == [("3", 2), ("4", 2), ("5", 1)]
    await queue.delete(*again)
    assert await queue.receive() == []


async def test_a_visibility_that_is_extended_is_not_over_when_it_would_have_been(open_queue, blocking_client) -> None:
    queue, witness = open_queue(), open_queue()
    await queue.send("slow")
    await witness.send("witness")
    (slow,) = await queue.receive()
    sqs = blocking_client("sqs")
    url = sqs.get_queue_url(QueueName=queue.spec.name)["QueueUrl"]
    sqs.change_message_visibility(QueueUrl=url, ReceiptHandle=slow.receipt, VisibilityTimeout=60)
    (seen,) = await witness.receive()
    (seen_again,) = await witness.receive_again()
    assert seen_again.message_id == seen.message_id
    assert await queue.receive() == [], "received before the witness that came back"
    await queue.delete(slow)
    await queue.send("next")
    assert bodies(await queue.receive()) == ["next"]


async def test_poison_ends_in_the_dead_letter_queue_as_it_was_and_its_group_goes_on(
    open_queue, blocking_client
) -> None:
    queue, sqs = open_queue(), blocking_client("sqs")
    await queue.send("poison")
    counts = [(await queue.receive_again())[0].receive_count for _ in range(MAX_RECEIVES)]
    assert counts == [1, 2, 3]
    await queue.send("healthy")
    healthy = await queue.receive_again()
    assert bodies(healthy) == ["healthy"]
    await queue.delete(*healthy)

    assert (depth(sqs, queue.spec.name), depth(sqs, queue.spec.dead_letter_name)) == (0, 1)
    url = sqs.get_queue_url(QueueName=queue.spec.dead_letter_name)["QueueUrl"]
    (letter,) = sqs.receive_message(QueueUrl=url, MessageSystemAttributeNames=["MessageGroupId"])["Messages"]
    assert (letter["Body"], letter["Attributes"]["MessageGroupId"]) == ("poison", "BTCUSDT")


async def test_two_consumers_of_which_one_dies_often_keep_every_group_in_order(open_queue) -> None:
    queue = open_queue()
    groups = [f"GROUP{number}" for number in range(4)]
    count = 6
    for number in range(count):
        for group in groups:
            await queue.send(f"{number}", group=group)
    done: dict[str, list[str]] = defaultdict(list)
    deleted: set[str] = set()

    async def consume(*, deaths: int) -> None:
        while len(deleted) < len(groups) * count:
            deliveries = await queue.receive()
            for delivery in deliveries:
                if delivery.body not in done[delivery.group]:  # as the matcher drops repeats by order id
                    done[delivery.group].append(delivery.body)
            if deliveries and deaths and deliveries[0].receive_count == 1:
                deaths -= 1
                continue
            await queue.delete(*deliveries)
            deleted.update(delivery.message_id for delivery in deliveries)

    async with asyncio.timeout(2 * PATIENCE_S):
        await asyncio.gather(consume(deaths=0), consume(deaths=2))
    assert done == {group: [f"{number}" for number in range(count)] for group in groups}


async def test_the_queues_are_as_the_topology_says(names: ImpatientTopology, blocking_client) -> None:
    sqs = blocking_client("sqs")
    for spec in names.queues:
        url = sqs.get_queue_url(QueueName=spec.name)["QueueUrl"]
        attributes = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["All"])["Attributes"]
        assert spec.attributes().items() <= attributes.items()
        redrive = json.loads(attributes["RedrivePolicy"])
        assert redrive["deadLetterTargetArn"].endswith(f":{spec.dead_letter_name}")
        assert int(redrive["maxReceiveCount"]) == spec.max_receives
