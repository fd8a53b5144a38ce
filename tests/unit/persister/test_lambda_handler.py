"""The Lambda: Kinesis-shaped events in, the sequence numbers of what is not settled out."""

import base64
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from random import Random
from typing import Any

import pytest

from exchange_adapters.sim import Faults, SimCloud
from exchange_core.codec import Slot
from exchange_persister import lambda_handler
from exchange_persister.apply import SettlementPorts
from exchange_persister.lambda_handler import LambdaRuntime, handler
from tests.unit.persister.journals import RandomMarket, record_of
from tests.unit.persister.test_apply import assert_exact


def kinesis_event(slots: list[Slot]) -> dict[str, Any]:
    """As AWS hands it over."""
    return {
        "Records": [
            {
                "kinesis": {
                    "kinesisSchemaVersion": "1.0",
                    "partitionKey": record.partition_key,
                    "sequenceNumber": record.sequence_number,
                    "data": base64.b64encode(record.data).decode(),
                    "approximateArrivalTimestamp": 1545084650.987,
                },
                "eventSource": "aws:kinesis",
                "eventVersion": "1.0",
                "eventID": f"shardId-000000000006:{record.sequence_number}",
                "eventName": "aws:kinesis:record",
                "invokeIdentityArn": "arn:aws:iam::123456789012:role/persister",
                "awsRegion": "us-east-1",
                "eventSourceARN": "arn:aws:kinesis:us-east-1:123456789012:stream/crossbook-executions",
            }
            for record in map(record_of, slots)
        ]
    }


class Opened:
    """A cloud whose ports count how often they are opened and closed."""

    def __init__(self, faults: Faults | None = None) -> None:
        self.cloud = SimCloud.build(faults=faults)
        self.opened = self.closed = 0

    @asynccontextmanager
    async def ports(self) -> AsyncIterator[SettlementPorts]:
        self.opened += 1
        yield SettlementPorts(
            clock=self.cloud.projections._clock,
            projections=self.cloud.projections,
            wallets=self.cloud.wallets,
            history=self.cloud.history,
            publisher=self.cloud.redis,
        )
        self.closed += 1


def test_batches_are_settled_by_one_loop_with_ports_opened_once() -> None:
    slots = RandomMarket(Random(1)).slots(12)
    opened = Opened()
    runtime = LambdaRuntime(opened.ports(), wallet_calls_max=4)
    for at in (0, 4, 2, 8):
        assert runtime.handle(kinesis_event(slots[at : at + 4]), 5) == {"batchItemFailures": []}
    runtime.close()
    assert (opened.opened, opened.closed) == (1, 1)
    assert_exact(opened.cloud, slots)


def test_a_gap_is_handed_back_from_its_first_record_on() -> None:
    slots = RandomMarket(Random(1)).slots(6)
    opened = Opened()
    runtime = LambdaRuntime(opened.ports(), wallet_calls_max=4)
    answer = runtime.handle(kinesis_event([*slots[:2], *slots[3:5]]), 5)
    assert answer == {"batchItemFailures": [{"itemIdentifier": "4"}, {"itemIdentifier": "5"}]}
    assert runtime.handle(kinesis_event(slots[2:]), 5) == {"batchItemFailures": []}
    runtime.close()
    assert_exact(opened.cloud, slots)


@pytest.mark.parametrize("store", ["wallets", "database", "history"])
def test_an_outage_hands_everything_back_in_time(store: str) -> None:
    slots = RandomMarket(Random(1)).slots(3)
    faults = Faults()
    faults.down(store)
    opened = Opened(faults)
    runtime = LambdaRuntime(opened.ports(), wallet_calls_max=4)
    answer = runtime.handle(kinesis_event(slots), 0.3)
    assert [failure["itemIdentifier"] for failure in answer["batchItemFailures"]] == ["1", "2", "3"]
    faults.up()
    assert runtime.handle(kinesis_event(slots), 5) == {"batchItemFailures": []}
    runtime.close()
    assert_exact(opened.cloud, slots)


def test_the_handler_refuses_to_start_without_its_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DATABASE_URL", raising=False)
    with pytest.raises(ValueError, match="database_url"):
        handler({"Records": []}, None)


def test_what_was_measured_is_out_before_the_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    opened, done = Opened(), list[str]()
    runtime = LambdaRuntime(opened.ports(), wallet_calls_max=4)
    monkeypatch.setattr(lambda_handler, "_runtimes", [runtime])
    monkeypatch.setattr(lambda_handler.recorder, "flush", lambda: done.append("metrics"))
    monkeypatch.setattr(lambda_handler, "flush_spans", lambda: done.append("spans"))
    assert handler(kinesis_event(RandomMarket(Random(1)).slots(2)), None) == {"batchItemFailures": []}
    assert done == ["metrics", "spans"]
    runtime.close()
