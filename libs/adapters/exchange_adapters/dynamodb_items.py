"""DynamoDB items as plain values, and the reads that all of its adapters share.

The low-level client wants every value with its type; ours are text, whole numbers, bytes and booleans, and no more.
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from itertools import islice
from typing import Any, Final, Protocol

from exchange_adapters.aws import pause, read_again, writing
from exchange_core.errors import Throttled

Value = str | int | bytes | bool
Item = Mapping[str, Value]
Attribute = dict[str, Any]

_BATCH_ITEMS_MAX: Final = 25
_BATCH_ATTEMPTS: Final = 8
CONDITION_FAILED: Final = "ConditionalCheckFailedException"


class DynamoClient(Protocol):
    """The operations that the adapters call; the services' permissions name the same."""

    async def get_item(self, **request: Any) -> dict[str, Any]: ...  # noqa: D102 - the SDK documents them

    async def query(self, **request: Any) -> dict[str, Any]: ...  # noqa: D102

    async def put_item(self, **request: Any) -> dict[str, Any]: ...  # noqa: D102

    async def update_item(self, **request: Any) -> dict[str, Any]: ...  # noqa: D102

    async def delete_item(self, **request: Any) -> dict[str, Any]: ...  # noqa: D102

    async def batch_write_item(self, **request: Any) -> dict[str, Any]: ...  # noqa: D102

    async def scan(self, **request: Any) -> dict[str, Any]: ...  # noqa: D102

    async def transact_write_items(self, **request: Any) -> dict[str, Any]: ...  # noqa: D102


def to_attribute(value: Value) -> Attribute:
    """`{"N": "7"}` and the like."""
    match value:
        case bool():
            return {"BOOL": value}
        case int():
            return {"N": str(value)}
        case bytes():
            return {"B": value}
        case str():
            return {"S": value}


def from_attribute(attribute: Attribute) -> Value:
    """The value back; a number must be whole."""
    match attribute:
        case {"N": str(digits)}:
            return int(digits)
        case {"S": str(value)} | {"B": bytes(value)} | {"BOOL": bool(value)}:
            return value
    raise AssertionError(f"an attribute that we never write: {list(attribute)}")


def to_item(item: Item) -> dict[str, Attribute]:
    """All attributes of an item, with their types."""
    return {name: to_attribute(value) for name, value in item.items()}


def from_item(attributes: Mapping[str, Attribute]) -> dict[str, Any]:
    """The item back, as plain values."""
    return {name: from_attribute(attribute) for name, attribute in attributes.items()}


async def get(client: DynamoClient, table: str, key: Item) -> dict[str, Any] | None:
    """The item under the key, read consistently."""
    request = {"TableName": table, "Key": to_item(key), "ConsistentRead": True}
    response = await read_again(lambda: client.get_item(**request))
    return from_item(response["Item"]) if "Item" in response else None


async def pages(call: Callable[..., Awaitable[dict[str, Any]]], **request: Any) -> AsyncIterator[list[dict[str, Any]]]:
    """The pages of a consistent query or scan, each as plain items; a page may be empty with more to come."""
    request["ConsistentRead"] = True
    while True:
        asked = dict(request)
        response = await read_again(lambda asked=asked: call(**asked))  # type: ignore[misc]
        yield [from_item(item) for item in response["Items"]]
        if "LastEvaluatedKey" not in response:
            return
        request["ExclusiveStartKey"] = response["LastEvaluatedKey"]


async def delete_all(client: DynamoClient, table: str, keys: Iterable[Item]) -> None:
    """Delete the items under these keys, each named once; those that do not exist are passed over. Raises Throttled."""
    await _write_batches(client, table, ({"DeleteRequest": {"Key": to_item(key)}} for key in keys))


async def put_all(client: DynamoClient, table: str, items: Iterable[Item]) -> None:
    """Put these items, each key once, whatever stood there. Raises Throttled."""
    await _write_batches(client, table, ({"PutRequest": {"Item": to_item(item)}} for item in items))


async def _write_batches(client: DynamoClient, table: str, requests: Iterable[dict[str, Any]]) -> None:
    rest = iter(requests)
    while batch := list(islice(rest, _BATCH_ITEMS_MAX)):
        for attempt in range(_BATCH_ATTEMPTS):
            async with writing():
                response = await client.batch_write_item(RequestItems={table: batch})
            batch = response.get("UnprocessedItems", {}).get(table, [])
            if not batch:
                break
            await pause(attempt)
        else:
            raise Throttled(f"{len(batch)} items were left unprocessed {_BATCH_ATTEMPTS} times")
