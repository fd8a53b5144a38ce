"""Items keep their values through DynamoDB's form, and cancelled transactions tell who refused."""

from collections import Counter
from dataclasses import replace
from typing import Any

import pytest
from botocore.exceptions import ClientError

from exchange_adapters import aws
from exchange_adapters.dynamodb_items import from_item, to_attribute, to_item
from exchange_adapters.dynamodb_wallets import (
    PENDING_KEYS,
    DynamoWalletHolds,
    DynamoWalletSettlement,
    pending_owners,
)
from exchange_core.errors import Ambiguous, Conflict, Fatal, PortError, Throttled
from exchange_core.ids import EPOCH_MS, IdGenerator
from exchange_core.ports import HoldRefusedError, Intent
from exchange_core.topology import Topology

INTENT = Intent(
    user_id="alice",
    order_id=7,
    client_order_id="mine",
    body_digest="d",
    partition=1,
    group="BTCUSDT",
    command="{}",
    created_at_ms=1,
)
PASSED = {"Code": "None"}
REFUSED = {"Code": "ConditionalCheckFailed"}
COLLIDED = {"Code": "TransactionConflict"}


class CancellingClient:
    """Cancels every transaction for the reasons given."""

    def __init__(self, *reasons: dict[str, Any]) -> None:
        self.reasons = reasons

    async def transact_write_items(self, **request: Any) -> dict[str, Any]:
        assert len(request["TransactItems"]) == len(self.reasons)
        response: Any = {
            "Error": {"Code": "TransactionCanceledException", "Message": "cancelled"},
            "CancellationReasons": list(self.reasons),
        }
        raise ClientError(response, "TransactWriteItems")


async def refusal(*reasons: dict[str, Any]) -> PortError:
    """What a transaction of one hold and INTENT's three items (order, pending, client) raises."""
    holds = DynamoWalletHolds(CancellingClient(*reasons), Topology())  # type: ignore[arg-type]
    with pytest.raises(PortError) as caught:
        await holds.commit({("alice", "USDT"): 5}, [INTENT])
    return caught.value


def test_values_keep_their_types() -> None:
    item = {"text": "x", "number": 2**63 - 1, "negative": -5, "bytes": b"\x00", "yes": True, "no": False}
    assert from_item(to_item(item)) == item
    assert to_attribute(True) == {"BOOL": True}
    assert to_attribute(1) == {"N": "1"}


class NotingClient:
    """Takes every transaction, and counts the items put under each hash key."""

    def __init__(self) -> None:
        self.owners: Counter[str] = Counter()

    async def transact_write_items(self, **request: Any) -> dict[str, Any]:
        self.owners.update(action["Put"]["Item"]["owner"]["S"] for action in request["TransactItems"])
        return {}


@pytest.mark.parametrize("orders_a_millisecond", [1, 2, 4, 64])
async def test_pending_items_of_a_partition_are_spread_evenly(orders_a_millisecond: int) -> None:
    client, ids = NotingClient(), IdGenerator(node=3)
    holds = DynamoWalletHolds(client, Topology())  # type: ignore[arg-type]
    for number in range(1_000):
        order_id = ids.next_id(EPOCH_MS + number // orders_a_millisecond)
        await holds.commit({}, [replace(INTENT, order_id=order_id, client_order_id=None)])
    assert client.owners.pop("alice") == 1_000
    assert set(client.owners) == set(pending_owners(INTENT.partition))
    assert max(client.owners.values()) < 1.1 * 1_000 / PENDING_KEYS


async def test_a_short_wallet_is_told_with_what_it_had() -> None:
    had = {"available": {"N": "3"}, "held": {"N": "9"}}
    error = await refusal({**REFUSED, "Item": had}, PASSED, PASSED, PASSED)
    assert isinstance(error, HoldRefusedError)
    assert (error.short, error.taken) == ({("alice", "USDT"): 3}, frozenset())


async def test_a_wallet_that_is_missing_had_nothing() -> None:
    error = await refusal(REFUSED, PASSED, PASSED, PASSED)
    assert isinstance(error, HoldRefusedError)
    assert error.short == {("alice", "USDT"): 0}


async def test_a_taken_client_id_is_told_also_beside_a_collision() -> None:
    error = await refusal(COLLIDED, PASSED, PASSED, REFUSED)
    assert isinstance(error, HoldRefusedError)
    assert (error.short, error.taken) == ({}, frozenset({("alice", "mine")}))


async def test_an_order_that_is_stored_already_is_ambiguous_not_taken() -> None:
    assert type(await refusal(REFUSED, REFUSED, PASSED, REFUSED)) is Ambiguous


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        ("TransactionConflict", Conflict),
        ("ThrottlingError", Throttled),
        ("ProvisionedThroughputExceeded", Throttled),
        ("ValidationError", Fatal),
    ],
)
async def test_other_cancellations_are_told_by_their_cause(code: str, expected: type[PortError]) -> None:
    assert type(await refusal(PASSED, {"Code": code}, PASSED, PASSED)) is expected


class HalfDoneClient:
    """Leaves the last request of every batch unprocessed, `times` times."""

    def __init__(self, times: int) -> None:
        self.times = times
        self.batches: list[list[str]] = []

    async def batch_write_item(self, **request: Any) -> dict[str, Any]:
        ((table, requests),) = request["RequestItems"].items()
        self.batches.append([entry["DeleteRequest"]["Key"]["item"]["S"].lstrip("0") for entry in requests])
        if self.times == 0:
            return {"UnprocessedItems": {}}
        self.times -= 1
        return {"UnprocessedItems": {table: requests[-1:]}}


async def test_orders_are_marked_seen_in_batches_of_25_each_once() -> None:
    client = HalfDoneClient(times=0)
    settlement = DynamoWalletSettlement(client, Topology())  # type: ignore[arg-type]
    await settlement.mark_seen(0, [*range(1, 31), 1, 2])
    assert client.batches == [[str(n) for n in range(1, 26)], [str(n) for n in range(26, 31)]]


async def test_unprocessed_items_are_sent_again() -> None:
    client = HalfDoneClient(times=2)
    settlement = DynamoWalletSettlement(client, Topology())  # type: ignore[arg-type]
    await settlement.mark_seen(0, [1, 2, 3])
    assert client.batches == [["1", "2", "3"], ["3"], ["3"]]


async def test_items_left_unprocessed_for_ever_are_given_up_as_throttled(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(aws, "PAUSE_S", 0.0)
    settlement = DynamoWalletSettlement(HalfDoneClient(times=1_000), Topology())  # type: ignore[arg-type]
    with pytest.raises(Throttled):
        await settlement.mark_seen(0, [1])
