"""Who works now: starts a worker when a partition's lease is ours, ends it when it is not, and hands over in order."""

import asyncio
from dataclasses import dataclass

import structlog

from exchange_adapters.emf import recorder
from exchange_adapters.metrics import PARTITIONS_WORKED
from exchange_adapters.system import Readiness
from exchange_core.errors import Fatal, PortError
from exchange_matcher.leases import PartitionLeases
from exchange_matcher.retry import is_set_within
from exchange_matcher.worker import PartitionWorker, WorkerPorts, WorkerSettings, WorkerState


@dataclass(slots=True)
class _Shift:
    task: asyncio.Task[None]
    ending: asyncio.Event
    state: WorkerState


class Shifts:
    """The workers of this instance. A worker's fault that a retry cannot mend ends them all."""

    def __init__(
        self, leases: PartitionLeases, ports: WorkerPorts, settings: WorkerSettings, readiness: Readiness
    ) -> None:
        self._leases = leases
        self._ports = ports
        self._settings = settings
        self._readiness = readiness
        self._shifts: dict[int, _Shift] = {}
        self._log = structlog.get_logger()

    async def run(self, stopping: asyncio.Event, renew_s: float) -> None:
        """Follow the leases until `stopping` is set; then end every worker and give every lease back."""
        async with asyncio.TaskGroup() as group:
            while not stopping.is_set():
                await self._refresh_leases()
                wanted = self._leases.held - self._leases.surplus
                await self._reap(wanted)
                for partition in wanted - self._shifts.keys():
                    self._start(group, partition)
                self._judge()
                await is_set_within(stopping, renew_s)
            for shift in self._shifts.values():
                shift.ending.set()
            while self._shifts:
                tasks = [shift.task for shift in self._shifts.values()]
                await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
                await self._reap(frozenset())
        await self._leave()

    async def _refresh_leases(self) -> None:
        try:
            await self._leases.refresh()
            self._readiness.set("leases", True)
        except Fatal:
            raise
        except PortError as error:
            self._readiness.set("leases", False)
            self._log.warning("lease_refresh_failed", error=f"{type(error).__name__}: {error}")

    async def _reap(self, wanted: frozenset[int]) -> None:
        """End what is not ours to work any more; release a lease only after its worker has ended."""
        for partition, shift in list(self._shifts.items()):
            if partition not in wanted:
                shift.ending.set()
            if shift.task.done():
                del self._shifts[partition]
                if partition not in wanted:
                    await self._release(partition)

    async def _release(self, partition: int) -> None:
        try:
            await self._leases.release(partition)
        except PortError as error:
            self._log.warning("lease_release_failed", partition=partition, error=str(error))

    async def _leave(self) -> None:
        try:
            for partition in self._leases.held:
                await self._leases.release(partition)
            await self._leases.release_seat()
        except PortError as error:
            self._log.warning("lease_release_failed", error=str(error))

    def _start(self, group: asyncio.TaskGroup, partition: int) -> None:
        ending = asyncio.Event()

        def on_state(state: WorkerState) -> None:
            shift.state = state
            self._judge()

        worker = PartitionWorker(partition, self._ports, self._settings, on_state)
        task = group.create_task(worker.run(ending), name=f"partition-{partition}")
        shift = self._shifts[partition] = _Shift(task=task, ending=ending, state=WorkerState.RECOVERING)

    def _judge(self) -> None:
        """Ready when every partition that is ours is worked; an instance without one is a standby, and ready."""
        working = [shift for shift in self._shifts.values() if shift.state is WorkerState.WORKING]
        self._readiness.set("partitions", len(working) == len(self._shifts))
        recorder.gauge(PARTITIONS_WORKED, len(working))
