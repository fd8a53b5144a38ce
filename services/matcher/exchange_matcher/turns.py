"""Long work in turns with all else in the process: the other partitions, and the leases that want to be renewed."""

import asyncio
from typing import TypeVar, cast

from exchange_core.steps import Steps

T = TypeVar("T")


async def in_turns(steps: Steps[T]) -> T:
    """The result; whatever is ready runs between two steps."""
    while True:
        try:
            next(steps)
        except StopIteration as end:
            return cast("T", end.value)
        await asyncio.sleep(0)
