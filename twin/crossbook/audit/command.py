"""`crossbook audit`: the invariants of DESIGN.md section 3 over journal, wallets, database, history and caches."""

import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table
from rich.text import Text

from crossbook import control
from crossbook.state import StateDirectory
from crossbook.terminal import console

if TYPE_CHECKING:
    from crossbook.audit.checks import CheckResult


def audit_command(
    state_dir: Annotated[Path, typer.Option("--state-dir", help="Where the twin keeps its state.")] = Path(".twin"),
    wait: Annotated[float, typer.Option(min=0, help="Seconds to wait for settlement and for quiet.")] = 30.0,
    show: Annotated[int, typer.Option(min=1, help="Differences to show of each check.")] = 5,
) -> None:
    """Check that nothing is lost and nothing is twice, over all stores. Ends with 1 on any difference."""
    from crossbook.audit.run import audit_twin  # brings the SDK and the drivers, which no other command waits for

    began_s = time.monotonic()
    environment = control.exchange(StateDirectory(state_dir))
    with console.status("reading the stores"):
        results = audit_twin(environment, wait)
    console.print(results_table(results))
    for line in difference_lines(results, show):
        console.print(line)
    found = sum(len(result.differences) for result in results)
    verdict = Text("clean", style="bold green") if not found else Text(f"{found:,} differences", style="bold red")
    console.print(verdict, f"in {time.monotonic() - began_s:.1f} s")
    if found:
        raise typer.Exit(1)


def results_table(results: Sequence["CheckResult"]) -> Table:
    """One line a check."""
    table = Table(title="Audit", title_justify="left", title_style="bold")
    for column in ("check", "scope", "result"):
        table.add_column(column, overflow="fold")
    for result in results:
        if result.first is None:
            verdict = Text("ok", style="green")
        else:
            count = len(result.differences)
            where = "no slot" if result.first.slot is None else f"slot {result.first.partition}:{result.first.slot}"
            verdict = Text(f"{count:,} difference{'s' if count > 1 else ''}, first at {where}", style="red")
        table.add_row(result.name, result.scope, verdict)
    return table


def difference_lines(results: Sequence["CheckResult"], show: int) -> Iterator[Text]:
    """The first differences of each check, in order of the slot where they arose."""
    for result in results:
        differences = sorted(result.differences, key=lambda difference: difference.order)
        if not differences:
            continue
        yield Text(result.name, style="bold red")
        for difference in differences[:show]:
            yield Text(f"  {difference}")
        if len(differences) > show:
            yield Text(f"  and {len(differences) - show:,} more")
