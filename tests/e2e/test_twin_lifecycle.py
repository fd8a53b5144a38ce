"""The twin as a person at a terminal has it: `crossbook up`, `status`, `down`; and when things are killed."""

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from crossbook.clients.api_client import ApiClient
from crossbook.demo import FUNDS, INSTRUMENTS, PASSWORD
from crossbook.state import Running, StateDirectory, is_alive
from tests.eventually import eventually

FREE_PORTS = ("--gateway-port", "0", "--fanout-port", "0", "--aws-port", "0")
START_TIMEOUT_S = 120.0


async def crossbook(*arguments: str) -> tuple[int, str]:
    """Run a command to its end; its status and all it printed."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "crossbook", *arguments),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    output, _ = await process.communicate()
    assert process.returncode is not None
    return process.returncode, output.decode()


@asynccontextmanager
async def running_twin(directory: Path) -> AsyncIterator[asyncio.subprocess.Process]:
    """`crossbook up` in a process of its own, ended at the end if the test has not done so."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "crossbook", "up", "--quiet", "--state-dir", str(directory), *FREE_PORTS),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    assert process.stdout is not None
    printed = b""
    try:
        async with asyncio.timeout(START_TIMEOUT_S):
            while b"Ctrl-C stops all" not in printed:
                line = await process.stdout.readline()
                assert line, f"it ended: {printed.decode()}"
                printed += line
        yield process
    finally:
        if process.returncode is None:
            process.terminate()
            await process.communicate()


def running(directory: Path) -> Running:
    found = StateDirectory(directory).read_running()
    assert found is not None
    return found


async def test_a_twin_starts_seeded_is_ready_stops_and_goes_on_where_it_was(tmp_path):
    async with running_twin(tmp_path) as process:
        status, table = await crossbook("status", "--state-dir", str(tmp_path))
        assert status == 0, table
        processes = running(tmp_path).processes
        async with ApiClient(running(tmp_path).environment["CROSSBOOK_GATEWAY_URL"]) as api:
            alice = await api.log_in("alice", PASSWORD)
            assert await alice.available() == FUNDS
        status, said = await crossbook("down", "--state-dir", str(tmp_path))
        assert status == 0, said
        assert await process.wait() == 0
        assert not any(is_alive(child) for child in processes)
    async with running_twin(tmp_path), ApiClient(running(tmp_path).environment["CROSSBOOK_GATEWAY_URL"]) as api:
        assert [await api.instrument(listing["symbol"]) for listing in INSTRUMENTS]
        assert await (await api.log_in("alice", PASSWORD)).available() == FUNDS
    status, said = await crossbook("down", "--wipe", "--state-dir", str(tmp_path))
    assert status == 0, said
    assert not tmp_path.exists()


async def test_ctrl_c_leaves_no_process(tmp_path):
    async with running_twin(tmp_path) as process:
        processes = running(tmp_path).processes
        process.send_signal(signal.SIGINT)
        output, _ = await process.communicate()
    assert process.returncode == 0
    assert b"no process is left" in output
    assert not any(is_alive(child) for child in processes)


async def test_killed_services_come_back_and_a_killed_supervisor_leaves_nothing_behind(tmp_path):
    async with running_twin(tmp_path) as process:
        services = [child for child in running(tmp_path).processes if child.ready_path == "/readyz"]
        names = {"gateway", "matcher-1", "matcher-2", "persister", "reconciler", "fanout"}
        assert {child.name for child in services} == names
        for child in services:
            os.kill(child.pid, signal.SIGKILL)

        async def all_back() -> bool:
            return (await crossbook("status", "--state-dir", str(tmp_path)))[0] == 0

        await eventually(all_back, timeout_s=90)
        assert all(child.restarts == 1 for child in running(tmp_path).processes if child.ready_path == "/readyz")
        left = running(tmp_path).processes
        process.kill()
        await process.communicate()
    async with running_twin(tmp_path):
        assert not any(is_alive(child) for child in left)


async def test_commands_say_that_no_twin_runs(tmp_path):
    status, said = await crossbook("status", "--state-dir", str(tmp_path))
    assert status == 1 and "no twin" in said
    status, said = await crossbook("down", "--state-dir", str(tmp_path))
    assert status == 0 and "no twin" in said
