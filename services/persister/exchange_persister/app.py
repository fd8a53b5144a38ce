"""Stage 5 of the picture: journal slots from the stream into wallets, archive and PostgreSQL.

1 health page → 2 applier (decode, lock, choose, wallets, archive, rows, notices: see `apply`) → 3 shard readers, which
feed it group by group. Stopping goes the other way: readers settle what they have read, then the health page closes.
"""

import asyncio
from dataclasses import dataclass

import structlog
from aiohttp import web

from exchange_adapters.system import Readiness, add_health_routes, start_http
from exchange_core.ports import ExecutionSource
from exchange_persister.apply import Applier, SettlementPorts
from exchange_persister.config import Config
from exchange_persister.reader import ReaderSettings
from exchange_persister.worker import StreamWorker


@dataclass(frozen=True, slots=True, kw_only=True)
class Ports(SettlementPorts):
    """All that the shard-reading persister needs from the outside."""

    source: ExecutionSource


async def run(config: Config, ports: Ports, stopping: asyncio.Event) -> None:
    """Serve until `stopping` is set. Raises Fatal when a retry cannot help: whoever runs this restarts it."""
    log = structlog.get_logger()
    log.info("persister_starting", config=config.model_dump(mode="json"))

    # 1 health page: ready when database and stream answer and no partition is halted
    readiness = Readiness("database", "stream", "settlement")
    app = web.Application()
    add_health_routes(app, readiness)
    http = await start_http(app, config.http_host, config.http_port)

    # 2 settlement
    applier = Applier(ports, wallet_calls_max=config.wallet_calls_max)

    # 3 shard readers, until told to stop
    worker = StreamWorker(
        ports.source,
        ports.projections,
        applier,
        readiness,
        ReaderSettings(
            group_slots_max=config.group_slots_max,
            group_bytes_max=config.group_bytes_max,
            poll_interval_s=config.poll_interval_s,
        ),
        refresh_interval_s=config.refresh_interval_s,
        stopping=stopping,
    )
    try:
        await worker.run()
    finally:
        await http.cleanup()
    log.info("persister_stopped", slots=dict(sorted(applier.positions.items())))
