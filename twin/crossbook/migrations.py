"""Brings a database to the newest schema, which is the persister's: its own command does it, as a process."""

import asyncio
import subprocess
import sys

from crossbook.environment import inherited_environment
from crossbook.errors import ProcessError

COMMAND = (sys.executable, "-m", "exchange_persister.migrate")


COMPLAINT_LINES = 5


async def migrate(database_url: str) -> None:
    """Apply what is missing; raises ProcessError with the command's last words."""
    process = await asyncio.create_subprocess_exec(
        *COMMAND,
        env=inherited_environment() | {"DATABASE_URL": database_url},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    output, _ = await process.communicate()
    if process.returncode != 0:
        complaint = "\n  ".join(output.decode(errors="replace").splitlines()[-COMPLAINT_LINES:])
        raise ProcessError(f"the database migrations failed:\n  {complaint}")
