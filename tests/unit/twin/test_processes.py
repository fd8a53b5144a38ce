import asyncio
import os
import signal
import sys
from pathlib import Path

import pytest

from crossbook.errors import ProcessError
from crossbook.ports import PortAllocator, PortWish
from crossbook.processes import ProcessSpec, Supervisor, end_strays
from crossbook.state import RunningProcess, is_alive, process_start_time_s
from tests.eventually import eventually

SERVER = """
import http.server, signal, sys
signal.signal(signal.SIGTERM, lambda *_: sys.exit(print("stopped in good order", flush=True)))
http.server.HTTPServer(("127.0.0.1", int(sys.argv[1])), http.server.SimpleHTTPRequestHandler).serve_forever()
"""
DEAF_SERVER = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN)\n" + SERVER.replace("SIGTERM", "SIGUSR1")
ORPHAN_MAKER = "import os, sys, time\nif os.fork(): print('parent', flush=True)\ntime.sleep(600)"


def server_spec(name: str = "server", script: str = SERVER, **changes) -> ProcessSpec:
    port = PortAllocator().claim_all((PortWish(name=name),), remembered={})[name]
    settings = {"ready_timeout_s": 20, "stop_timeout_s": 10} | changes
    return ProcessSpec(
        name=name,
        command=(sys.executable, "-c", script, str(port)),
        environment=dict(os.environ),
        port=port,
        **settings,
    )


@pytest.fixture
async def supervisor(tmp_path):
    started = Supervisor(logs=tmp_path)
    yield started
    await started.stop()


async def test_a_child_is_stopped_in_good_order_and_its_output_is_kept(supervisor, tmp_path):
    await supervisor.start(server_spec())
    pid = supervisor.find("server").pid
    await supervisor.stop()
    assert process_start_time_s(pid) == 0
    assert "stopped in good order" in (tmp_path / "server.log").read_text()


async def test_a_child_that_does_not_hear_is_killed_after_a_while(supervisor):
    await supervisor.start(server_spec(script=DEAF_SERVER, stop_timeout_s=0.2))
    pid = supervisor.find("server").pid
    await supervisor.stop()
    assert process_start_time_s(pid) == 0


async def test_children_are_stopped_in_reverse_order_of_start(tmp_path):
    seen: list[tuple[str, ...]] = []
    supervisor = Supervisor(
        logs=tmp_path, changed=lambda: seen.append(tuple(process.name for process in supervisor.processes))
    )
    await supervisor.start(server_spec("first"))
    await supervisor.start(server_spec("second"))
    await supervisor.stop()
    assert seen[-2:] == [("first",), ()]


async def test_a_killed_child_is_started_again_and_said_so(tmp_path):
    reports: list[str] = []
    supervisor = Supervisor(logs=tmp_path, report=reports.append)
    try:
        await supervisor.start(server_spec())
        killed = supervisor.find("server").pid
        os.kill(killed, signal.SIGKILL)
        await eventually(lambda: any("is back (restart 1)" in report for report in reports))
        assert supervisor.find("server").pid not in {0, killed}
        assert supervisor.processes[0].restarts == 1
        assert any("DIED (signal SIGKILL)" in report for report in reports)
    finally:
        await supervisor.stop()


async def test_a_held_child_stays_down_until_it_is_resumed_and_is_kept_again_then(supervisor):
    await supervisor.start(server_spec(), server_spec("other"))
    first = supervisor.find("server").pid
    await supervisor.hold("server")
    assert process_start_time_s(first) == 0 and supervisor.find("server").pid == 0
    assert supervisor.find("other").pid
    await supervisor.resume("server")
    second = supervisor.find("server").pid
    assert second and second != first and supervisor.find("server").restarts == 0
    os.kill(second, signal.SIGKILL)
    await eventually(lambda: supervisor.find("server").pid not in (0, second))


async def test_the_death_of_a_child_that_cannot_be_replaced_is_a_failure(supervisor):
    await supervisor.start(server_spec(is_replaceable=False))
    os.kill(supervisor.find("server").pid, signal.SIGKILL)
    async with asyncio.timeout(10):
        assert "cannot be replaced" in await supervisor.failure


async def test_a_child_that_ends_before_it_is_ready_is_told_with_the_end_of_its_log(supervisor):
    with pytest.raises(ProcessError, match=r"(?s)exit status 3.*no such thing"):
        await supervisor.start(server_spec(script="import sys; print('no such thing', flush=True); sys.exit(3)"))


async def test_a_child_that_is_not_ready_in_time_is_told(supervisor):
    with pytest.raises(ProcessError, match="not ready within"):
        await supervisor.start(server_spec(script="import time; time.sleep(60)", ready_timeout_s=0.3))


async def test_what_a_child_left_behind_ends_with_it(supervisor, tmp_path):
    async def has_forked() -> bool:
        return "parent" in (tmp_path / "server.log").read_text()

    await supervisor.start(server_spec(script=ORPHAN_MAKER, is_ready=has_forked))
    session = supervisor.find("server").pid
    await supervisor.stop()
    await eventually(lambda: not _session_lives(session))


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells a child of its parent's death")
async def test_children_end_when_their_supervisor_is_killed(tmp_path):
    script = f"""
import asyncio, pathlib, sys, time
from crossbook.processes import ProcessSpec, Supervisor
async def main():
    supervisor = Supervisor(logs=pathlib.Path({str(tmp_path)!r}))
    await supervisor.start(ProcessSpec(name="sleeper", command=("sleep", "600"), environment={{}}, port=1,
                                       is_ready=lambda: asyncio.sleep(0, True)))
    print(supervisor.find("sleeper").pid, flush=True)
    await asyncio.sleep(600)
asyncio.run(main())
"""
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", script, stdout=asyncio.subprocess.PIPE)
    assert process.stdout is not None
    child = int(await process.stdout.readline())
    assert process_start_time_s(child)
    process.kill()
    await process.wait()
    await eventually(lambda: process_start_time_s(child) == 0)


async def test_strays_are_ended_but_a_stranger_with_an_old_pid_is_not(tmp_path):
    stray = await asyncio.create_subprocess_exec(sys.executable, "-c", DEAF_SERVER, "0")
    waiting = asyncio.create_task(stray.wait())
    known = RunningProcess(
        name="stray", pid=stray.pid, started_at_s=process_start_time_s(stray.pid), port=0, restarts=0
    )
    stranger = RunningProcess(name="stranger", pid=os.getpid(), started_at_s=12.0, port=0, restarts=0)
    assert is_alive(known) and not is_alive(stranger)
    await end_strays((known, stranger), patience_s=0.2)
    assert not is_alive(known)
    await waiting


def _session_lives(session: int) -> bool:
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[3]) == session and fields[0] != "Z":
            return True
    return False


async def test_what_a_child_is_armed_with_holds_for_its_next_life_only(supervisor, tmp_path):
    script = "import os; print('armed:', os.environ.get('KILL_AT'), flush=True)\n" + SERVER
    await supervisor.start(server_spec(script=script))
    supervisor.arm("server", KILL_AT="journal.put.before:1")
    for restarts in (1, 2):
        os.kill(supervisor.find("server").pid, signal.SIGKILL)
        await eventually(lambda count=restarts: supervisor.find("server").restarts == count)
        await eventually(lambda: supervisor.find("server").pid)
        await eventually(
            lambda count=restarts: (tmp_path / "server.log").read_text().count("armed:") == count + 1, timeout_s=20
        )
    lines = [line for line in (tmp_path / "server.log").read_text().splitlines() if line.startswith("armed:")]
    assert lines == ["armed: None", "armed: journal.put.before:1", "armed: None"]
