"""The whole exchange on this machine: the backing parts, the four services, demo users and funds."""

import asyncio
import contextlib
import os
import signal
from pathlib import Path
from typing import Self

from crossbook import bootstrap, persister_tools, world
from crossbook.backing import Backing
from crossbook.bootstrap import UserPool
from crossbook.demo import OPERATOR, PASSWORD, USERS
from crossbook.errors import ProcessError, SetupError
from crossbook.options import TwinOptions
from crossbook.ports import LOOPBACK
from crossbook.processes import READY_POLL_S, Report, ignore_report
from crossbook.readiness import is_ready
from crossbook.seed import create_users, seed
from crossbook.services import services, wishes
from crossbook.site import Site
from crossbook.state import RunningProcess
from crossbook.traces import TraceCollector
from exchange_core.topology import Topology

__all__ = ["Backing", "Site", "Twin", "TwinOptions"]

DATABASE = "crossbook"


class Twin:
    """A running exchange. Use it as a context manager, or by `start()` and `stop()`, in the main thread.

    `password` is that of the seeded users: alice, bob, carol and the operator.
    """

    password = PASSWORD
    users = USERS
    operator = OPERATOR

    def __init__(self, directory: Path, options: TwinOptions | None = None, *, report: Report = ignore_report) -> None:
        self.options = options or TwinOptions()
        self._report = report
        self._services = services(
            matchers=self.options.matchers, instances=self.options.instances, reconciles=self.options.reconciles
        )
        self.backing = Backing(
            directory,
            wishes=wishes(self._services, gateway_port=self.options.gateway_port, fanout_port=self.options.fanout_port),
            aws_port=self.options.aws_port,
            database_url=self.options.database_url,
            redis_url=self.options.redis_url,
            durable=self.options.durable,
            report=report,
        )
        self._site: Site | None = None
        self._open = contextlib.AsyncExitStack()
        self.traces = TraceCollector()

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    @property
    def site(self) -> Site:
        """Its names, database and user pool, and the variables for a client of the backing parts."""
        assert self._site is not None, "not started"
        return self._site

    @property
    def gateway_url(self) -> str:
        """The REST API, without a slash at the end."""
        return f"http://{LOOPBACK}:{self.backing.ports['gateway']}"

    @property
    def gateway_urls(self) -> tuple[str, ...]:
        """The REST API of every gateway."""
        return tuple(f"http://{LOOPBACK}:{self.backing.ports[name]}" for name in self._names("exchange_gateway"))

    @property
    def websocket_url(self) -> str:
        """The WebSocket of fanout."""
        return f"ws://{LOOPBACK}:{self.backing.ports['fanout']}/ws"

    @property
    def websocket_urls(self) -> tuple[str, ...]:
        """The WebSocket of every fanout."""
        return tuple(f"ws://{LOOPBACK}:{self.backing.ports[name]}/ws" for name in self._names("exchange_fanout"))

    @property
    def client_environment(self) -> dict[str, str]:
        """What the other commands (and a test's own processes) need to find this exchange."""
        return self.site.environment | {
            "CROSSBOOK_GATEWAY_URL": self.gateway_url,
            "CROSSBOOK_WEBSOCKET_URL": self.websocket_url,
            "CROSSBOOK_TRACES_URL": self.traces.url,
        }

    @property
    def logs(self) -> Path:
        """The folder with one log file a process."""
        return self.backing.state.logs

    @property
    def processes(self) -> tuple[RunningProcess, ...]:
        """Every process as it is now."""
        return self.backing.supervisor.processes

    @property
    def service_names(self) -> tuple[str, ...]:
        """The names of the service processes."""
        return tuple(service.name for service in self._services)

    async def start(self) -> None:
        """Start everything; returns when every service is ready. Raises TwinError, and leaves nothing running then."""
        try:
            await self._start()
        except BaseException:
            await self.stop()
            raise

    async def stop(self) -> None:
        """Stop everything in reverse, gracefully. Safe to call again."""
        await self.backing.stop()
        await self._open.aclose()

    def kill(self, name: str) -> None:
        """`kill -9` of the process of that name, which the supervisor then starts again; raises KeyError."""
        pid = self.backing.supervisor.find(name).pid
        if pid:
            os.kill(pid, signal.SIGKILL)

    async def hold(self, *names: str) -> None:
        """Stop processes in good order, side by side, and leave them down until `resume`; raises KeyError."""
        await asyncio.gather(*map(self.backing.supervisor.hold, names))

    async def resume(self, *names: str) -> None:
        """Start held processes again; returns when they are ready. Raises KeyError and ProcessError."""
        await asyncio.gather(*map(self.backing.supervisor.resume, names))

    async def wait_ready(self, *, timeout_s: float = 60.0) -> None:
        """Return once every process is ready; raises TimeoutError."""
        async with asyncio.timeout(timeout_s):
            while not all([await is_ready(process.port, process.ready_path) for process in self.processes]):
                await asyncio.sleep(READY_POLL_S)

    async def wait_failure(self) -> None:
        """Wait for the death of a part that cannot be replaced; raises ProcessError then."""
        message = await asyncio.shield(self.backing.supervisor.failure)
        raise ProcessError(
            f"{message}. The emulated cloud, with the journal in it, is gone, so this world is over: "
            f"`crossbook down --wipe --state-dir {self.backing.state.path}` forgets it"
        )

    async def start_stores(self) -> None:
        """Start what the services stand on, and no service. Raises TwinError; end it with `stop`."""
        await self.backing.start()
        self._remember_partitions()
        self._report("PostgreSQL, Redis and the emulated cloud are up")
        self._site = await self._build_site()
        self._report("queues, tables, stream, buckets and database are in place")

    def _names(self, package: str) -> tuple[str, ...]:
        return tuple(service.name for service in self._services if service.package == package)

    async def _start(self) -> None:
        await self.start_stores()
        await self._open.enter_async_context(self.traces)
        self.backing.announce(self.client_environment)
        await self.backing.supervisor.start(
            *(
                service.spec(
                    self.site,
                    port=self.backing.ports[service.name],
                    log_level=self.options.log_level,
                    directory=self.backing.state.path,
                    traces=self.traces.service_environment,
                )
                for service in self._services
            )
        )
        self._report("the services are ready")
        if self.options.is_seeded:
            await self._seed()

    def _remember_partitions(self) -> None:
        state, wanted = self.backing.state, self.options.partitions
        remembered = state.read_world()
        if remembered.partitions not in (0, wanted):
            raise SetupError(
                f"this world has {remembered.partitions} partitions, for ever: start it with "
                f"--partitions {remembered.partitions}, or wipe it"
            )
        state.write_world(remembered, partitions=wanted)

    async def _build_site(self) -> Site:
        backing, topology = self.backing, Topology(partitions=self.options.partitions)
        if self.options.database_url is None:
            database_url = await backing.create_database(DATABASE)
        else:
            database_url = self.options.database_url
        await bootstrap.create_resources(backing.cloud, topology)
        remembered = backing.state.read_world()
        await world.enter(
            backing.cloud,
            topology,
            database_url=database_url,
            world_id=remembered.world_id,
            state_directory=backing.state.path,
            has_own_database=self.options.database_url is None,
        )
        user_pool, _ = await asyncio.gather(self._user_pool(topology), persister_tools.migrate(database_url))
        return Site(
            topology=topology,
            aws=backing.aws_environment,
            database_url=database_url,
            redis_url=backing.redis_url,
            user_pool=user_pool,
            api_key_master=backing.state.read_world().api_key_master,
        )

    async def _user_pool(self, topology: Topology) -> UserPool:
        state = self.backing.state
        remembered = state.read_world()
        if remembered.user_pool_id:
            return UserPool(user_pool_id=remembered.user_pool_id, client_id=remembered.client_id)
        pool = await bootstrap.create_user_pool(self.backing.cloud, name=topology.prefix)
        state.write_world(remembered, user_pool_id=pool.user_pool_id, client_id=pool.client_id)
        return pool

    async def _seed(self) -> None:
        state = self.backing.state
        if state.read_world().is_seeded:
            return
        assert self.site.user_pool is not None
        await create_users(self.backing.cloud, self.site.user_pool)
        await seed(self.gateway_url)
        state.write_world(state.read_world(), is_seeded=True)
        self._report("instruments, users and funds are in place")
