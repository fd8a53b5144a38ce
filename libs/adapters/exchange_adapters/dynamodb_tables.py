"""The small tables in DynamoDB: leases, sessions, API keys, WebSocket connections."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from botocore.exceptions import ClientError

from exchange_adapters.aws import error_code, writing
from exchange_adapters.dynamodb_items import CONDITION_FAILED, DynamoClient, Item, get, pages, to_attribute, to_item
from exchange_core.errors import Conflict
from exchange_core.ports import ApiKey, KeyScope, Session
from exchange_core.topology import Topology


class DynamoLeases:
    """LeaseStore. Items: name, owner, until_ms (N)."""

    def __init__(self, client: DynamoClient, topology: Topology) -> None:
        self._client = client
        self._table = topology.leases.name

    async def acquire(self, name: str, owner: str, now_ms: int, ttl_ms: int) -> bool:
        """Take or renew the lease until now + ttl; False when another owner's has not run out.

        After Ambiguous it may be ours: asking again as the same owner is harmless.
        """
        try:
            async with _conditional():
                await self._client.update_item(
                    TableName=self._table,
                    Key=to_item({"name": name}),
                    UpdateExpression="SET #owner = :owner, #until = :until",
                    ConditionExpression="attribute_not_exists(#owner) OR #owner = :owner OR #until <= :now",
                    ExpressionAttributeNames={"#owner": "owner", "#until": "until_ms"},
                    ExpressionAttributeValues=to_item({":owner": owner, ":until": now_ms + ttl_ms, ":now": now_ms}),
                )
        except _RefusedError:
            return False
        return True

    async def release(self, name: str, owner: str) -> None:
        """Give it up, if it is ours."""
        try:
            async with _conditional():
                await self._client.delete_item(
                    TableName=self._table,
                    Key=to_item({"name": name}),
                    ConditionExpression="#owner = :owner",
                    ExpressionAttributeNames={"#owner": "owner"},
                    ExpressionAttributeValues={":owner": to_attribute(owner)},
                )
        except _RefusedError:
            return

    async def holder(self, name: str) -> tuple[str, int] | None:
        """(owner, until_ms), whether or not it has run out."""
        item = await get(self._client, self._table, {"name": name})
        return None if item is None else (item["owner"], item["until_ms"])


class DynamoSessions:
    """SessionStore. Items: session_id, user_id, created_at_ms, expires_at_ms, is_revoked, expires_at (TTL)."""

    def __init__(self, client: DynamoClient, topology: Topology) -> None:
        self._client = client
        self._table = topology.sessions.name

    async def put(self, session: Session) -> None:
        """Store a new session. One that is there already stays as it is: a revoked one cannot come back."""
        try:
            async with _conditional():
                await self._client.put_item(
                    TableName=self._table,
                    Item=to_item(
                        {
                            "session_id": session.session_id,
                            "user_id": session.user_id,
                            "created_at_ms": session.created_at_ms,
                            "expires_at_ms": session.expires_at_ms,
                            "is_revoked": session.is_revoked,
                            "expires_at": _expires_at(session.expires_at_ms),
                        }
                    ),
                    ConditionExpression="attribute_not_exists(#id)",
                    ExpressionAttributeNames={"#id": "session_id"},
                )
        except _RefusedError:
            return

    async def get(self, session_id: str) -> Session | None:
        """Read consistently. DynamoDB drops expired items late: compare `expires_at_ms`."""
        item = await get(self._client, self._table, {"session_id": session_id})
        if item is None:
            return None
        return Session(
            session_id=item["session_id"],
            user_id=item["user_id"],
            created_at_ms=item["created_at_ms"],
            expires_at_ms=item["expires_at_ms"],
            is_revoked=item["is_revoked"],
        )

    async def revoke(self, session_id: str) -> None:
        """End it for good; one that does not exist has ended already."""
        try:
            async with _conditional():
                await self._client.update_item(
                    TableName=self._table,
                    Key=to_item({"session_id": session_id}),
                    UpdateExpression="SET #revoked = :true",
                    ConditionExpression="attribute_exists(#id)",
                    ExpressionAttributeNames={"#revoked": "is_revoked", "#id": "session_id"},
                    ExpressionAttributeValues={":true": to_attribute(True)},
                )
        except _RefusedError:
            return


class DynamoApiKeys:
    """ApiKeyStore. Items: user_id, key_id, name, scopes (text, by comma), salt (bytes), master, created_at_ms."""

    def __init__(self, client: DynamoClient, topology: Topology) -> None:
        self._client = client
        self._table = topology.api_keys.name

    async def put(self, key: ApiKey) -> None:
        """Store a new key; one that is there already stays as it is."""
        item: Item = {
            "user_id": key.user_id,
            "key_id": key.key_id,
            "name": key.name,
            "scopes": ",".join(sorted(key.scopes)),
            "salt": key.salt,
            "master": key.master,
            "created_at_ms": key.created_at_ms,
        }
        try:
            async with _conditional():
                await self._client.put_item(
                    TableName=self._table,
                    Item=to_item(item),
                    ConditionExpression="attribute_not_exists(#id)",
                    ExpressionAttributeNames={"#id": "key_id"},
                )
        except _RefusedError:
            return

    async def get(self, user_id: str, key_id: str) -> ApiKey | None:
        """Read consistently."""
        item = await get(self._client, self._table, {"user_id": user_id, "key_id": key_id})
        return None if item is None else _api_key(item)

    async def of_user(self, user_id: str) -> list[ApiKey]:
        """All keys of the user, by key id; read consistently."""
        return [
            _api_key(item)
            async for page in pages(
                self._client.query,
                TableName=self._table,
                KeyConditionExpression="#user = :user",
                ExpressionAttributeNames={"#user": "user_id"},
                ExpressionAttributeValues=to_item({":user": user_id}),
            )
            for item in page
        ]

    async def revoke(self, user_id: str, key_id: str) -> None:
        """End it for good; one that does not exist has ended already."""
        async with writing():
            await self._client.delete_item(TableName=self._table, Key=to_item({"user_id": user_id, "key_id": key_id}))


class DynamoConnections:
    """ConnectionStore. Items: connection_id, node, expires_at (TTL)."""

    def __init__(self, client: DynamoClient, topology: Topology) -> None:
        self._client = client
        self._table = topology.connections.name

    async def put(self, connection_id: str, node: str, expires_at_ms: int) -> None:
        """Record an open connection, or extend its life."""
        expires_at = _expires_at(expires_at_ms)
        item = to_item({"connection_id": connection_id, "node": node, "expires_at": expires_at})
        async with writing():
            await self._client.put_item(TableName=self._table, Item=item)

    async def delete(self, connection_id: str) -> None:
        """Forget it."""
        async with writing():
            await self._client.delete_item(TableName=self._table, Key=to_item({"connection_id": connection_id}))


class _RefusedError(Conflict):
    """The condition of a write did not hold."""


@asynccontextmanager
async def _conditional() -> AsyncIterator[None]:
    async with writing():
        try:
            yield
        except ClientError as error:
            if error_code(error) == CONDITION_FAILED:
                raise _RefusedError(str(error)) from error
            raise


def _api_key(item: dict[str, Any]) -> ApiKey:
    scopes = frozenset(KeyScope(scope) for scope in item["scopes"].split(",") if scope)
    return ApiKey(**{**item, "scopes": scopes})


def _expires_at(at_ms: int) -> int:
    """DynamoDB expires by whole seconds; never before the moment itself."""
    return -(-at_ms // 1000)
