"""LocalStack in its container, started by Docker from the compose.yaml of the exchange, alone and on a free port."""

import asyncio
import json
import os
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import psutil

HERE = Path(__file__).parent
FILES = (HERE.parents[1] / "compose.yaml", HERE / "compose.yaml")
SERVICE = "localstack"
PORT = "4566"
PROJECT = "crossbook-tests"
"""Followed by the process id of the test run, so that runs do not meet and a killed one's container can be known."""
PROBE_TIMEOUT_S = 20.0
START_TIMEOUT_S = 180


class ComposeError(Exception):
    """Docker did not do what it was asked; the message holds what it said."""


async def is_at_hand() -> bool:
    """Whether a Docker engine answers, Compose can read our files, and the image is there: nothing is downloaded."""
    if shutil.which("docker") is None:
        return False
    try:
        async with asyncio.timeout(PROBE_TIMEOUT_S):
            settings = json.loads(await _compose("config", "--format", "json"))
            await _docker("image", "inspect", settings["services"][SERVICE]["image"])
    except (ComposeError, TimeoutError):
        return False
    return True


@asynccontextmanager
async def started(log: Path) -> AsyncIterator[str]:
    """Run it until the end of the context; yields its endpoint. What it said is in the log file then."""
    await _end_strays()
    try:
        wait = ("--wait", "--wait-timeout", str(START_TIMEOUT_S))
        await _compose("up", "--detach", "--no-build", "--pull", "never", *wait, SERVICE)
        yield f"http://{(await _compose('port', SERVICE, PORT)).strip()}"
    finally:
        try:
            await asyncio.to_thread(log.write_text, await _compose("logs", "--no-color", SERVICE))
        finally:
            await _down(_project(os.getpid()))


async def _end_strays() -> None:
    """Take down what test runs left that were killed."""
    for found in json.loads(await _docker("compose", "ls", "--all", "--format", "json")):
        name, _, pid = found["Name"].rpartition("-")
        if name == PROJECT and pid.isdecimal() and not psutil.pid_exists(int(pid)):
            await _down(found["Name"])


async def _down(project: str) -> None:
    await _docker("compose", "--project-name", project, "down", "--volumes", "--timeout", "10")


def _project(pid: int) -> str:
    return f"{PROJECT}-{pid}"


async def _compose(*arguments: str) -> str:
    files = [part for file in FILES for part in ("--file", str(file))]
    return await _docker("compose", "--project-name", _project(os.getpid()), *files, *arguments)


async def _docker(*arguments: str) -> str:
    process = await asyncio.create_subprocess_exec(
        "docker", *arguments, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    try:
        output, complaint = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    if process.returncode:
        raise ComposeError(f"docker {' '.join(arguments)}: {complaint.decode().strip()}")
    return output.decode()
