"""`crossbook bench`: hands over to the checkout's `bench` package, which is not installed with the twin."""

import subprocess
import sys
from pathlib import Path
from typing import Annotated

import typer

from crossbook.errors import SetupError

CHECKOUT = Path(__file__).resolve().parents[2]


def bench_command(
    recording: Annotated[
        Path | None, typer.Option(exists=True, help="Recorded flow for the core, besides the synthetic.")
    ] = None,
    seconds: Annotated[float, typer.Option(min=2, max=60, help="How long each rate is held.")] = 10.0,
    rate: Annotated[list[float] | None, typer.Option(min=1, help="Orders a second; may be given again.")] = None,
    only_core: Annotated[bool, typer.Option("--only-core", help="Do not start an exchange.")] = False,
    json_file: Annotated[Path | None, typer.Option("--json", help="Write the figures here as well.")] = None,
) -> None:
    """Measure the core, and a private exchange under load; print the figures beside known ones."""
    if not (CHECKOUT / "bench" / "__main__.py").exists():
        raise SetupError("the bench runs from a checkout: it is not installed with the command line")
    arguments = ["--seconds", str(seconds)]
    for one in rate or ():
        arguments += ["--rate", str(one)]
    if recording is not None:
        arguments += ["--recording", str(recording.resolve())]
    if json_file is not None:
        arguments += ["--json", str(json_file.resolve())]
    if only_core:
        arguments.append("--only-core")
    ended = subprocess.run([sys.executable, "-m", "bench", *arguments], cwd=CHECKOUT, check=False)  # noqa: S603
    if ended.returncode:
        raise typer.Exit(ended.returncode)
