"""What the services stand on: PostgreSQL, Redis and the emulated cloud, and places in them for exchanges."""

import asyncio
import contextlib
import os
import secrets
from pathlib import Path
from typing import Self

from redis.asyncio import Redis

from crossbook import bootstrap, persister_tools
from crossbook.bootstrap import Cloud
from crossbook.errors import SetupError
from crossbook.ports import PortAllocator, PortWish
from crossbook.processes import ProcessSpec, Report, Supervisor, end_strays, ignore_report
from crossbook.servers import postgres, redis
from crossbook.servers.aws import AwsServer
from crossbook.servers.postgres import PostgresServer, create_database
from crossbook.servers.redis import RedisServer
from crossbook.site import Site
from crossbook.state import Running, RunningProcess, StateDirectory, World, process_start_time_s
from exchange_core.topology import Topology

TEMPLATE_DATABASE = "crossbook_template"
REDIS_DATABASES = 16
STRAYS_PATIENCE_S = 60.0
"""MiniStack, told of its supervisor's death, writes its state; ended before it has, the twin's world is lost."""


class Backing:
    """PostgreSQL, Redis and MiniStack as supervised children, their state in one directory.

    `database_url` and `redis_url` name servers to use instead of own ones. Without `durable`, a crash of the machine
    may lose the database: for tests. `wishes` are further ports to claim before anything starts. Use it as a context
    manager, or by `start()` and `stop()`, in the main thread.
    """

    def __init__(
        self,
        directory: Path,
        *,
        wishes: tuple[PortWish, ...] = (),
        aws_port: int = 0,
        database_url: str | None = None,
        redis_url: str | None = None,
        durable: bool = True,
        report: Report = ignore_report,
    ) -> None:
        self.state = StateDirectory(directory)
        self.ports: dict[str, int] = {}
        self._wishes = (
            *wishes,
            PortWish(name="aws", port=aws_port, flag="--aws-port", purpose="the emulated cloud"),
            PortWish(name="postgres"),
            PortWish(name="redis"),
        )
        self._database_url = database_url
        self._redis_url = redis_url
        self._durable = durable
        self._report = report
        self._open = contextlib.AsyncExitStack()
        self._supervisor: Supervisor | None = None
        self._cloud: Cloud | None = None
        self._aws: AwsServer | None = None
        self._client_environment: dict[str, str] = {}
        self._template_lock = asyncio.Lock()
        self._has_template = False
        self._site_count = 0

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    @property
    def supervisor(self) -> Supervisor:
        """Runs the children; more may be started with it."""
        assert self._supervisor is not None, "not started"
        return self._supervisor

    @property
    def cloud(self) -> Cloud:
        """SDK clients of the emulated cloud."""
        assert self._cloud is not None, "not started"
        return self._cloud

    @property
    def aws_environment(self) -> dict[str, str]:
        """The SDK's own variables for the emulated cloud."""
        assert self._aws is not None, "not started"
        return self._aws.environment

    @property
    def redis_url(self) -> str:
        """Redis, its first database."""
        assert self._redis_url is not None, "not started"
        return self._redis_url

    async def start(self) -> None:
        """Start the servers; returns when all take clients. Raises TwinError, and leaves nothing running then."""
        try:
            await self._start()
        except BaseException:
            await self.stop()
            raise

    async def stop(self) -> None:
        """Stop all children, the last started first, and let go of the directory. Safe to call again."""
        await self._open.aclose()

    async def create_database(self, name: str, *, template: str | None = None) -> str:
        """A database of that name, made unless it exists; returns its URL. An external one is used as it is given."""
        assert self._database_url is not None, "not started"
        return await create_database(self._database_url, name, template=template)

    async def create_site(self, *, partitions: int = 2) -> Site:
        """A new place for an exchange beside the others: own names, own migrated database, own user pool."""
        self._site_count = number = self._site_count + 1
        topology = Topology(prefix=f"t{number}-{secrets.token_hex(3)}", partitions=partitions)
        await self._migrate_template()
        database_url, _, user_pool = await asyncio.gather(
            self.create_database(topology.prefix, template=TEMPLATE_DATABASE),
            bootstrap.create_resources(self.cloud, topology),
            bootstrap.create_user_pool(self.cloud, name=topology.prefix),
        )
        return Site(
            topology=topology,
            aws=self.aws_environment,
            database_url=database_url,
            redis_url=await self._empty_redis_database(number % REDIS_DATABASES),
            user_pool=user_pool,
        )

    def announce(self, client_environment: dict[str, str]) -> None:
        """Tell other terminals by which variables clients find the exchange."""
        self._client_environment = client_environment
        self._write_running()

    async def _start(self) -> None:
        self._open.enter_context(self.state.locked())
        last = self.state.read_running()
        if last is not None:
            await end_strays(last.processes, patience_s=STRAYS_PATIENCE_S, report=self._report)
        world = self.state.read_world()
        self.ports = PortAllocator().claim_all(self._wishes, remembered=world.ports)
        world = self.state.write_world(world, ports=self.ports)
        self._open.callback(self.state.clear_running)
        self._supervisor = Supervisor(logs=self.state.logs, report=self._report, changed=self._write_running)
        self._open.push_async_callback(self._supervisor.stop)
        self._write_running()
        await self._check_external()
        await self._supervisor.start(*await self._server_specs(world))
        self._cloud = await self._open.enter_async_context(bootstrap.open_cloud(self.aws_environment))

    async def _check_external(self) -> None:
        if self._database_url is not None and not await postgres.answers(self._database_url):
            raise SetupError("PostgreSQL, which DATABASE_URL names, does not answer: start it, or unset the variable")
        if self._redis_url is not None and not await redis.answers(self._redis_url):
            raise SetupError("Redis, which REDIS_URL names, does not answer: start it, or unset the variable")

    async def _server_specs(self, world: World) -> list[ProcessSpec]:
        self._aws = AwsServer(self.state.part("aws"), port=self.ports["aws"])
        specs = [self._aws.spec()]
        if self._redis_url is None:
            redis = RedisServer(self.state.part("redis"), port=self.ports["redis"], password=world.redis_password)
            self._redis_url = redis.url
            specs.append(redis.spec())
        if self._database_url is None:
            postgres = PostgresServer(
                self.state.part("postgres"),
                port=self.ports["postgres"],
                password=world.postgres_password,
                durable=self._durable,
            )
            await postgres.initialize()
            self._database_url = postgres.url
            specs.append(postgres.spec())
        return specs

    async def _migrate_template(self) -> None:
        async with self._template_lock:
            if not self._has_template:
                await persister_tools.migrate(await self.create_database(TEMPLATE_DATABASE))
                self._has_template = True

    async def _empty_redis_database(self, number: int) -> str:
        url = f"{self.redis_url.rpartition('/')[0]}/{number}"
        client = Redis.from_url(url)
        try:
            await client.flushdb()
        finally:
            await client.aclose()
        return url

    def _write_running(self) -> None:
        pid = os.getpid()
        supervisor = RunningProcess(
            name="supervisor", pid=pid, started_at_s=process_start_time_s(pid), port=0, restarts=0
        )
        self.state.write_running(
            Running(
                supervisor=supervisor,
                processes=self.supervisor.processes,
                environment=self._client_environment,
            )
        )
