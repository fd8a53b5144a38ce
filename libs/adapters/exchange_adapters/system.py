"""What every service process needs: the clock, structured logs, health endpoints, and an orderly stop."""

import asyncio
import logging
import os
import signal
import sys
import time
from collections.abc import Awaitable, Callable, Iterable
from typing import Final

import structlog
import uvloop
from aiohttp import web

from exchange_adapters.emf import recording
from exchange_adapters.tracing import exporting
from exchange_core.errors import PortError

_CANCEL_AGAIN_S: Final = 0.5


class SystemClock:
    """The machine's clock."""

    def now_ms(self) -> int:
        """Milliseconds since the Unix epoch, UTC."""
        return time.time_ns() // 1_000_000


def configure_logging(service: str, level: str) -> None:
    """One JSON object a line on standard output: event, level, timestamp, service and the bound keys."""
    threshold = logging.getLevelNamesMapping()[level.upper()]
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.dict_tracebacks,
            structlog.processors.JSONRenderer(),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(threshold),
        logger_factory=structlog.PrintLoggerFactory(sys.stdout),
        cache_logger_on_first_use=True,
    )
    structlog.contextvars.bind_contextvars(service=service, instance=os.environ.get("SERVICE_INSTANCE", service))
    logging.basicConfig(level=logging.WARNING, format='{"event": "library_log", "message": "%(name)s"}')


class Readiness:
    """The parts a service waits for before it serves; `/readyz` answers 200 only when all of them are up."""

    def __init__(self, *parts: str) -> None:
        self._parts = dict.fromkeys(parts, False)

    def set(self, part: str, is_up: bool) -> None:
        """Say how one of the parts is."""
        assert part in self._parts, f"unknown part {part}"
        self._parts[part] = is_up

    @property
    def is_ready(self) -> bool:
        """Whether every part is up."""
        return all(self._parts.values())

    def as_dict(self) -> dict[str, bool]:
        """Each part and whether it is up."""
        return dict(self._parts)


def add_health_routes(app: web.Application, readiness: Readiness) -> None:
    """`/healthz`: the event loop answers. `/readyz`: 200 or 503 with the parts."""

    async def healthz(_: web.Request) -> web.Response:
        return web.json_response({"status": "ok"})

    async def readyz(_: web.Request) -> web.Response:
        return web.json_response(readiness.as_dict(), status=200 if readiness.is_ready else 503)

    app.router.add_get("/healthz", healthz)
    app.router.add_get("/readyz", readyz)


async def start_http(app: web.Application, host: str, port: int) -> web.AppRunner:
    """Serve `app`; the caller ends it with `await runner.cleanup()`."""
    runner = web.AppRunner(app, access_log=None, handle_signals=False, shutdown_timeout=5.0)
    await runner.setup()
    await web.TCPSite(runner, host, port, reuse_port=False, backlog=1024).start()
    return runner


async def end_tasks(tasks: Iterable[asyncio.Task[None]]) -> None:
    """Cancel the tasks until they end. Once is not enough before Python 3.12: `asyncio.wait_for`, which the Redis
    client uses, swallows a cancellation that comes together with its answer."""
    pending = set(tasks)
    while pending:
        for task in pending:
            task.cancel()
        _, pending = await asyncio.wait(pending, timeout=_CANCEL_AGAIN_S)


def run_service(service: str, level: str, main: Callable[[asyncio.Event], Awaitable[None]]) -> None:
    """Run `main(stopping)` until it returns; SIGTERM and SIGINT set `stopping`. A fault ends the process with 1:
    whoever runs it restarts it, and recovery is how it starts."""
    configure_logging(service, level)
    log = structlog.get_logger()

    async def supervised() -> None:
        stopping = asyncio.Event()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, stopping.set)
        async with recording():
            await main(stopping)

    try:
        with exporting(service), asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(supervised())
    except* PortError as group:
        log.error("service_failed", errors=[f"{type(error).__name__}: {error}" for error in group.exceptions])
        sys.exit(1)
    log.info("service_stopped")
