"""Python's collector of cycles, kept from looking through a whole state over and over while it is copied."""

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def collector_paused() -> Iterator[None]:
    """For work without an await that makes very many objects and no cycles.

    As their number grows the collector looks at every object of the process again and again, and finds nothing. All
    that time the partition stands still and its lease is not renewed.
    """
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()
