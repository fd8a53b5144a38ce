"""Which world an exchange in containers is in: the one it was in, a fresh one, or none because two are mixed.

LocalStack forgets its whole cloud at every restart, which no AWS failure does; PostgreSQL and Cognito, on volumes,
remember. A world is one life of that cloud. Its id is part of the name of everything it owns: the prefix of queues,
tables, streams and buckets, the database, the user pool. So a process of an old world finds nothing of the new one
that it could write to (docs/adr/0006-a-world-is-in-every-name.md).

Marks: every world is a row of `twin.worlds` in the database that all worlds share, the newest is the present one; the
cloud holds the id of its world in a table of its own, written last, when all else of the world is there.
"""

import secrets
from dataclasses import dataclass
from typing import Any, Final, Self
from urllib.parse import urlsplit, urlunsplit

import asyncpg

from crossbook.bootstrap import Cloud, UserPool, create_table
from crossbook.errors import MixedWorldsError, SetupError
from exchange_core.topology import TableSpec, Topology

MARK_KEY: Final = {"name": {"S": "world"}}
REDIS_DATABASES: Final = 16
_LOCK: Final = 0x43524F5353424F4F
"""PostgreSQL's advisory lock: one bootstrap at a time."""
_CREATE_MARKS: Final = """
    CREATE SCHEMA IF NOT EXISTS twin;
    CREATE TABLE IF NOT EXISTS twin.worlds (
        number bigint PRIMARY KEY,
        world_id text NOT NULL UNIQUE,
        partitions integer NOT NULL,
        user_pool_id text,
        client_id text,
        began_at timestamptz NOT NULL DEFAULT now()
    );
    ALTER TABLE twin.worlds ADD COLUMN IF NOT EXISTS api_key_master text
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class ContainerWorld:
    """One world. `number` counts the worlds of this database from 1; without `user_pool` it was never finished."""

    number: int
    world_id: str
    partitions: int
    api_key_master: str
    user_pool: UserPool | None = None

    @property
    def redis_database(self) -> int:
        """Its own, lest an old process write into the new one's cache."""
        return self.number % REDIS_DATABASES

    def topology(self, prefix: str) -> Topology:
        """Its names in the cloud."""
        return Topology(prefix=f"{prefix}-{self.world_id}", partitions=self.partitions)


def goes_on(*, cloud: str | None, database: ContainerWorld | None, partitions: int) -> bool:
    """Whether the newest world goes on (True) or a fresh one begins; `cloud` is the id of the cloud's mark.

    Raises MixedWorldsError when the halves do not belong together, SetupError when the world cannot be had that way.
    """
    if cloud is None:
        return False
    if database is None:
        raise MixedWorldsError(f"the emulated cloud holds world {cloud}, and PostgreSQL knows of no world")
    if cloud != database.world_id:
        raise MixedWorldsError(f"the emulated cloud holds world {cloud}, PostgreSQL world {database.world_id}")
    if database.partitions != partitions:
        raise SetupError(
            f"world {cloud} has {database.partitions} partitions for as long as it lasts, not {partitions}: "
            f"set CROSSBOOK_PARTITIONS={database.partitions}, or wipe it by `docker compose down --volumes`"
        )
    return True


class DatabaseMarks:
    """The worlds as PostgreSQL knows them, through the database that `url` names. Use it as a context manager: nobody
    else can begin a world until it is closed."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._connection: Any = None

    async def __aenter__(self) -> Self:
        self._connection = await asyncpg.connect(self._url, timeout=10)
        await self._connection.execute("SELECT pg_advisory_lock($1)", _LOCK)
        await self._connection.execute(_CREATE_MARKS)
        await self._connection.execute(
            "UPDATE twin.worlds SET api_key_master = $1 WHERE api_key_master IS NULL", secrets.token_hex(32)
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._connection.close()

    async def newest(self) -> ContainerWorld | None:
        """The present world, or the one that was."""
        row = await self._connection.fetchrow("SELECT * FROM twin.worlds ORDER BY number DESC LIMIT 1")
        return None if row is None else _world(row)

    async def begin(self, *, partitions: int) -> ContainerWorld:
        """A new world, from here on the newest."""
        row = await self._connection.fetchrow(
            "INSERT INTO twin.worlds (number, world_id, partitions, api_key_master)"
            " SELECT coalesce(max(number), 0) + 1, $1, $2, $3 FROM twin.worlds RETURNING *",
            secrets.token_hex(4),
            partitions,
            secrets.token_hex(32),
        )
        return _world(row)

    async def keep_user_pool(self, world: ContainerWorld, pool: UserPool) -> None:
        """Remember which user pool is the world's."""
        await self._connection.execute(
            "UPDATE twin.worlds SET user_pool_id = $2, client_id = $3 WHERE number = $1",
            world.number,
            pool.user_pool_id,
            pool.client_id,
        )

    def database_url(self, world: ContainerWorld) -> str:
        """The world's own database: the shared one's name and its id."""
        url = urlsplit(self._url)
        return urlunsplit(url._replace(path=f"{url.path}_{world.world_id}"))

    async def has_database(self, world: ContainerWorld) -> bool:
        """Whether the world's own database is there."""
        found = await self._connection.fetchval(
            "SELECT count(*) FROM pg_database WHERE datname = current_database() || '_' || $1", world.world_id
        )
        return bool(found)

    async def create_database(self, world: ContainerWorld) -> None:
        """Make the world's own database."""
        name = await self._connection.fetchval("SELECT quote_ident(current_database() || '_' || $1)", world.world_id)
        await self._connection.execute(f"CREATE DATABASE {name}")


class CloudMark:
    """The id of the cloud's world, in a table of the cloud whose name is the same in every world."""

    def __init__(self, cloud: Cloud, prefix: str) -> None:
        self._cloud = cloud
        self._table = TableSpec(name=f"{prefix}-world", hash_key=("name", "S"))

    async def read(self) -> str | None:
        """The world's id; None in an empty cloud, and in one whose world was not finished."""
        try:
            answer = await self._cloud.dynamodb.get_item(TableName=self._table.name, Key=MARK_KEY, ConsistentRead=True)
        except self._cloud.dynamodb.exceptions.ResourceNotFoundException:
            return None
        item = answer.get("Item")
        return None if item is None else str(item["world_id"]["S"])

    async def write(self, world: ContainerWorld) -> None:
        """Say that this cloud holds all of the world."""
        await create_table(self._cloud, self._table)
        await self._cloud.dynamodb.put_item(
            TableName=self._table.name, Item={**MARK_KEY, "world_id": {"S": world.world_id}}
        )


def _world(row: Any) -> ContainerWorld:
    has_pool = row["user_pool_id"] is not None
    return ContainerWorld(
        number=row["number"],
        world_id=row["world_id"],
        partitions=row["partitions"],
        api_key_master=row["api_key_master"],
        user_pool=UserPool(user_pool_id=row["user_pool_id"], client_id=row["client_id"]) if has_pool else None,
    )
