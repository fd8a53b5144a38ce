"""`crossbook bootstrap` and `crossbook seed`: what compose.yaml runs once at every start."""

import asyncio
import os
from pathlib import Path
from typing import Annotated

import typer

from crossbook.terminal import report

SEED_TIMEOUT_S = 180.0
"""The services may just be coming up again in a fresh world."""


def bootstrap_command(
    world_file: Annotated[Path, typer.Option(help="Where to write what the services are to read.")],
) -> None:
    """Prepare an exchange in containers: go on with its world, or begin one. Places are given by variables."""
    from crossbook.containers.bootstrap import bootstrap  # brings the SDK, which no other command waits for

    asyncio.run(bootstrap(os.environ, world_file, report=report))


def seed_command(
    gateway: Annotated[str, typer.Option(envvar="CROSSBOOK_GATEWAY_URL", help="The gateway's URL.")],
) -> None:
    """List the demo instruments and fund the demo users, through the public API; what is there is left alone."""
    from crossbook.seed import seed

    asyncio.run(seed(gateway, timeout_s=SEED_TIMEOUT_S))
    report("instruments, users and funds are in place")
