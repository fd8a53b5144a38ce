"""Hosts: each runs one service's real `app.run` again and again, as ECS does, on the stores as it reaches them.

The one place that knows how the services are put together. A host has faults, a clock and a random source of its own;
a process that ends by itself or is killed is started again a moment later until the host is shut down.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Coroutine
from dataclasses import dataclass
from random import Random
from typing import Any, Final, cast

from pydantic import SecretStr

import exchange_fanout.app
import exchange_fanout.config
import exchange_gateway.app
import exchange_gateway.config
import exchange_matcher.app
import exchange_matcher.config
import exchange_persister.app
import exchange_persister.config
import exchange_persister.reconcile
import exchange_persister.reconciler
from exchange_adapters.sim import Faults, SimClock, SimCloud
from exchange_adapters.sim.settled import SimSettledRows
from exchange_adapters.system import Readiness
from exchange_core.ports import SettledRows
from simulation.machines.directory import CLIENT_ID, ISSUER, MASTER, Directory
from simulation.machines.network import Network
from simulation.machines.processes import Process, SimulationLoop
from simulation.machines.remote import Listener, Remote

HTTP_PORT: Final = 80
PARTITIONS: Final = 2
_NOWHERE: Final = SecretStr("redis://simulated")
_KEYS_URL: Final = "http://simulated/keys"
_DATABASE: Final = SecretStr("postgresql://simulated")


@dataclass(frozen=True, slots=True, kw_only=True)
class Surroundings:
    """What all hosts of a world share."""

    loop: SimulationLoop
    network: Network
    cloud: SimCloud
    directory: Directory
    heard: Listener


@dataclass(slots=True, kw_only=True)
class Pace:
    """How often a matcher keeps snapshots, how patient its leases are, and how much a persister settles in one go: part
    of what a seed decides."""

    snapshot_slots: int = 20
    lease_ttl_ms: int = 3_000
    group_slots: int = 500


class Host:
    """One machine with one service. `name` is its address and its SERVICE_INSTANCE."""

    def __init__(self, name: str, instance: str, around: Surroundings, random: Random, pace: Pace) -> None:
        self.name = name
        self.instance = instance
        self.service = name.partition("-")[0]
        self.random = random
        self.faults = Faults(random)
        self.clock = SimClock(origin_s=0.0)
        self.pace = pace
        self.process: Process | None = None
        self.crashes: list[BaseException] = []
        self.starts = 0
        self.readiness: Readiness | None = None
        self._around = around
        self._stopping = asyncio.Event()
        self._is_wanted = False
        self._main: asyncio.Task[None] | None = None
        self._view: SimCloud | None = None

    @property
    def is_running(self) -> bool:
        """Whether there is a living process that has not ended."""
        return self._main is not None and not self._main.done() and self._is_alive

    @property
    def _is_alive(self) -> bool:
        return self.process is not None and self.process.state.name != "DEAD"

    def start(self) -> None:
        """Start a process, unless one runs."""
        self._is_wanted = True
        if self.is_running:
            return
        self.starts += 1
        self.readiness = None
        view = self._view = self._around.cloud.seen_by(self.faults)
        self.process = self._around.loop.process(self.name, lambda: self._close(view))
        self.process.context.run(self._start_in_process, view)

    def _start_in_process(self, view: SimCloud) -> None:
        self._stopping = asyncio.Event()
        assert self.process is not None
        self._main = self.process.start(self._supervised(self._run_of(view), view))

    async def _supervised(self, main: Coroutine[Any, Any, None], view: SimCloud) -> None:
        try:
            await main
        except asyncio.CancelledError:
            raise
        except BaseException as error:
            self.crashes.append(error)
        finally:
            self._close(view)

    def restart_if_ended(self) -> bool:
        """What a supervisor does; whether a process was started."""
        if self._is_wanted and not self.is_running:
            self.start()
            return True
        return False

    def kill(self) -> None:
        """As SIGKILL."""
        if self.process is not None:
            self.process.kill()

    def pause(self) -> None:
        """As SIGSTOP."""
        if self.process is not None:
            self.process.pause()

    def wake(self) -> None:
        """As SIGCONT."""
        if self.process is not None:
            self.process.wake()

    async def stop(self) -> None:
        """As SIGTERM; returns when the process has ended."""
        self._is_wanted = False
        if self.is_running and self._main is not None:
            self._stopping.set()
            await asyncio.wait([self._main])

    def _close(self, view: SimCloud) -> None:
        """What the kernel and the stores close for a process that has ended."""
        view.projections.disconnect()
        view.redis.disconnect()
        if self.process is not None:
            self._around.network.drop(self.process)

    def _remote(self, view: SimCloud, store: str) -> Any:
        return Remote(getattr(view, store), self.name, self._around.heard)

    def _run_of(self, view: SimCloud) -> Coroutine[Any, Any, None]:
        return _RUNS[self.service](self, view)

    def _matcher(self, view: SimCloud) -> Coroutine[Any, Any, None]:
        config = exchange_matcher.config.Config(
            instance=self.instance,
            partitions=PARTITIONS,
            snapshot_slots=self.pace.snapshot_slots,
            lease_ttl_ms=self.pace.lease_ttl_ms,
        )
        ports = exchange_matcher.app.Ports(
            clock=self.clock,
            commands=self._remote(view, "queues"),
            journal=self._remote(view, "journal"),
            stream=self._remote(view, "stream"),
            snapshots=self._remote(view, "snapshots"),
            publisher=self._remote(view, "redis"),
            leases=self._remote(view, "leases"),
            writer=f"{self.name}:{self.starts}",
            health=self._health,
        )
        return exchange_matcher.app.run(config, ports, self._stopping)

    @contextlib.asynccontextmanager
    async def _health(self, readiness: Readiness) -> AsyncIterator[None]:
        self.readiness = readiness
        yield

    def _persister(self, view: SimCloud) -> Coroutine[Any, Any, None]:
        config = exchange_persister.config.Config(
            instance=self.instance,
            partitions=PARTITIONS,
            http_host=self.name,
            http_port=HTTP_PORT,
            database_url=_DATABASE,
            poll_interval_s=0.5,
            group_slots_max=self.pace.group_slots,
        )
        ports = exchange_persister.app.Ports(
            clock=self.clock,
            projections=view.projections,
            wallets=self._remote(view, "wallets"),
            history=self._remote(view, "history"),
            publisher=self._remote(view, "redis"),
            source=self._remote(view, "stream"),
        )
        return exchange_persister.app.run(config, ports, self._stopping)

    def _reconciler(self, view: SimCloud) -> Coroutine[Any, Any, None]:
        config = exchange_persister.config.Config(
            instance=self.instance,
            partitions=PARTITIONS,
            http_host=self.name,
            http_port=HTTP_PORT,
            database_url=_DATABASE,
        )
        rows = SimSettledRows(view.projections, clock=self.clock, faults=self.faults)
        ports = exchange_persister.reconciler.ReconcilerPorts(
            clock=self.clock,
            journal=self._remote(view, "journal"),
            rows=cast("SettledRows", Remote(rows, self.name, self._around.heard)),
            wallets=self._remote(view, "wallets"),
            commands=self._remote(view, "queues"),
        )
        return exchange_persister.reconcile.run(config, ports, self._stopping)

    def _gateway(self, view: SimCloud) -> Coroutine[Any, Any, None]:
        config = exchange_gateway.config.Config(
            crossbook_partitions=PARTITIONS,
            service_instance=self.instance,
            http_host=self.name,
            http_port=HTTP_PORT,
            database_reader_url=_DATABASE,
            redis_url=_NOWHERE,
            cognito_user_pool_id="pool",
            cognito_client_id=CLIENT_ID,
            cognito_issuer=ISSUER,
            cognito_jwks_url=_KEYS_URL,
            rate_limit_scale=1_000,
            api_key_masters={"1": SecretStr(MASTER)},
        )
        redis = self._remote(view, "redis")
        ports = exchange_gateway.app.Ports(
            clock=self.clock,
            wallets=self._remote(view, "wallets"),
            commands=self._remote(view, "queues"),
            reader=self._remote(view, "reader"),
            leases=self._remote(view, "leases"),
            sessions=self._remote(view, "sessions"),
            cache=redis,
            publisher=redis,
            messages=redis,
            limiter=redis,
            once=redis,
            api_keys=self._remote(view, "api_keys"),
            identity=self._around.directory,
            keys=self._around.directory,
            random=Random(self.random.getrandbits(64)),  # noqa: S311 - a simulation repeats itself
        )
        return exchange_gateway.app.run(config, ports, self._stopping)

    def _fanout(self, view: SimCloud) -> Coroutine[Any, Any, None]:
        config = exchange_fanout.config.Config(
            crossbook_partitions=PARTITIONS,
            service_instance=self.instance,
            http_host=self.name,
            http_port=HTTP_PORT,
            redis_url=_NOWHERE,
            cognito_client_id=CLIENT_ID,
            cognito_issuer=ISSUER,
            cognito_jwks_url=_KEYS_URL,
        )
        redis = self._remote(view, "redis")
        ports = exchange_fanout.app.Ports(
            clock=self.clock,
            messages=redis,
            subscribers=redis,
            connections=self._remote(view, "connections"),
            sessions=self._remote(view, "sessions"),
            keys=self._around.directory,
            cache=redis,
        )
        return exchange_fanout.app.run(config, ports, self._stopping)


_RUNS: Final[dict[str, Callable[[Host, SimCloud], Coroutine[Any, Any, None]]]] = {
    "matcher": Host._matcher,
    "persister": Host._persister,
    "reconciler": Host._reconciler,
    "gateway": Host._gateway,
    "fanout": Host._fanout,
}
