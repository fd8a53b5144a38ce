"""Chaos: a private exchange with two of each service in two zones, under load: one thing breaks after the other.

After each fault the run waits until everything works again, and notes for how long nothing was accepted, traded or
settled. At its end every order that was accepted is found again, none that was refused exists, the audit is clean.
"""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Collection
from dataclasses import dataclass, replace
from pathlib import Path
from random import Random
from typing import Final

from crossbook.audit.run import audit_exchange
from crossbook.chaos.faults import STORES, Fault, faults, inflict
from crossbook.chaos.load import Load
from crossbook.chaos.proxy import ChaosProxy
from crossbook.options import TwinOptions
from crossbook.ports import LOOPBACK
from crossbook.processes import Report, ignore_report
from crossbook.site import Site
from crossbook.twin import Twin

INSTANCES: Final = 2
WARM_S: Final = 3.0
CALM_S: Final = 2.0
RECOVERY_TIMEOUT_S: Final = 180.0
AUDIT_WAIT_S: Final = 120.0
TRADERS: Final = ("alice", "bob", "carol")


@dataclass(frozen=True, slots=True, kw_only=True)
class Outage:
    """What a fault did: for how many seconds on end nothing was accepted, traded and settled, and after how many the
    last process was ready again."""

    fault: Fault
    gaps_s: dict[str, float]
    ready_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class ChaosReport:
    """The whole run. `wrong` is what contradicts what clients were told, `differences` what the audit found."""

    seed: int
    seconds: float
    outages: tuple[Outage, ...]
    orders: int
    accepted: int
    wrong: tuple[str, ...]
    differences: tuple[str, ...]


class ChaosTwin(Twin):
    """A twin whose services find every store behind a proxy of its own."""

    def __init__(self, directory: Path, *, report: Report) -> None:
        super().__init__(directory, replace(TwinOptions.private(), instances=INSTANCES), report=report)
        self.proxies = {store: ChaosProxy(lambda store=store: self.backing.ports[store]) for store in STORES}  # type: ignore[misc]

    async def _build_site(self) -> Site:
        site = await super()._build_site()
        ports = self.backing.ports
        return replace(
            site,
            aws=site.aws | {"AWS_ENDPOINT_URL": f"http://{LOOPBACK}:{self.proxies['aws'].port}"},
            redis_url=site.redis_url.replace(f":{ports['redis']}", f":{self.proxies['redis'].port}"),
            database_url=site.database_url.replace(f":{ports['postgres']}", f":{self.proxies['postgres'].port}"),
        )


async def run_chaos(
    directory: Path, *, seed: int, seconds: float, only: Collection[str] = (), say: Report = ignore_report
) -> ChaosReport:
    """Break things for so many seconds, `only` these if any are named. Raises TimeoutError when the exchange does not
    recover."""
    random = Random(seed)  # noqa: S311 - chooses victims, guards nothing
    twin = ChaosTwin(directory, report=say)
    async with _serving(twin.proxies), twin:
        load = Load(
            gateway_urls=twin.gateway_urls,
            websocket_urls=twin.websocket_urls,
            usernames=TRADERS,
            password=twin.password,
            random=random,
        )
        began_s = time.monotonic()
        async with load:
            outages = []
            await asyncio.sleep(WARM_S)
            for fault in faults(seed, only):
                outages.append(await _break(twin, load, fault, random))
                say(line(outages[-1]))
                if time.monotonic() - began_s > seconds:
                    break
            wrong = await load.finish()
        results = await audit_exchange(twin.client_environment, AUDIT_WAIT_S)
        return ChaosReport(
            seed=seed,
            seconds=time.monotonic() - began_s,
            outages=tuple(outages),
            orders=len(load.history),
            accepted=sum(not sent.refusal for sent in load.history),
            wrong=tuple(wrong),
            differences=tuple(f"{result.name}: {one}" for result in results for one in result.differences),
        )


def line(outage: Outage) -> str:
    """One fault in a line."""
    fault = outage.fault
    lasted = f" for {fault.for_s:.0f} s" if fault.for_s else ""
    gaps = ", ".join(f"not {name} for {gap_s:.1f} s" for name, gap_s in outage.gaps_s.items())
    return f"{fault.name}{lasted}: {gaps}; all ready after {outage.ready_s:.1f} s"


async def _break(twin: ChaosTwin, load: Load, fault: Fault, random: Random) -> Outage:
    loop = asyncio.get_running_loop()
    begun_s = loop.time()
    await inflict(fault, twin, twin.proxies, random)
    over_s = loop.time()
    await twin.wait_ready(timeout_s=RECOVERY_TIMEOUT_S)
    ready_s = loop.time() - over_s
    async with asyncio.timeout(RECOVERY_TIMEOUT_S):
        while not all(pulse.beats_s and pulse.beats_s[-1] > over_s for pulse in load.pulses.values()):
            load.check()
            await asyncio.sleep(0.1)
    await asyncio.sleep(CALM_S)
    load.check()
    gaps_s = {name: pulse.longest_gap_s(begun_s, loop.time()) for name, pulse in load.pulses.items()}
    return Outage(fault=fault, gaps_s=gaps_s, ready_s=ready_s)


@contextlib.asynccontextmanager
async def _serving(proxies: dict[str, ChaosProxy]) -> AsyncIterator[None]:
    async with contextlib.AsyncExitStack() as stack:
        for proxy in proxies.values():
            await stack.enter_async_context(proxy)
        yield
