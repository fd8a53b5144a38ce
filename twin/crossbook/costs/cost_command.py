"""`crossbook cost`: what the stacks would cost a month under a traffic profile."""

import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Annotated

import orjson
import typer

from crossbook.costs.bill import bill, read_prices
from crossbook.costs.fleet import Fleet, NoTemplatesError, read_fleet
from crossbook.costs.profile import UnknownProfileError, profile, profiles
from crossbook.costs.report import bill_table, comparison_lines, websocket_alternative
from crossbook.errors import SetupError
from crossbook.terminal import console

SYNTHESIS_TIMEOUT_S = 600


def cost_command(
    profile_name: Annotated[str, typer.Option("--profile", help="baseline, stated or tenfold.")] = "baseline",
    environment: Annotated[str, typer.Option(help="The environment of infra/ to count: dev or prod.")] = "prod",
    templates: Annotated[Path | None, typer.Option(help="Templates synthesized before.")] = None,
    compare: Annotated[bool, typer.Option("--compare", help="All profiles side by side, as Markdown.")] = False,
) -> None:
    """Print the monthly bill of an environment's stacks, from their templates, a dated price table and a profile."""
    prices = read_prices()
    try:
        chosen = profile(profile_name)
        fleet = read_fleet(templates) if templates else synthesized_fleet(environment)
    except (UnknownProfileError, NoTemplatesError) as error:
        raise SetupError(str(error)) from error
    if compare:
        for line in comparison_lines([bill(fleet, one, prices) for one in profiles().values()]):
            typer.echo(line)
        return
    made = bill(fleet, chosen, prices)
    console.print(bill_table(made))
    console.print(
        f"{made.usd_per_million_orders:,.2f} USD a million orders; {fleet.resources} resources in {environment}, "
        f"list prices of us-east-1 as of {prices['as_of']}"
    )
    other = websocket_alternative(made, prices["api_gateway"]["million_messages"])
    console.print(f"the same WebSocket messages through API Gateway would add {other:,.0f} USD")


def synthesized_fleet(environment: str) -> Fleet:
    """Synthesize the stacks of this checkout into a folder of their own, and count them. Raises SetupError."""
    python = Path(sys.prefix) / "infra" / "bin" / "python"
    app = Path("infra") / "app.py"
    if not python.exists() or not app.exists():
        raise SetupError("run this in a checkout after `make infra`, or name --templates")
    with tempfile.TemporaryDirectory() as folder:
        context = orjson.dumps({"environment": environment}).decode()
        process = subprocess.run(  # noqa: S603 - this checkout's own program
            [str(python.absolute()), app.name],
            cwd=app.parent,
            env={**os.environ, "CDK_OUTDIR": folder, "CDK_CONTEXT_JSON": context},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=SYNTHESIS_TIMEOUT_S,
            check=False,
        )
        if process.returncode != 0:
            raise SetupError("the stacks do not synthesize: " + process.stdout.decode(errors="replace")[-500:])
        return read_fleet(Path(folder))
