"""How long each stage of a request took, for the Server-Timing header and as spans of its trace."""

import contextlib
import time
from collections.abc import Iterator
from typing import Final

from opentelemetry import trace

ORDER: Final = ("ratelimit", "auth", "validate", "wallet", "book", "enqueue", "wait")
"""As the header lists them. A stage may be gone through in parts, and parts of two of them in turn."""
_TRACER: Final = trace.get_tracer("gateway")


class Stages:
    """The stages of one request."""

    __slots__ = ("_durations_ms", "_started_s")

    def __init__(self) -> None:
        self._started_s = time.perf_counter()
        self._durations_ms: dict[str, float] = {}

    @contextlib.contextmanager
    def measure(self, stage: str) -> Iterator[None]:
        """Add the time of the block to the stage, which is one of ORDER."""
        assert stage in ORDER, f"unknown stage {stage}"
        started_s = time.perf_counter()
        try:
            with _TRACER.start_as_current_span(stage):
                yield
        finally:
            took_ms = (time.perf_counter() - started_s) * 1000
            self._durations_ms[stage] = self._durations_ms.get(stage, 0.0) + took_ms

    def total_ms(self) -> float:
        """Since the request began."""
        return (time.perf_counter() - self._started_s) * 1000

    def duration_ms(self, stage: str) -> float | None:
        """What the stage took; None when there was no such stage."""
        return self._durations_ms.get(stage)

    def header(self) -> str:
        """`auth;dur=0.1, wallet;dur=3.2, total;dur=4.0`, in milliseconds."""
        durations_ms = self._durations_ms
        parts = [f"{stage};dur={durations_ms[stage]:.2f}" for stage in ORDER if stage in durations_ms]
        return ", ".join([*parts, f"total;dur={self.total_ms():.2f}"])
