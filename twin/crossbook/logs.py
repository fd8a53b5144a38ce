"""Follows the services' log files and shows each new record as one compact line."""

import asyncio
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, Final

import orjson

POLL_S: Final = 0.2
LINES_A_POLL_MAX: Final = 50
"""More than this at once nobody reads: the rest is counted, and stands in the file."""
READ_BYTES_MAX: Final = 1 << 20
SHOWN_FIRST: Final = ("timestamp", "level", "event")
SHOWN_ELSEWHERE: Final = frozenset({*SHOWN_FIRST, "service", "instance", "logger"})
VALUE_WIDTH: Final = 120
METRICS: Final = b'{"_aws"'
"""How a line of metrics begins: they stand in the file, for machines."""


def compact(line: str) -> str:
    """A structlog JSON record as `time level event key=value …`; any other line as it is."""
    try:
        record = orjson.loads(line)
    except orjson.JSONDecodeError:
        return line
    if not isinstance(record, dict) or "event" not in record:
        return line
    time_of_day = str(record.get("timestamp", "")).partition("T")[2][:12]
    level = str(record.get("level", ""))
    details = [f"{key}={_short(value)}" for key, value in record.items() if key not in SHOWN_ELSEWHERE]
    return " ".join([time_of_day, f"{level:<7}", str(record["event"]), *details]).strip()


class LogFollower:
    """Reads on in one file from where it ended when the follower was made."""

    def __init__(self, path: Path, name: str) -> None:
        self._path = path
        self._name = name
        self._offset = path.stat().st_size if path.exists() else 0
        self._rest = b""

    def new_lines(self) -> list[str]:
        """What was written since the last call, as compact lines with the name before them; the excess is counted."""
        if not self._path.exists():
            return []
        size = self._path.stat().st_size
        if size < self._offset:  # it was put away, and begun anew
            self._offset, self._rest = 0, b""
        skipped_bytes = max(0, size - self._offset - READ_BYTES_MAX)
        with self._path.open("rb") as file:
            file.seek(self._offset + skipped_bytes)
            content = self._rest * (not skipped_bytes) + file.read(READ_BYTES_MAX)
            self._offset = file.tell()
        *complete, self._rest = content.split(b"\n")
        lines = [line.decode(errors="replace") for line in complete if line and not line.startswith(METRICS)]
        shown = [f"{self._name:<10} {compact(line)}" for line in lines[:LINES_A_POLL_MAX]]
        if len(lines) > LINES_A_POLL_MAX or skipped_bytes:
            shown.append(f"{self._name:<10} … and {len(lines) - len(shown)} more lines in {self._path}")
        return shown


async def follow(folder: Path, names: Iterable[str], show: Callable[[str], None]) -> None:
    """Show what the named processes log from now on, until cancelled."""
    followers = [LogFollower(folder / f"{name}.log", name) for name in names]
    while True:
        for follower in followers:
            for line in follower.new_lines():
                show(line)
        await asyncio.sleep(POLL_S)


def _short(value: Any) -> str:
    text = value if isinstance(value, str) else orjson.dumps(value, default=str).decode()
    return text if len(text) <= VALUE_WIDTH else f"{text[: VALUE_WIDTH - 1]}…"
