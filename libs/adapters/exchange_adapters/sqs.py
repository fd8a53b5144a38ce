"""The orders queues in SQS FIFO: the gateway sends, the matcher receives and deletes.

A queue's URL is asked for at its first use and kept.
"""

import asyncio
import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Final, Protocol
from uuid import uuid4

from exchange_adapters.aws import CALL_TIMEOUT_S, code_error, read_again, reading, writing
from exchange_adapters.tracing import x_ray_header
from exchange_core.errors import Fatal, PortError, Throttled, Unavailable
from exchange_core.ports import CommandMessage, Delivery
from exchange_core.topology import Topology

_BATCH_MAX: Final = 10
_WAIT_MAX_S: Final = 20
_ATTRIBUTES: Final = ["SentTimestamp", "ApproximateReceiveCount", "MessageGroupId"]
_RECEIPT_OVER: Final = frozenset({"ReceiptHandleIsInvalid", "InvalidParameterValue"})
"""A receipt of a FIFO queue whose visibility ran out is refused with one or the other."""


class QueueClient(Protocol):
    """What both halves need."""

    async def get_queue_url(self, **request: Any) -> dict[str, Any]: ...  # noqa: D102 - the SDK documents them


class SendingClient(QueueClient, Protocol):
    """The gateway's permissions."""

    async def send_message_batch(self, **request: Any) -> dict[str, Any]: ...  # noqa: D102


class ReceivingClient(QueueClient, Protocol):
    """The matcher's permissions."""

    async def receive_message(self, **request: Any) -> dict[str, Any]: ...  # noqa: D102

    async def delete_message_batch(self, **request: Any) -> dict[str, Any]: ...  # noqa: D102


class SqsCommandSink:
    """CommandSink: the gateway's half of the orders queues."""

    def __init__(self, client: SendingClient, topology: Topology) -> None:
        self._client = client
        self._urls = _QueueUrls(client, topology)

    async def send(self, partition: int, messages: Sequence[CommandMessage]) -> None:
        """Send up to ten messages, each of another group, in one call.

        The same dedup_id within five minutes is taken once, so an Ambiguous send may be repeated as it is.
        Raises Unavailable or Throttled if any of them was not taken (some may have been): repeat all of them.
        """
        assert len(messages) <= _BATCH_MAX, "one call takes ten"
        # Two of one group could be taken in part: a repeat of the first would then stand behind the second.
        assert len({message.group for message in messages}) == len(messages), "one message a group"
        if not messages:
            return
        url = await self._urls.of(partition)
        async with writing():
            response = await self._client.send_message_batch(
                QueueUrl=url,
                Entries=[
                    {
                        "Id": str(index),
                        "MessageBody": message.body,
                        "MessageGroupId": message.group,
                        "MessageDeduplicationId": message.dedup_id,
                        **_trace_attribute(message.trace),
                    }
                    for index, message in enumerate(messages)
                ],
            )
        if failed := response.get("Failed"):
            raise _entries_error(failed)


def _trace_attribute(carrier: str) -> dict[str, Any]:
    header = x_ray_header(carrier) if carrier else ""
    if not header:
        return {}
    return {"MessageSystemAttributes": {"AWSTraceHeader": {"DataType": "String", "StringValue": header}}}


class SqsCommandSource:
    """CommandSource: the matcher's half."""

    def __init__(self, client: ReceivingClient, topology: Topology) -> None:
        self._client = client
        self._urls = _QueueUrls(client, topology)
        self._unanswered: dict[int, str] = {}

    async def receive(self, partition: int, wait_s: float) -> Sequence[Delivery]:
        """Up to ten messages, in order within a group; waits for the first up to `wait_s`, which SQS knows only in
        whole seconds up to 20: it is rounded up.

        What SQS hands to a connection that is gone stays invisible, and its groups blocked, until the visibility runs
        out, but for who asks again with the same attempt id (ADR 20): so does the next call after one that raised
        Unavailable or was cancelled. What it gets counts as received twice.
        """
        whole_s = min(_WAIT_MAX_S, max(0, math.ceil(wait_s)))
        url = await self._urls.of(partition)
        unanswered = self._unanswered.pop(partition, None)
        attempt_id = unanswered or str(uuid4())
        try:
            async with reading(whole_s + CALL_TIMEOUT_S):
                response = await self._client.receive_message(
                    QueueUrl=url,
                    MaxNumberOfMessages=_BATCH_MAX,
                    WaitTimeSeconds=whole_s,
                    MessageSystemAttributeNames=_ATTRIBUTES,
                    ReceiveRequestAttemptId=attempt_id,
                )
        except (Unavailable, asyncio.CancelledError):
            self._unanswered[partition] = attempt_id
            raise
        except Fatal as error:  # as Throttled: SQS takes the id for no other call
            if unanswered is None:
                raise
            raise Unavailable(f"the attempt is over: {error}") from error
        deliveries = [_delivery(message) for message in response.get("Messages", [])]
        return [received_again(one) for one in deliveries] if unanswered else deliveries

    async def delete(self, partition: int, receipts: Sequence[str]) -> None:
        """Acknowledge up to ten. A receipt whose visibility ran out is passed over: the repeat is dropped later.

        Raises Ambiguous, Unavailable or Throttled if some may not be deleted: repeat all of them.
        """
        assert len(receipts) <= _BATCH_MAX, "one call takes ten"
        if not receipts:
            return
        url = await self._urls.of(partition)
        entries = [{"Id": str(index), "ReceiptHandle": receipt} for index, receipt in enumerate(receipts)]
        async with writing():
            response = await self._client.delete_message_batch(QueueUrl=url, Entries=entries)
        if failed := [entry for entry in response.get("Failed", []) if entry["Code"] not in _RECEIPT_OVER]:
            raise _entries_error(failed)


class _QueueUrls:
    """The URL of each partition's queue, asked for once."""

    def __init__(self, client: QueueClient, topology: Topology) -> None:
        self._client = client
        self._topology = topology
        self._known: dict[int, str] = {}

    async def of(self, partition: int) -> str:
        if partition not in self._known:
            name = self._topology.orders_queue(partition).name
            response = await read_again(lambda: self._client.get_queue_url(QueueName=name))
            self._known[partition] = response["QueueUrl"]
        return self._known[partition]


def received_again(delivery: Delivery) -> Delivery:
    """The same message, handed out once more under one attempt id, whatever the queue has counted."""
    return replace(delivery, receive_count=max(2, delivery.receive_count))


def _entries_error(failed: Sequence[Mapping[str, Any]]) -> PortError:
    """One error for the entries of a batch that SQS refused; Fatal only if the refusal is our own fault."""
    text = ", ".join(f"{entry['Code']}: {entry.get('Message', '')}" for entry in failed)
    kinds = {code_error(entry["Code"], 0, is_write=True) for entry in failed}
    if Throttled in kinds:
        return Throttled(text)
    if any(entry.get("SenderFault", False) for entry in failed):
        return Fatal(text)
    return Unavailable(text)


def _delivery(message: Mapping[str, Any]) -> Delivery:
    attributes = message["Attributes"]
    return Delivery(
        message_id=message["MessageId"],
        receipt=message["ReceiptHandle"],
        group=attributes["MessageGroupId"],
        body=message["Body"],
        sent_at_ms=int(attributes["SentTimestamp"]),
        receive_count=int(attributes["ApproximateReceiveCount"]),
    )
