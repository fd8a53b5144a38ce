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
READY_TIMEOUT_S = 60.0
RECOVERY_TIMEOUT_S = 300.0
"""A matcher that has lost its snapshots folds its whole journal first."""
ZONES = ("a", "b")


@dataclass(frozen=True, slots=True, kw_only=True)
class Service:
    """One process of a service: `name` is that of the process, `package` what it runs; `zone` is what fails as one."""

    name: str
    package: str
    zone: str = "a"
    needs_database: bool = False
    needs_login: bool = False
    ready_timeout_s: float = READY_TIMEOUT_S

    def spec(
        self, site: Site, *, port: int, log_level: str, directory: Path, traces: Mapping[str, str] | None = None
    ) -> ProcessSpec:
        """How the process is run; `traces` says where its spans go, if anywhere."""
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
            **(traces or {}),
        }
        return ProcessSpec(
            name=self.name,
            command=(sys.executable, "-m", self.package),
            environment=environment,
            port=port,
            ready_path=READY_PATH,
            zone=self.zone,
            stop_timeout_s=STOP_TIMEOUT_S,
            ready_timeout_s=self.ready_timeout_s,
            directory=directory,
        )


def services(*, matchers: int, instances: int = 1, reconciles: bool = False) -> tuple[Service, ...]:
    """All service processes of a twin, in order of the flow, each service's spread over the zones.

    The matchers share the partitions out by leases; of the others any number works side by side.
    """
    numbers = range(1, instances + 1)
    reconciler = Service(name="reconciler", package="exchange_persister.reconcile", needs_database=True)
    return (
        *(
            Service(
                name=_name("gateway", number),
                package="exchange_gateway",
                zone=zone_of(number),
                needs_database=True,
                needs_login=True,
            )
            for number in numbers
        ),
        *(
            Service(
                name=f"matcher-{number}",
                package="exchange_matcher",
                zone=zone_of(number),
                ready_timeout_s=RECOVERY_TIMEOUT_S,
            )
            for number in range(1, max(matchers, instances) + 1)
        ),
        *(
            Service(
                name=_name("persister", number),
                package="exchange_persister",
                zone=zone_of(number),
                needs_database=True,
            )
            for number in numbers
        ),
        *((reconciler,) if reconciles else ()),
        *(
            Service(name=_name("fanout", number), package="exchange_fanout", zone=zone_of(number), needs_login=True)
            for number in numbers
        ),
    )


def zone_of(number: int) -> str:
    """The zone of the instance with this number, from 1."""
    return ZONES[(number - 1) % len(ZONES)]


def _name(service: str, number: int) -> str:
    return service if number == 1 else f"{service}-{number}"


def wishes(running: tuple[Service, ...], *, gateway_port: int, fanout_port: int) -> tuple[PortWish, ...]:
    """The ports that the services want: two that people know, any free one for the health of the others."""
    known = {
        "gateway": PortWish(name="gateway", port=gateway_port, flag="--gateway-port", purpose="the gateway"),
        "fanout": PortWish(name="fanout", port=fanout_port, flag="--fanout-port", purpose="the WebSocket"),
    }
    return tuple(known.get(service.name, PortWish(name=service.name)) for service in running)
