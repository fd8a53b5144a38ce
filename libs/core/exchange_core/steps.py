"""Long work in steps, so that whoever does it can do other things in between, without a thread."""

from collections.abc import Generator
from typing import TypeAlias, TypeVar, cast

T = TypeVar("T")
Steps: TypeAlias = Generator[None, None, T]
"""A part of the work up to each `yield`, returns the result. `make bench FLAGS="--stage state"` times the parts."""


def at_once(steps: Steps[T]) -> T:
    """The result, with nothing in between."""
    while True:
        try:
            next(steps)
        except StopIteration as end:
            return cast("T", end.value)
