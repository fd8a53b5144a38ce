"""Wallets and intents in DynamoDB: the gateway takes holds, the persister settles what the journal says.

A wallet is one item: user_id, asset, available, held, and for each partition p that ever touched it `applied_<p>`, the
last slot settled. Settlement creates it; a hold only ever changes one that exists. The items of an intent are laid out
in `ports.Intent`.

DynamoDB takes 1,000 write units a second under one hash key, and a pending item costs three, two when it is put in a
transaction and one when it is deleted: so a partition's pending items lie under PENDING_KEYS of them
(docs/adr/0017-pending-orders-lie-under-several-keys.md).
"""

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from itertools import chain
from typing import Any, Final

from botocore.exceptions import ClientError

from exchange_adapters.aws import code_error, error_code, writing
from exchange_adapters.dynamodb_items import (
    CONDITION_FAILED,
    DynamoClient,
    Item,
    delete_all,
    from_item,
    get,
    pages,
    put_all,
    to_attribute,
    to_item,
)
from exchange_core.errors import Ambiguous, Conflict, PortError
from exchange_core.ports import (
    MAX_TRANSACTION_ITEMS,
    AlreadySettledError,
    HoldRefusedError,
    Intent,
    Pending,
    Wallet,
)
from exchange_core.topology import INTENT_TTL_S, Topology

PENDING_KEYS: Final = 3
"""Odd: an id's low bits are a counter that hardly counts, and an even number would leave keys unused. Not to be changed
while anything is pending: what was put under one number is not found under another."""
_APPLIED: Final = "applied_"
_REFUSED: Final = "ConditionalCheckFailed"


class DynamoWalletHolds:
    """WalletHolds: what the gateway may do with wallets and intents."""

    def __init__(self, client: DynamoClient, topology: Topology) -> None:
        self._client = client
        self._wallets = topology.wallets.name
        self._intents = topology.intents.name

    async def commit(self, holds: Mapping[tuple[str, str], int], intents: Sequence[Intent]) -> None:
        """In one transaction: move units from available to held for each (user_id, asset), and store the intents.

        A hold of 0 needs no wallet. No two intents may have the same user and client id. Raises HoldRefusedError;
        Conflict when it collided with another transaction; Ambiguous when it broke off, or when one of the order ids
        is stored already (an earlier attempt took place after all): an intent read back tells.
        """
        taken_keys = [wallet for wallet, amount in holds.items() if amount > 0]
        actions = [self._hold(wallet, holds[wallet]) for wallet in taken_keys]
        items = [item for intent in intents for item in _intent_items(intent)]
        actions += [self._put(item) for item in items]
        assert min(holds.values(), default=0) >= 0, "a hold is never negative"
        assert len(actions) <= MAX_TRANSACTION_ITEMS, "the caller bounds the transaction"
        if not actions:
            return
        async with writing():
            try:
                await self._client.transact_write_items(TransactItems=actions)
            except ClientError as error:
                if error_code(error) != "TransactionCanceledException":
                    raise
                reasons = error.response.get("CancellationReasons", [])
                raise _cancellation(reasons, taken_keys, items) from error

    async def balances(self, user_id: str) -> Sequence[Wallet]:
        """All wallets of a user, read consistently, by asset."""
        wallets: list[Wallet] = []
        async for items in pages(
            self._client.query,
            TableName=self._wallets,
            KeyConditionExpression="#user = :user",
            ExpressionAttributeNames={"#user": "user_id"},
            ExpressionAttributeValues={":user": to_attribute(user_id)},
        ):
            wallets += [_wallet(item) for item in items]
        return wallets

    async def intent(self, user_id: str, order_id: int) -> Intent | None:
        """The intent of this user's order, read consistently."""
        item = await get(self._client, self._intents, {"owner": user_id, "item": _order_key(order_id)})
        return None if item is None else _intent(item)

    async def intent_by_client_id(self, user_id: str, client_order_id: str) -> Intent | None:
        """The same by the client's id."""
        item = await get(self._client, self._intents, {"owner": user_id, "item": _client_key(client_order_id)})
        return None if item is None else await self.intent(user_id, item["order_id"])

    async def pending(self, partition: int, created_before_ms: int, limit: int) -> Sequence[Pending]:
        """The oldest intents not yet seen in the journal, in order of their ids."""
        oldest = await asyncio.gather(
            *(self._pending_under(owner, created_before_ms, limit) for owner in pending_owners(partition))
        )
        return _by_id(oldest)[:limit]

    async def _pending_under(self, owner: str, created_before_ms: int, limit: int) -> list[Pending]:
        found: list[Pending] = []
        async for items in pages(self._client.query, TableName=self._intents, Limit=limit, **_of_owner(owner)):
            old = [_pending(item) for item in items if item["created_at_ms"] < created_before_ms]
            found += old
            # Ids grow with time: behind a page of nothing but young ones there are only younger ones.
            if len(found) >= limit or (items and not old):
                break
        return found

    def _hold(self, wallet: tuple[str, str], amount: int) -> dict[str, Any]:
        user_id, asset = wallet
        return {
            "Update": {
                "TableName": self._wallets,
                "Key": to_item({"user_id": user_id, "asset": asset}),
                "UpdateExpression": "SET #available = #available - :hold, #held = #held + :hold",
                "ConditionExpression": "#available >= :hold",
                "ExpressionAttributeNames": {"#available": "available", "#held": "held"},
                "ExpressionAttributeValues": {":hold": to_attribute(amount)},
                "ReturnValuesOnConditionCheckFailure": "ALL_OLD",
            }
        }

    def _put(self, item: Item) -> dict[str, Any]:
        put = {"TableName": self._intents, "Item": to_item(item)}
        if "body_digest" in item:  # the order and the client's id exist once; the pending item follows the order
            put["ConditionExpression"] = "attribute_not_exists(#item)"
            put["ExpressionAttributeNames"] = {"#item": "item"}
        return {"Put": put}


