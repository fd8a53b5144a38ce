"""The journal in DynamoDB: one immutable item a slot, which exactly one writer can create."""

from collections.abc import Sequence

from botocore.exceptions import ClientError

from exchange_adapters.aws import error_code, writing
from exchange_adapters.dynamodb_items import CONDITION_FAILED, DynamoClient, pages, to_attribute, to_item
from exchange_core.ports import SlotTakenError
from exchange_core.topology import Topology


class DynamoJournal:
    """JournalWriter and JournalReader. Items: partition (N), n (N), data (B: the bytes of `codec.encode_slot`)."""

    def __init__(self, client: DynamoClient, topology: Topology) -> None:
        self._client = client
        self._table = topology.journal.name

    async def put(self, partition: int, n: int, data: bytes) -> None:
        """Write slot n if no one has. Raises SlotTakenError, or Ambiguous (settle it with `read`)."""
        async with writing():
            try:
                await self._client.put_item(
                    TableName=self._table,
                    Item=to_item({"partition": partition, "n": n, "data": data}),
                    ConditionExpression="attribute_not_exists(#n)",
                    ExpressionAttributeNames={"#n": "n"},
                )
            except ClientError as error:
                if error_code(error) == CONDITION_FAILED:
                    raise SlotTakenError(f"slot {n} of partition {partition} is taken") from error
                raise

    async def read(self, partition: int, after: int, limit: int) -> Sequence[tuple[int, bytes]]:
        """Slots n > after in order, consistently, at most `limit`; fewer only at the end (empty: none)."""
        slots: list[tuple[int, bytes]] = []
        async for items in pages(
            self._client.query,
            TableName=self._table,
            KeyConditionExpression="#partition = :partition AND #n > :after",
            ExpressionAttributeNames={"#partition": "partition", "#n": "n"},
            ExpressionAttributeValues={":partition": to_attribute(partition), ":after": to_attribute(after)},
            Limit=limit,
        ):
            slots += [(item["n"], item["data"]) for item in items]
            if len(slots) >= limit:
                break
        return slots[:limit]
