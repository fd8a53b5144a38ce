"""A receive whose answer was lost is asked again under its attempt id, and no other call has that id (ADR 20)."""

import asyncio
from collections import deque
from typing import Any

import pytest
from botocore.exceptions import ClientError, ConnectionClosedError

from exchange_adapters.sqs import SqsCommandSource
from exchange_core.errors import Fatal, PortError, Throttled, Unavailable
from exchange_core.ports import Delivery
from exchange_core.topology import Topology

LOST = ConnectionClosedError(endpoint_url="http://127.0.0.1:9/")
MESSAGE = {
    "MessageId": "1",
    "ReceiptHandle": "receipt",
    "Body": "body",
    "Attributes": {"SentTimestamp": "5", "ApproximateReceiveCount": "1", "MessageGroupId": "BTCUSDT"},
}
NOTHING: dict[str, Any] = {}
ONE: dict[str, Any] = {"Messages": [MESSAGE]}


def answered(code: str, status: int = 400) -> ClientError:
    response = {"Error": {"Code": code, "Message": "m"}, "ResponseMetadata": {"HTTPStatusCode": status}}
    return ClientError(response, "ReceiveMessage")


class Client:
    """Answers with these, one after the other; remembers the id of each attempt, by the queue."""

    def __init__(self, *answers: BaseException | dict[str, Any]) -> None:
        self._answers = deque(answers)
        self.ids: list[tuple[str, str]] = []

    async def get_queue_url(self, *, QueueName: str) -> dict[str, Any]:  # noqa: N803 - the SDK's
        return {"QueueUrl": QueueName}

    async def receive_message(self, *, QueueUrl: str, ReceiveRequestAttemptId: str, **_: Any) -> dict[str, Any]:  # noqa: N803
        self.ids.append((QueueUrl, ReceiveRequestAttemptId))
        answer = self._answers.popleft()
        if isinstance(answer, BaseException):
            raise answer
        return answer

    async def delete_message_batch(self, **_: Any) -> dict[str, Any]:
        raise AssertionError("nothing is deleted here")


async def calls(client: Client, *partitions: int) -> list[type[PortError] | list[Delivery]]:
    """What a call for each of the partitions brings."""
    source = SqsCommandSource(client, Topology())
    brought: list[type[PortError] | list[Delivery]] = []
    for partition in partitions:
        try:
            brought.append(list(await source.receive(partition, 1)))
        except PortError as error:
            brought.append(type(error))
    return brought


async def test_each_attempt_that_was_answered_had_an_id_of_its_own() -> None:
    client = Client(NOTHING, ONE, NOTHING)
    _, [delivery], _ = await calls(client, 0, 0, 0)
    assert isinstance(delivery, Delivery) and delivery.receive_count == 1
    assert len(set(client.ids)) == 3


@pytest.mark.parametrize("lost", [LOST, answered("InternalError", 500), TimeoutError()])
async def test_a_lost_answer_is_asked_for_again_until_it_comes_and_counts_as_received_twice(lost: Exception) -> None:
    client = Client(lost, lost, ONE, NOTHING)
    first, second, [delivery], _ = await calls(client, 0, 0, 0, 0)
    assert first is second is Unavailable
    assert isinstance(delivery, Delivery) and delivery.receive_count == 2
    assert client.ids[0] == client.ids[1] == client.ids[2] != client.ids[3]


async def test_an_attempt_is_of_one_queue() -> None:
    client = Client(LOST, ONE, ONE)
    _, [other], [again] = await calls(client, 0, 1, 0)
    assert isinstance(other, Delivery) and isinstance(again, Delivery)
    assert (other.receive_count, again.receive_count) == (1, 2)
    assert client.ids[0] == client.ids[2] and client.ids[0][1] != client.ids[1][1]


async def test_calls_at_the_same_time_have_an_attempt_each() -> None:
    client = Client(LOST, ONE, ONE)
    source = SqsCommandSource(client, Topology())
    with pytest.raises(Unavailable):
        await source.receive(0, 1)
    [again], [other] = await asyncio.gather(source.receive(0, 1), source.receive(0, 1))
    assert (again.receive_count, other.receive_count) == (2, 1)
    assert client.ids[0] == client.ids[1] != client.ids[2]


async def test_an_attempt_that_was_given_up_is_asked_again() -> None:
    client = Client(asyncio.CancelledError(), ONE)
    source = SqsCommandSource(client, Topology())
    with pytest.raises(asyncio.CancelledError):
        await source.receive(0, 1)
    [again] = await source.receive(0, 1)
    assert again.receive_count == 2
    assert client.ids[0] == client.ids[1]


async def test_a_throttled_attempt_is_not_asked_again() -> None:
    """SQS says then that it "is not valid anymore since the receive call is not retryable"."""
    client = Client(answered("ThrottlingException"), LOST, answered("RequestThrottled"), ONE)
    *refused, [delivery] = await calls(client, 0, 0, 0, 0)
    assert refused == [Throttled, Unavailable, Throttled]
    assert isinstance(delivery, Delivery) and delivery.receive_count == 1
    assert client.ids[1] == client.ids[2] and len(set(client.ids)) == 3


async def test_an_attempt_that_sqs_has_let_go_of_is_no_reason_to_stop() -> None:
    client = Client(LOST, answered("InvalidParameterValue"), ONE)
    first, second, [delivery] = await calls(client, 0, 0, 0)
    assert first is second is Unavailable
    assert isinstance(delivery, Delivery) and delivery.receive_count == 1
    assert client.ids[0] == client.ids[1] != client.ids[2]


async def test_what_is_refused_at_once_is_fatal() -> None:
    assert await calls(Client(answered("InvalidParameterValue")), 0) == [Fatal]
    assert await calls(Client(LOST, answered("AccessDenied"), answered("AccessDenied")), 0, 0, 0) == [
        Unavailable,
        Unavailable,
        Fatal,
    ]
