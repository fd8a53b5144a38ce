"""Waiting in tests for what will become true, instead of sleeping for as long as it might take."""

import asyncio
import inspect
from collections.abc import Callable
from typing import Any

TIMEOUT_S = 10.0
POLL_FIRST_S = 0.005
POLL_LAST_S = 0.1


async def eventually(attempt: Callable[[], Any], *, timeout_s: float = TIMEOUT_S) -> Any:
    """Call `attempt` (a function, or one that returns an awaitable) until it returns something true; returns that.

    An AssertionError counts as not yet. When the time is up, the last such error is raised, or one with the last value.
    """
    poll_s, complaint = POLL_FIRST_S, AssertionError("it was never tried")
    try:
        async with asyncio.timeout(timeout_s):
            while True:
                try:
                    value = attempt()
                    if inspect.isawaitable(value):
                        value = await value
                    if value:
                        return value
                    complaint = AssertionError(f"still {value!r} after {timeout_s} s")
                except AssertionError as error:
                    complaint = error
                await asyncio.sleep(poll_s)
                poll_s = min(poll_s * 2, POLL_LAST_S)
    except TimeoutError:
        raise complaint from None
