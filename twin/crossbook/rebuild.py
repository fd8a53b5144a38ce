"""`crossbook rebuild`: database and wallets built anew from journal and archive, which is how to restore them."""

import asyncio
import os
from pathlib import Path
from typing import Annotated

import typer

from crossbook import persister_tools
from crossbook.control import GATEWAY_VARIABLE
from crossbook.environment import inherited_environment
from crossbook.errors import NotRunningError
from crossbook.options import TwinOptions
from crossbook.state import StateDirectory
from crossbook.terminal import console, report


def rebuild_command(
    state_dir: Annotated[Path, typer.Option("--state-dir", help="Where the twin keeps its state.")] = Path(".twin"),
) -> None:
    """Empty PostgreSQL and the wallets, and build both anew from journal and archive. Stop the exchange first."""
    if GATEWAY_VARIABLE in os.environ:
        figures = asyncio.run(persister_tools.rebuild(os.environ))
    else:
        figures = asyncio.run(rebuild_twin(state_dir))
    console.print(
        f"{figures['slots']:,} slots projected ({figures['restored']:,} of them from the archive), "
        f"{figures['wallets']:,} wallets written, {figures['on_their_way']:,} commands still on their way"
    )


async def rebuild_twin(state_dir: Path) -> dict[str, int]:
    """Start a stopped twin's stores, rebuild, stop them; returns its figures. Raises TwinError."""
    from crossbook.twin import Twin  # brings the SDK and the drivers, which no other command waits for

    state = StateDirectory(state_dir)
    if not state.is_of_a_twin:
        raise NotRunningError(f"{state.path} is not the state directory of a twin")
    options = TwinOptions(
        gateway_port=0,
        fanout_port=0,
        aws_port=0,
        database_url=os.environ.get("DATABASE_URL"),
        redis_url=os.environ.get("REDIS_URL"),
        partitions=state.read_world().partitions,
    )
    twin = Twin(state_dir, options, report=report)
    try:
        await twin.start_stores()
        return await persister_tools.rebuild(
            inherited_environment() | twin.site.exchange_environment | twin.site.database_environment
        )
    finally:
        await twin.stop()
