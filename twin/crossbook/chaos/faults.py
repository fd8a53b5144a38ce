"""The faults of a chaos run, and in which order a seed brings them."""

import asyncio
import contextlib
import os
import signal
from collections.abc import AsyncIterator, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from random import Random
from typing import Final, Protocol

from crossbook.chaos.proxy import ChaosProxy
from crossbook.services import ZONES
from crossbook.state import RunningProcess

STORES: Final = ("aws", "redis", "postgres")
SERVICES: Final = ("gateway", "matcher", "persister", "fanout")
DEGRADED_TARGET_S: Final = 30.0
ZONE_TARGET_S: Final = 60.0
STOPPED_S: Final = (5.0, 30.0)
SLOW_S: Final = (5.0, 15.0)
DELAY_S: Final = (0.02, 0.2)
RESETS_S: Final = 2.0
"""While connections are being reset, they are every so often."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """One fault: `kind` is kill, stop, restart, delay, reset or zone; `target` a service, a store or a zone. It lasts
    `for_s` seconds, 0: an instant, or as long as it takes. `delay_s` is how late every chunk is, each way."""

    kind: str
    target: str
    for_s: float = 0.0
    delay_s: float = 0.0

    @property
    def name(self) -> str:
        """For example "stop matcher"."""
        return f"{self.kind} {self.target}"

    @property
    def target_s(self) -> float:
        """How long orders may go without an answer because of it."""
        return ZONE_TARGET_S if self.kind == "zone" else DEGRADED_TARGET_S


def faults(seed: int, only: Collection[str] = ()) -> Iterator[Fault]:
    """For ever: every kind once in an order of chance, then all again in another; `only` those with these names, if any
    are given. Raises ValueError for a name that no fault has."""
    random = Random(seed)  # noqa: S311 - chooses faults, guards nothing
    while True:
        kinds = [
            *(Fault(kind="kill", target=target) for target in (*SERVICES, "redis", "postgres")),
            *(Fault(kind="stop", target=target, for_s=random.uniform(*STOPPED_S)) for target in SERVICES),
            *(
                Fault(kind="delay", target=target, for_s=random.uniform(*SLOW_S), delay_s=random.uniform(*DELAY_S))
                for target in STORES
            ),
            Fault(kind="restart", target="aws"),
            *(Fault(kind="reset", target=target, for_s=random.uniform(*SLOW_S)) for target in STORES),
            *(Fault(kind="zone", target=zone) for zone in ZONES),
        ]
        if strange := set(only) - {kind.name for kind in kinds}:
            raise ValueError(f"no fault is called {', '.join(sorted(strange))}")
        random.shuffle(kinds)
        yield from (kind for kind in kinds if not only or kind.name in only)


class Ground(Protocol):
    """What faults happen to: the processes of a twin."""

    @property
    def processes(self) -> tuple[RunningProcess, ...]:
        """All of them, as they are now."""
        ...

    async def hold(self, *names: str) -> None:
        """Stop them in good order; they stay down until `resume`."""

    async def resume(self, *names: str) -> None:
        """Start them again; returns when they are ready."""


async def inflict(fault: Fault, ground: Ground, proxies: Mapping[str, ChaosProxy], random: Random) -> None:
    """Make it happen, and take it back when its time is over. A process is chosen by chance among its service's."""
    match fault.kind:
        case "kill":
            _signal([random.choice(_instances(ground, fault.target))], signal.SIGKILL)
        case "zone":
            kill_zone(ground.processes, fault.target)
        case "stop":
            async with _stopped(random.choice(_instances(ground, fault.target))):
                await asyncio.sleep(fault.for_s)
        case "restart":  # in good order: killed, the emulated cloud would lose what AWS does not
            await ground.hold(fault.target)
            await ground.resume(fault.target)
        case "delay":
            proxies[fault.target].delay_s = fault.delay_s
            try:
                await asyncio.sleep(fault.for_s)
            finally:
                proxies[fault.target].delay_s = 0.0
        case "reset":
            for _ in range(max(1, round(fault.for_s / RESETS_S))):
                proxies[fault.target].reset()
                await asyncio.sleep(RESETS_S)


def kill_zone(processes: Sequence[RunningProcess], zone: str) -> list[str]:
    """`kill -9` of every process of the zone; returns their names."""
    lost = [process for process in processes if process.zone == zone and process.pid]
    _signal(lost, signal.SIGKILL)
    return [process.name for process in lost]


def _instances(ground: Ground, target: str) -> list[RunningProcess]:
    """The processes of a service or a store that are up."""
    own = (target, f"{target}-")
    return [one for one in ground.processes if one.pid and (one.name == own[0] or one.name.startswith(own[1]))]


def _signal(processes: Sequence[RunningProcess], number: signal.Signals) -> None:
    for process in processes:
        with contextlib.suppress(ProcessLookupError):
            os.kill(process.pid, number)


@contextlib.asynccontextmanager
async def _stopped(process: RunningProcess) -> AsyncIterator[None]:
    _signal([process], signal.SIGSTOP)
    try:
        yield
    finally:
        _signal([process], signal.SIGCONT)