class DynamoWalletSettlement:
    """WalletSettlement: what the persister may do with wallets and intents."""

    def __init__(self, client: DynamoClient, topology: Topology) -> None:
        self._client = client
        self._wallets = topology.wallets.name
        self._intents = topology.intents.name

    async def settle(
        self, user_id: str, asset: str, partition: int, *, first: int, last: int, available: int, held: int
    ) -> Wallet:
        """Add the deltas and set applied[partition] = last, on condition that applied[partition] < first; returns the
        wallet as that leaves it.

        The wallet is created if it does not exist. Raises AlreadySettledError when the condition fails; Conflict
        when a hold was being taken from the wallet at that moment (try again); Ambiguous (try again: a settlement
        that took place answers AlreadySettledError).
        """
        assert first <= last
        async with writing():
            try:
                answer = await self._client.update_item(
                    TableName=self._wallets,
                    Key=to_item({"user_id": user_id, "asset": asset}),
                    UpdateExpression="SET #applied = :last ADD #available :available, #held :held",
                    ConditionExpression="attribute_not_exists(#applied) OR #applied < :first",
                    ExpressionAttributeNames={
                        "#applied": f"{_APPLIED}{partition}",
                        "#available": "available",
                        "#held": "held",
                    },
                    ExpressionAttributeValues=to_item(
                        {":first": first, ":last": last, ":available": available, ":held": held}
                    ),
                    ReturnValues="ALL_NEW",
                    ReturnValuesOnConditionCheckFailure="ALL_OLD",
                )
            except ClientError as error:
                if error_code(error) == CONDITION_FAILED:
                    raise AlreadySettledError(_wallet(from_item(error.response["Item"])), partition) from error
                raise
        return _wallet(from_item(answer["Attributes"]))

    async def mark_seen(self, partition: int, order_ids: Sequence[int]) -> None:
        """Delete the pending items of these orders; those that do not exist are passed over."""
        once = dict.fromkeys(order_ids)  # one batch may not name an item twice
        keys = (_pending_key(partition, order_id) for order_id in once)
        await delete_all(self._client, self._intents, keys)


class DynamoWalletReader:
    """WalletReader: what the reconciler may read of wallets and intents."""

    def __init__(self, client: DynamoClient, topology: Topology) -> None:
        self._client = client
        self._wallets = topology.wallets.name
        self._intents = topology.intents.name

    async def wallet(self, user_id: str, asset: str) -> Wallet | None:
        """One wallet, read consistently."""
        item = await get(self._client, self._wallets, {"user_id": user_id, "asset": asset})
        return None if item is None else _wallet(item)

    async def all_pending(self, partition: int) -> Sequence[Pending]:
        """Every intent of the partition that is not marked as seen, in order of their ids, read consistently."""
        return await _all_pending(self._client, self._intents, partition)


class DynamoWalletRestore(DynamoWalletSettlement):
    """WalletRestore: what a rebuild may do with wallets and intents, while no service runs."""

    async def replace(self, wallets: Sequence[Wallet]) -> None:
        """The table then holds these wallets, as they are given, and no others. A repeat is harmless."""
        kept = {(wallet.user_id, wallet.asset) for wallet in wallets}
        async for items in pages(self._client.scan, TableName=self._wallets):
            found = [{"user_id": item["user_id"], "asset": item["asset"]} for item in items]
            others = [key for key in found if (key["user_id"], key["asset"]) not in kept]
            await delete_all(self._client, self._wallets, others)
        await put_all(self._client, self._wallets, map(_wallet_item, wallets))

    async def all_pending(self, partition: int) -> Sequence[Pending]:
        """Every intent of the partition that is not marked as seen, in order of their ids, read consistently."""
        return await _all_pending(self._client, self._intents, partition)


