"""`python -m exchange_persister.reconcile`: the reconciler as a process, with its own health page."""

import asyncio

import structlog
from aiohttp import web

from exchange_adapters.system import Readiness, add_health_routes, run_service, start_http
from exchange_persister.bootstrap import open_reconciler_ports
from exchange_persister.config import Config
from exchange_persister.reconciler import Reconciler, ReconcilerPorts, run_rounds


async def run(config: Config, ports: ReconcilerPorts, stopping: asyncio.Event) -> None:
    """Reconcile until `stopping` is set."""
    structlog.get_logger().info("reconciler_starting", config=config.model_dump(mode="json"))
    readiness = Readiness("rounds")
    app = web.Application()
    add_health_routes(app, readiness)
    http = await start_http(app, config.http_host, config.http_port)
    readiness.set("rounds", True)
    try:
        await run_rounds(Reconciler(ports=ports, partitions=config.partitions), stopping, config.reconcile_interval_s)
    finally:
        await http.cleanup()


def main() -> None:
    """Run the reconciler until it is told to stop."""
    config = Config()

    async def serve(stopping: asyncio.Event) -> None:
        async with open_reconciler_ports(config) as ports:
            await run(config, ports, stopping)

    run_service("persister", config.log_level, serve)


if __name__ == "__main__":
    main()
