"""Tells whether the emulated cloud and the database still belong together.

Both hold a mark: the id of the world, and how many times the twin was started in it. Every start counts up in the
cloud first, then in the database, before any service runs. A cloud that was killed comes back as it was at its last
graceful stop, or empty: its count is behind the database's, and the twin refuses to go on with it.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import asyncpg

from crossbook.bootstrap import Cloud
from crossbook.errors import WorldMismatchError
from exchange_core.topology import Topology

MARK_KEY = {"name": {"S": "world"}}
CREATE_MARK = """
    CREATE SCHEMA IF NOT EXISTS twin;
    CREATE TABLE IF NOT EXISTS twin.world (world_id text PRIMARY KEY, starts bigint NOT NULL)
"""
"""In a schema of its own: the twin looks before the exchange's own migrations have run, and they are not its affair."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Mark:
    """What one half of the state says of itself."""

    world_id: str
    starts: int


def mismatch(*, world_id: str, cloud: Mark | None, database: Mark | None) -> str | None:
    """Why the halves do not belong together, None when they do.

    The cloud may be one start ahead: the twin was stopped between its two writes, when no service ran.
    """
    found = {"the emulated cloud": cloud, "the database": database}
    for name, mark in found.items():
        if mark is not None and mark.world_id != world_id:
            return f"{name} holds world {mark.world_id[:8]}, this state directory world {world_id[:8]}"
    cloud_starts = cloud.starts if cloud else 0
    database_starts = database.starts if database else 0
    if cloud_starts - database_starts in (0, 1):
        return None
    if cloud is None:
        return f"the emulated cloud is empty, but the database knows of {database_starts} starts"
    return f"the emulated cloud is that of start {cloud_starts}, the database that of start {database_starts}"


async def enter(
    cloud: Cloud,
    topology: Topology,
    *,
    database_url: str,
    world_id: str,
    state_directory: Path,
    has_own_database: bool = True,
) -> int:
    """Check both marks and count this start in both; returns its number. Raises WorldMismatchError."""
    connection = await asyncpg.connect(database_url, timeout=10)
    try:
        await connection.execute(CREATE_MARK)
        row = await connection.fetchrow("SELECT world_id, starts FROM twin.world")
        database_mark = Mark(world_id=row["world_id"], starts=row["starts"]) if row else None
        cloud_mark = await _read_cloud(cloud, topology)
        finding = mismatch(world_id=world_id, cloud=cloud_mark, database=database_mark)
        if finding is not None:
            raise WorldMismatchError(
                finding=finding, state_directory=state_directory, has_own_database=has_own_database
            )
        start = max(mark.starts if mark else 0 for mark in (cloud_mark, database_mark)) + 1
        await cloud.dynamodb.put_item(
            TableName=topology.leases.name,
            Item={**MARK_KEY, "world_id": {"S": world_id}, "starts": {"N": str(start)}},
        )
        await connection.execute(
            "INSERT INTO twin.world VALUES ($1, $2) ON CONFLICT (world_id) DO UPDATE SET starts = $2",
            world_id,
            start,
        )
    finally:
        await connection.close()
    return start


async def _read_cloud(cloud: Cloud, topology: Topology) -> Mark | None:
    answer: dict[str, Any] = await cloud.dynamodb.get_item(
        TableName=topology.leases.name, Key=MARK_KEY, ConsistentRead=True
    )
    item = answer.get("Item")
    return Mark(world_id=item["world_id"]["S"], starts=int(item["starts"]["N"])) if item else None
