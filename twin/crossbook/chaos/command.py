"""`crossbook chaos`: break a private exchange by a seed, or lose a zone of the running one."""

import asyncio
import secrets
import time
from collections.abc import Iterable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from crossbook import control
from crossbook.errors import SetupError
from crossbook.state import StateDirectory
from crossbook.terminal import console, report

if TYPE_CHECKING:
    from crossbook.chaos.run import ChaosReport, Outage

READY_TIMEOUT_S = 120.0
POLL_S = 0.1


def chaos_command(
    zone: Annotated[str, typer.Argument(help="zone-a or zone-b: kill all of it in the twin that runs.")] = "",
    minutes: Annotated[float, typer.Option(min=0.1, max=600, help="How long to break things.")] = 5.0,
    seed: Annotated[int | None, typer.Option(help="Repeats a run's faults, in their order.")] = None,
    only: Annotated[
        list[str] | None, typer.Option(help='This fault, as the table names it ("kill gateway"); may be given again.')
    ] = None,
    state_dir: Annotated[Path, typer.Option("--state-dir", help="Of the twin that loses a zone.")] = Path(".twin"),
) -> None:
    """Break things and see what it costs. Ends with 1 when anything that was accepted is lost."""
    if zone:
        _lose_zone(zone, StateDirectory(state_dir))
        return
    from crossbook.chaos.faults import faults
    from crossbook.chaos.run import run_chaos  # brings the SDK and the drivers, which no other command waits for

    try:
        next(faults(0, only or ()))
    except ValueError as error:
        raise SetupError(str(error)) from error
    chosen = secrets.randbelow(1_000_000) if seed is None else seed
    report(f"seed {chosen}")
    with TemporaryDirectory(prefix="crossbook-chaos-") as directory:
        found = asyncio.run(run_chaos(Path(directory), seed=chosen, seconds=60 * minutes, only=only or (), say=report))
    console.print(outage_table(found.outages))
    console.print(summary(found), markup=False)
    for text in (*found.wrong, *found.differences):
        console.print(text, markup=False)
    if found.wrong or found.differences:
        raise typer.Exit(1)


def outage_table(outages: "Iterable[Outage]") -> Table:
    """The worst of each kind of fault beside its target."""
    table = Table(title="Longest time without, in seconds", title_justify="left", title_style="bold")
    for column in ("fault", "times", "accepted", "traded", "settled", "all ready", "target"):
        table.add_column(column)
    by_name: dict[str, list[Outage]] = {}
    for outage in outages:
        by_name.setdefault(outage.fault.name, []).append(outage)
    for name, same in sorted(by_name.items()):
        worst = {gap: max(one.gaps_s[gap] for one in same) for gap in ("accepted", "traded", "settled")}
        target_s = same[0].fault.target_s
        style = "red" if worst["accepted"] > target_s else ""
        ready_s = max(one.ready_s for one in same)
        table.add_row(
            name,
            str(len(same)),
            *(f"{gap_s:.1f}" for gap_s in (*worst.values(), ready_s)),
            f"{target_s:.0f}",
            style=style,
        )
    return table


def summary(found: "ChaosReport") -> str:
    """The run in one sentence."""
    verdict = f"{len(found.wrong)} lost or contradicted, the audit found {len(found.differences)} differences"
    return (
        f"seed {found.seed}: {len(found.outages)} faults in {found.seconds:.0f} s; "
        f"{found.accepted:,} of {found.orders:,} orders accepted; {verdict}"
    )


def _lose_zone(name: str, state: StateDirectory) -> None:
    from crossbook.chaos.faults import kill_zone

    running = control.running(state)
    killed = kill_zone(running.processes, name.removeprefix("zone-"))
    if not killed:
        raise SetupError(f"no process of {name} runs: `crossbook up --instances 2` spreads them over zone-a and zone-b")
    report("killed " + ", ".join(killed))
    began_s = time.monotonic()
    while not all(one.is_ready for one in asyncio.run(control.probe(control.running(state)))):
        if time.monotonic() - began_s > READY_TIMEOUT_S:
            raise SetupError(f"not every process was ready again within {READY_TIMEOUT_S:.0f} s")
        time.sleep(POLL_S)
    report(f"every process is ready again, after {time.monotonic() - began_s:.1f} s")