async def _all_pending(client: DynamoClient, table: str, partition: int) -> list[Pending]:
    async def under(owner: str) -> list[Pending]:
        read = pages(client.query, TableName=table, **_of_owner(owner))
        return [_pending(item) async for items in read for item in items]

    return _by_id(await asyncio.gather(*map(under, pending_owners(partition))))


def _by_id(found: Iterable[Iterable[Pending]]) -> list[Pending]:
    return sorted(chain.from_iterable(found), key=lambda pending: pending.order_id)


def _of_owner(owner: str) -> dict[str, Any]:
    """What a query for all items of one owner asks."""
    return {
        "KeyConditionExpression": "#owner = :owner",
        "ExpressionAttributeNames": {"#owner": "owner"},
        "ExpressionAttributeValues": {":owner": to_attribute(owner)},
    }


def _cancellation(
    reasons: Sequence[Mapping[str, Any]], wallets: Sequence[tuple[str, str]], items: Sequence[Item]
) -> PortError:
    """Why a transaction was cancelled: a reason an action stands in the same order, holds before items."""
    short: dict[tuple[str, str], int] = {}
    for wallet, reason in zip(wallets, reasons, strict=False):
        if reason.get("Code") == _REFUSED:
            short[wallet] = from_item(reason.get("Item") or {}).get("available", 0)
    existing = [
        item for item, reason in zip(items, reasons[len(wallets) :], strict=False) if reason.get("Code") == _REFUSED
    ]
    taken = {(str(item["owner"]), str(item["client_order_id"])) for item in existing if "client_order_id" in item}
    if any(item["item"] == _order_key(int(item["order_id"])) for item in existing):
        return Ambiguous("an order of this transaction is stored already: an earlier attempt took place")
    if short or taken:
        return HoldRefusedError(short, frozenset(taken))
    for reason in reasons:
        code = str(reason.get("Code", "None"))
        if code not in ("None", "TransactionConflict"):
            return code_error(code, 0, is_write=False)(f"{code}: {reason.get('Message')}")
    return Conflict("the transaction collided with another one")


def _intent_items(intent: Intent) -> list[Item]:
    """What stands in the table for one intent; `ports.item_count` says how many items."""
    command: dict[str, Any] = {
        "order_id": intent.order_id,
        "group": intent.group,
        "command": intent.command,
        "created_at_ms": intent.created_at_ms,
    }
    expiry = {} if intent.is_kept else {"expires_at": intent.created_at_ms // 1000 + INTENT_TTL_S}
    order: dict[str, Any] = {
        "owner": intent.user_id,
        "item": _order_key(intent.order_id),
        "body_digest": intent.body_digest,
        "partition": intent.partition,
        **command,
        **expiry,
    }
    # Without an expiry: it stands until the journal has shown the order, however long that takes.
    pending: dict[str, Any] = {
        **_pending_key(intent.partition, intent.order_id),
        **command,
    }
    if intent.client_order_id is None:
        return [order, pending]
    client: dict[str, Any] = {
        "owner": intent.user_id,
        "item": _client_key(intent.client_order_id),
        "order_id": intent.order_id,
        "client_order_id": intent.client_order_id,
        "body_digest": intent.body_digest,
        **expiry,
    }
    return [{**order, "client_order_id": intent.client_order_id}, pending, client]


def _order_key(order_id: int) -> str:
    return f"order#{order_id}"


def _client_key(client_order_id: str) -> str:
    return f"client#{client_order_id}"


def pending_owners(partition: int) -> list[str]:
    """The hash keys under which a partition's pending items lie."""
    return [f"pending#{partition}#{key}" for key in range(PENDING_KEYS)]


def _pending_key(partition: int, order_id: int) -> dict[str, str]:
    return {"owner": pending_owners(partition)[order_id % PENDING_KEYS], "item": f"{order_id:019d}"}


def _intent(item: Mapping[str, Any]) -> Intent:
    return Intent(
        user_id=item["owner"],
        order_id=item["order_id"],
        client_order_id=item.get("client_order_id"),
        body_digest=item["body_digest"],
        partition=item["partition"],
        group=item["group"],
        command=item["command"],
        created_at_ms=item["created_at_ms"],
        is_kept="expires_at" not in item,
    )


def _pending(item: Mapping[str, Any]) -> Pending:
    return Pending(
        order_id=item["order_id"],
        group=item["group"],
        command=item["command"],
        created_at_ms=item["created_at_ms"],
    )


def _wallet_item(wallet: Wallet) -> Item:
    applied = {f"{_APPLIED}{partition}": slot for partition, slot in wallet.applied.items()}
    return {
        "user_id": wallet.user_id,
        "asset": wallet.asset,
        "available": wallet.available,
        "held": wallet.held,
        **applied,
    }


def _wallet(item: Mapping[str, Any]) -> Wallet:
    return Wallet(
        user_id=item["user_id"],
        asset=item["asset"],
        available=item["available"],
        held=item["held"],
        applied={int(name.removeprefix(_APPLIED)): value for name, value in item.items() if name.startswith(_APPLIED)},
    )
