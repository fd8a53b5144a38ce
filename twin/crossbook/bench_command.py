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
    stage: Annotated[
        list[str] | None, typer.Option(help="core, exchange or recovery; may be given again. Else the first two.")
    ] = None,
    events: Annotated[
        list[int] | None, typer.Option(min=1, help="How long a journal to recover from; may be given again.")
    ] = None,
    json_file: Annotated[Path | None, typer.Option("--json", help="Write the figures here as well.")] = None,
) -> None:
    """Measure the core, a private exchange under load, or recovery; print the figures beside known ones."""
    if not (CHECKOUT / "bench" / "__main__.py").exists():
        raise SetupError("the bench runs from a checkout: it is not installed with the command line")
    arguments = ["--seconds", str(seconds)]
    for name, values in (("--rate", rate), ("--stage", stage), ("--events", events)):
        for value in values or ():
            arguments += [name, str(value)]
    if recording is not None:
        arguments += ["--recording", str(recording.resolve())]
    if json_file is not None:
        arguments += ["--json", str(json_file.resolve())]
    ended = subprocess.run([sys.executable, "-m", "bench", *arguments], cwd=CHECKOUT, check=False)  # noqa: S603
    if ended.returncode:
        raise typer.Exit(ended.returncode)
