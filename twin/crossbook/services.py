"""The four services as processes of a twin: which variables each is handed, and no more than it needs."""

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from crossbook.environment import inherited_environment
from crossbook.ports import LOOPBACK, PortWish
from crossbook.processes import ProcessSpec
from crossbook.site import Site

READY_PATH = "/readyz"
STOP_TIMEOUT_S = 15.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Service:
    """One process of a service: `name` is that of the process, `package` what it runs."""

    name: str
    package: str
    needs_database: bool = False
    needs_login: bool = False

    def spec(self, site: Site, *, port: int, log_level: str, directory: Path, traces: Mapping[str, str]) -> ProcessSpec:
        """How the process is run; `traces` says where its spans go."""
        environment = inherited_environment() | site.exchange_environment
        if self.needs_database:
            environment |= site.database_environment
        if self.needs_login:
            environment |= site.login_environment
        environment |= {
            "HTTP_HOST": LOOPBACK,
            "HTTP_PORT": str(port),
            "LOG_LEVEL": log_level,
            "SERVICE_INSTANCE": self.name,
            "PYTHONUNBUFFERED": "1",
            **traces,
        }
        return ProcessSpec(
            name=self.name,
            command=(sys.executable, "-m", self.package),
            environment=environment,
            port=port,
            ready_path=READY_PATH,
            stop_timeout_s=STOP_TIMEOUT_S,
            directory=directory,
        )


def services(*, matchers: int, reconciles: bool = False) -> tuple[Service, ...]:
    """All service processes of a twin, in order of the flow. The matchers share the partitions out by leases."""
    reconciler = Service(name="reconciler", package="exchange_persister.reconcile", needs_database=True)
    return (
        Service(name="gateway", package="exchange_gateway", needs_database=True, needs_login=True),
        *(Service(name=f"matcher-{number}", package="exchange_matcher") for number in range(1, matchers + 1)),
        Service(name="persister", package="exchange_persister", needs_database=True),
        *((reconciler,) if reconciles else ()),
        Service(name="fanout", package="exchange_fanout", needs_login=True),
    )


def wishes(running: tuple[Service, ...], *, gateway_port: int, fanout_port: int) -> tuple[PortWish, ...]:
    """The ports that the services want: two that people know, any free one for the health of the others."""
    known = {
        "gateway": PortWish(name="gateway", port=gateway_port, flag="--gateway-port", purpose="the gateway"),
        "fanout": PortWish(name="fanout", port=fanout_port, flag="--fanout-port", purpose="the WebSocket"),
    }
    return tuple(known.get(service.name, PortWish(name=service.name)) for service in running)
