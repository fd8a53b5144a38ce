"""What keeps a seed's story the same everywhere: named random sources, and nothing drawn from the operating system."""

import contextlib
import gc
import secrets
from collections.abc import Iterator
from random import Random
from typing import Any

import structlog
import structlog.testing


def random_of(seed: int, name: str) -> Random:
    """A source of its own for each part, so that one more draw in one does not shift all others."""
    return Random(f"{seed}:{name}")  # noqa: S311 - a simulation repeats itself


@contextlib.contextmanager
def determinism(seed: int) -> Iterator[None]:
    """What the services draw from the operating system comes from the seed, and their logs go nowhere."""
    secrets_before: Any = secrets._sysrand  # type: ignore[attr-defined]
    secrets._sysrand = random_of(seed, "secrets")  # type: ignore[attr-defined]
    was_collecting = gc.isenabled()
    gc.disable()  # a collection amid a story costs time and closes nothing that matters
    try:
        with silence():
            yield
    finally:
        secrets._sysrand = secrets_before  # type: ignore[attr-defined]
        if was_collecting:
            gc.enable()


@contextlib.contextmanager
def silence() -> Iterator[None]:
    """No logs: a story is told by its figures."""
    configured = structlog.get_config()
    structlog.configure(
        wrapper_class=structlog.make_filtering_bound_logger(50), logger_factory=structlog.testing.ReturnLoggerFactory()
    )
    try:
        yield
    finally:
        structlog.configure(**configured)
