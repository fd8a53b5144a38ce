"""The state directory of a twin: what it must remember between starts, and who runs it now.

`world.json` holds what lasts (ports, passwords, ids); `running.json` the supervisor and its processes, rewritten at
every change; `lock` is held by the supervisor for its whole life, so two of them cannot share a directory.
"""

import fcntl
import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import orjson
import psutil

from crossbook.errors import AlreadyRunningError

START_TIME_SLACK_S = 2.0
"""The system tells start times by a clock that may be set; a pid is not used again this soon."""


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """What a twin remembers between starts. The passwords and the master secret of its API keys (64 hexadecimal digits)
    are its own: made at the first start, local only."""

    world_id: str
    postgres_password: str
    redis_password: str
    api_key_master: str
    ports: dict[str, int] = field(default_factory=dict)
    user_pool_id: str = ""
    client_id: str = ""
    partitions: int = 0
    is_seeded: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class RunningProcess:
    """One process of a running twin. `pid` 0: it is down at the moment. Start times are seconds since the epoch.

    `ready_path` is what to ask on its port to see whether it is ready; empty: that it takes connections is enough.
    `zone` is what the process fails with; empty: it is not one of the services.
    """

    name: str
    pid: int
    started_at_s: float
    port: int
    restarts: int
    ready_path: str = ""
    zone: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Running:
    """The supervisor, its processes in order of start, and where clients find the exchange."""

    supervisor: RunningProcess
    processes: tuple[RunningProcess, ...] = ()
    environment: dict[str, str] = field(default_factory=dict)


def process_start_time_s(pid: int) -> float:
    """When the process was started, in seconds since the epoch; 0 when there is none."""
    try:
        process = psutil.Process(pid)
        return 0.0 if process.status() == psutil.STATUS_ZOMBIE else process.create_time()
    except psutil.Error:
        return 0.0


def is_alive(process: RunningProcess) -> bool:
    """Whether this very process still runs: a pid alone could be somebody else's by now."""
    started_at_s = process_start_time_s(process.pid) if process.pid else 0.0
    return bool(started_at_s) and abs(started_at_s - process.started_at_s) < START_TIME_SLACK_S


class StateDirectory:
    """Reads and writes the files of one twin, each replaced whole."""

    def __init__(self, path: Path) -> None:
        self.path = path.resolve()

    @property
    def logs(self) -> Path:
        """One file a process."""
        return self.path / "logs"

    @property
    def is_of_a_twin(self) -> bool:
        """Whether a twin was ever started here."""
        return (self.path / "lock").exists()

    def part(self, name: str) -> Path:
        """The folder of one backing part, made when it is not there."""
        folder = self.path / name
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the directory; raises AlreadyRunningError when another supervisor does."""
        self.path.mkdir(parents=True, exist_ok=True)
        self.path.chmod(0o711)  # PostgreSQL passes through when it is not run by the owner; nobody can list
        with (self.path / "lock").open("w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                running = self.read_running()
                pid = running.supervisor.pid if running else "unknown"
                raise AlreadyRunningError(
                    f"a twin with the state directory {self.path} runs already (supervisor {pid}): "
                    "`crossbook status` shows it, `crossbook down` stops it"
                ) from None
            yield

    def read_world(self) -> World:
        """What is remembered, or a new world that is not written yet."""
        stored = self._read("world.json")
        if stored is not None:
            return World(**{"api_key_master": secrets.token_hex(32)} | stored)
        return World(
            world_id=secrets.token_hex(16),
            postgres_password=secrets.token_hex(16),
            redis_password=secrets.token_hex(16),
            api_key_master=secrets.token_hex(32),
        )

    def write_world(self, world: World, **changes: Any) -> World:
        """Remember the world with these changes; returns it."""
        changed = replace(world, **changes)
        self._write("world.json", asdict(changed))
        return changed

    def read_running(self) -> Running | None:
        """The twin that runs, or that ran last and could not say good-bye."""
        stored = self._read("running.json")
        if stored is None:
            return None
        return Running(
            supervisor=RunningProcess(**stored["supervisor"]),
            processes=tuple(RunningProcess(**process) for process in stored["processes"]),
            environment=stored["environment"],
        )

    def write_running(self, running: Running) -> None:
        """Tell other terminals, and the next start, what runs."""
        self._write("running.json", asdict(running))

    def clear_running(self) -> None:
        """Say that nothing runs any more."""
        (self.path / "running.json").unlink(missing_ok=True)

    def wipe(self) -> None:
        """Forget everything."""
        if self.path.exists():
            shutil.rmtree(self.path)

    def _read(self, name: str) -> Any:
        try:
            return orjson.loads((self.path / name).read_bytes())
        except FileNotFoundError:
            return None

    def _write(self, name: str, content: Any) -> None:
        draft = self.path / f"{name}.{os.getpid()}.draft"
        draft.touch(mode=0o600)
        draft.write_bytes(orjson.dumps(content, option=orjson.OPT_INDENT_2))
        draft.replace(self.path / name)
