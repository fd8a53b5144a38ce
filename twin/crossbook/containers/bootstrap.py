"""Prepares an exchange in containers: its world, with everything in it, and the file that tells the others of it.

Done at every `docker compose up`, and may be broken off anywhere: a world counts from its mark in the cloud on, which
is written when all the rest is there, and the services see only the world file, replaced whole at the very end.
"""

import asyncio
import os
import shlex
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

from botocore.exceptions import ClientError
from redis.asyncio import Redis

from crossbook import persister_tools
from crossbook.bootstrap import Cloud, UserPool, create_resources, create_user_pool, open_cloud
from crossbook.containers.world import CloudMark, ContainerWorld, DatabaseMarks, goes_on
from crossbook.errors import MixedWorldsError
from crossbook.processes import Report
from crossbook.seed import create_users
from crossbook.site import Site

DEFAULT_PREFIX = "crossbook"
DEFAULT_PARTITIONS = "2"


async def bootstrap(environment: Mapping[str, str], world_file: Path, *, report: Report) -> None:
    """Go on with the present world or begin a fresh one, as the marks say, and write its file. Raises TwinError.

    Reads the SDK's variables, DATABASE_URL (the database that all worlds share), REDIS_URL, CROSSBOOK_PREFIX and
    CROSSBOOK_PARTITIONS.
    """
    prefix = environment.get("CROSSBOOK_PREFIX", DEFAULT_PREFIX)
    partitions = int(environment.get("CROSSBOOK_PARTITIONS", DEFAULT_PARTITIONS))
    async with open_cloud(environment) as cloud, DatabaseMarks(environment["DATABASE_URL"]) as marks:
        cloud_mark = CloudMark(cloud, prefix)
        marked, newest = await cloud_mark.read(), await marks.newest()
        if goes_on(cloud=marked, database=newest, partitions=partitions):
            assert newest is not None, "else it is refused"
            site = await _go_on(cloud, marks, newest, environment, prefix)
            report(f"world {newest.world_id} goes on")
        else:
            report(_why_fresh(newest))
            world = await marks.begin(partitions=partitions)
            site = await _begin(cloud, marks, world, environment, prefix)
            await cloud_mark.write(world)
            report(f"world {world.world_id} begins: queues, tables, stream, buckets, user pool, database are in place")
    write_world_file(world_file, site.names_environment | site.database_environment | site.login_environment)


def _why_fresh(newest: ContainerWorld | None) -> str:
    if newest is None:
        return "there is no world yet"
    return (
        f"the emulated cloud is empty: LocalStack keeps nothing over a restart, so world {newest.world_id} is over, "
        "with its orders and its money. What it left in PostgreSQL and Cognito stands aside under its own name until "
        "`docker compose down --volumes`. A fresh world begins, on purpose"
    )


async def _begin(
    cloud: Cloud, marks: DatabaseMarks, world: ContainerWorld, environment: Mapping[str, str], prefix: str
) -> Site:
    topology = world.topology(prefix)
    user_pool, _, _, _ = await asyncio.gather(
        _user_pool(cloud, topology.prefix),
        create_resources(cloud, topology),
        _create_database(marks, world),
        _empty_redis(_redis_url(environment, world)),
    )
    await marks.keep_user_pool(world, user_pool)
    return _site(marks, world, environment, prefix, user_pool)


async def _go_on(
    cloud: Cloud, marks: DatabaseMarks, world: ContainerWorld, environment: Mapping[str, str], prefix: str
) -> Site:
    """Checks what stands apart from the marks, and brings the world up to this version."""
    if world.user_pool is None or not await _has_client(cloud, world.user_pool):
        raise MixedWorldsError(f"Cognito does not know the user pool of world {world.world_id}")
    if not await marks.has_database(world):
        raise MixedWorldsError(f"the database of world {world.world_id} is gone")
    await asyncio.gather(
        create_resources(cloud, world.topology(prefix)), persister_tools.migrate(marks.database_url(world))
    )
    return _site(marks, world, environment, prefix, world.user_pool)


async def _create_database(marks: DatabaseMarks, world: ContainerWorld) -> None:
    await marks.create_database(world)
    await persister_tools.migrate(marks.database_url(world))


async def _user_pool(cloud: Cloud, name: str) -> UserPool:
    pool = await create_user_pool(cloud, name=name)
    await create_users(cloud, pool)
    return pool


async def _has_client(cloud: Cloud, pool: UserPool) -> bool:
    try:
        await cloud.cognito.describe_user_pool_client(UserPoolId=pool.user_pool_id, ClientId=pool.client_id)
    except ClientError as error:
        if error.response["Error"]["Code"] == "ResourceNotFoundException":
            return False
        raise
    return True


async def _empty_redis(url: str) -> None:
    client = Redis.from_url(url)
    try:
        await client.flushdb()
    finally:
        await client.aclose()


def _redis_url(environment: Mapping[str, str], world: ContainerWorld) -> str:
    return urlunsplit(urlsplit(environment["REDIS_URL"])._replace(path=f"/{world.redis_database}"))


def _site(
    marks: DatabaseMarks, world: ContainerWorld, environment: Mapping[str, str], prefix: str, user_pool: UserPool
) -> Site:
    return Site(
        topology=world.topology(prefix),
        aws={name: value for name, value in environment.items() if name.startswith("AWS_")},
        database_url=marks.database_url(world),
        redis_url=_redis_url(environment, world),
        user_pool=user_pool,
        api_key_master=world.api_key_master,
    )


def write_world_file(path: Path, environment: Mapping[str, str]) -> None:
    """A line a variable, as a shell reads them; the file is replaced whole, and left alone when nothing changed."""
    content = "".join(f"{name}={shlex.quote(value)}\n" for name, value in sorted(environment.items()))
    if path.exists() and path.read_text() == content:
        return
    draft = path.with_name(f"{path.name}.{os.getpid()}.draft")
    draft.write_text(content)
    draft.replace(path)
