"""What the persister does beside settling, run as processes: its schema is its own, and so is building it anew."""

import asyncio
import subprocess
import sys
from collections.abc import Mapping

import orjson

from crossbook.environment import inherited_environment
from crossbook.errors import ProcessError

COMPLAINT_LINES = 5


async def migrate(database_url: str) -> None:
    """Bring a database to the newest schema; raises ProcessError with the command's last words."""
    await _run("exchange_persister.migrate", inherited_environment() | {"DATABASE_URL": database_url})


async def rebuild(environment: Mapping[str, str]) -> dict[str, int]:
    """Build database and wallets anew from journal and archive; returns what was done, as the process logs it last:
    `slots`, `restored` (from the archive), `wallets`, `on_their_way`. Raises ProcessError."""
    told = orjson.loads(await _run("exchange_persister.rebuild", environment))
    return {name: told[name] for name in ("slots", "restored", "wallets", "on_their_way")}


async def _run(module: str, environment: Mapping[str, str]) -> str:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        module,
        env=dict(environment),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    output, _ = await process.communicate()
    lines = output.decode(errors="replace").splitlines()
    if process.returncode != 0:
        complaint = "\n  ".join(lines[-COMPLAINT_LINES:])
        raise ProcessError(f"{module} failed:\n  {complaint}")
    return lines[-1] if lines else ""
