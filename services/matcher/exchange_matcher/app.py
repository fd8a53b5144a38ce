"""Stage 3 of the picture: commands in, journal slots out.

1 health page → 2 leases → 3 per partition: recovery (snapshot, journal, stream, caches), then rounds (receive, execute,
journal, feed, publish, acknowledge). Stopping goes the other way: workers end between two batches and keep a last
snapshot, then their leases are released, then the health page closes.
"""

import asyncio
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass

import structlog

from exchange_adapters.system import Readiness
from exchange_core.ports import (
    Clock,
    CommandSource,
    ExecutionSink,
    LeaseStore,
    MarketPublisher,
    SnapshotStore,
)
from exchange_matcher.commit import Journal
from exchange_matcher.config import Config
from exchange_matcher.leases import PartitionLeases
from exchange_matcher.shifts import Shifts
from exchange_matcher.worker import WorkerPorts, WorkerSettings


@dataclass(frozen=True, slots=True, kw_only=True)
class Ports:
    """All that the matcher needs from the outside; `writer` is a name no other start of any matcher has, `health`
    shows how the parts are for as long as it is open."""

    clock: Clock
    commands: CommandSource
    journal: Journal
    stream: ExecutionSink
    snapshots: SnapshotStore
    publisher: MarketPublisher
    leases: LeaseStore
    writer: str
    health: Callable[[Readiness], AbstractAsyncContextManager[None]]


async def run(config: Config, ports: Ports, stopping: asyncio.Event) -> None:
    """Serve until `stopping` is set. Raises Fatal when a store contradicts itself: whoever runs this restarts it."""
    log = structlog.get_logger()
    log.info("matcher_starting", config=config.model_dump(mode="json"), writer=ports.writer)

    # 1 health page
    readiness = Readiness("leases", "partitions")
    async with ports.health(readiness):
        # 2 leases
        leases = PartitionLeases(
            ports.leases,
            ports.clock,
            owner=config.instance,
            partitions=config.partitions,
            ttl_ms=config.lease_ttl_ms,
        )

        # 3 a worker for each partition that is ours; ends with the workers stopped and the leases released
        shifts = Shifts(leases, _worker_ports(ports), _worker_settings(config, ports), readiness)
        await shifts.run(stopping, config.lease_renew_s)
    log.info("matcher_stopped")


def _worker_ports(ports: Ports) -> WorkerPorts:
    return WorkerPorts(
        clock=ports.clock,
        commands=ports.commands,
        journal=ports.journal,
        stream=ports.stream,
        snapshots=ports.snapshots,
        publisher=ports.publisher,
    )


def _worker_settings(config: Config, ports: Ports) -> WorkerSettings:
    return WorkerSettings(
        writer=ports.writer,
        receive_wait_s=config.receive_wait_s,
        heartbeat_ms=config.heartbeat_ms,
        snapshot_slots=config.snapshot_slots,
        snapshot_interval_s=config.snapshot_interval_s,
    )
