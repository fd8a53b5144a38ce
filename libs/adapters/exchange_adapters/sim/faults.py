"""What can go wrong with a call to the outside, decided by a script or by a seed.

Each simulated store names its operations `store.operation` ("journal.put", "sqs.send", …) and passes every call
through `Faults.call`. A script decides the next calls of an operation one by one; after it, rates drawn from the
random source that was handed in. Without either, nothing goes wrong. Bounded: a script holds at most MAX_SCRIPT
outcomes.
"""

import asyncio
from collections import Counter, deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from random import Random
from typing import Final, TypeVar

from exchange_core.errors import Ambiguous, Conflict, Gone, PortError, Throttled, Unavailable

MAX_SCRIPT: Final = 10_000
Setting = TypeVar("Setting")


class Fault(StrEnum):
    """How a call fails. On a read, LOST and AFTER are plain Unavailable: an answer that was lost can be asked again."""

    BEFORE = "before"
    """Unavailable; nothing happened."""
    THROTTLED = "throttled"
    """Throttled; nothing happened."""
    LOST = "lost"
    """Ambiguous; nothing happened, which the caller cannot know."""
    AFTER = "after"
    """Ambiguous; it happened (or was refused), which the caller cannot know."""
    CONFLICT = "conflict"
    """Conflict: another transaction was in the way; nothing happened."""
    GONE = "gone"
    """Gone: an iterator that expired early."""
    PARTIAL = "partial"
    """sqs.send: the first half of the messages is taken, then Unavailable."""
    REPEAT = "repeat"
    """kinesis.append: the producer's own retry wrote the record twice; the call succeeds."""
    EMPTY = "empty"
    """kinesis.read: a page without records although there are some."""


@dataclass(slots=True)
class Gate:
    """Stops a call before its effect until `open` is set; `reached` tells that a call stands there.

    For tests that need two calls to overlap in one certain way. `then` is how the call fails afterwards, if it does.
    """

    then: Fault | None = None
    reached: asyncio.Event = field(default_factory=asyncio.Event)
    open: asyncio.Event = field(default_factory=asyncio.Event)


Outcome = Fault | Gate | str | None
"""One scripted call: a fault (or its name), a gate to wait at, or None for success."""

_BEFORE_EFFECT: Final[Mapping[Fault, type[PortError]]] = {
    Fault.BEFORE: Unavailable,
    Fault.THROTTLED: Throttled,
    Fault.LOST: Ambiguous,
    Fault.CONFLICT: Conflict,
    Fault.GONE: Gone,
}


class Faults:
    """What goes wrong for one host (or for all, if they share it). `random` is needed for rates and delays only."""

    def __init__(self, random: Random | None = None) -> None:
        self._random = random
        self._scripts: dict[str, deque[Gate | Fault | None]] = {}
        self._rates: dict[str, Mapping[Fault, float]] = {}
        self._delays: dict[str, tuple[float, float]] = {}
        self._down: set[str] = set()
        self.calls: Counter[str] = Counter()
        """How often each operation was called."""
        self.injected: Counter[tuple[str, Fault]] = Counter()
        """How often each operation failed in each way by our doing."""

    def script(self, operation: str, outcomes: Iterable[Outcome]) -> None:
        """Decide the next calls of the operation, in order: `script("journal.put", [None, "after"])`."""
        queue = self._scripts.setdefault(operation, deque())
        queue.extend(Fault(one) if isinstance(one, str) else one for one in outcomes)
        assert len(queue) <= MAX_SCRIPT, "a script is bounded"

    def set_rates(self, where: str, rates: Mapping[Fault, float]) -> None:
        """Let calls fail at random. `where` is an operation, a store ("journal") or "*"; the most exact one counts."""
        assert self._random is not None or not rates, "rates need a random source"
        assert sum(rates.values()) <= 1, "the rates of one operation are shares of its calls"
        self._rates[where] = dict(rates)

    def set_delay(self, where: str, shortest_ms: float, longest_ms: float) -> None:
        """Let calls take a time drawn evenly from this range, half of it before their effect and half after."""
        assert 0 <= shortest_ms <= longest_ms
        assert self._random is not None or shortest_ms == longest_ms, "a range needs a random source"
        self._delays[where] = (shortest_ms, longest_ms)

    def down(self, *stores: str) -> None:
        """Make every call to these stores Unavailable until `up`."""
        self._down.update(stores)

    def up(self, *stores: str) -> None:
        """End `down`; without arguments, for all stores."""
        self._down.difference_update(stores or tuple(self._down))

    def heal(self) -> None:
        """No more faults and delays of any kind."""
        self._scripts.clear()
        self._rates.clear()
        self._delays.clear()
        self._down.clear()

    def is_down(self, store: str) -> bool:
        """Whether the store is unreachable as a whole."""
        return store in self._down

    @property
    def unspent(self) -> dict[str, int]:
        """Scripted outcomes that no call has met yet: a test that ends with some did not test what it meant to."""
        return {operation: len(queue) for operation, queue in self._scripts.items() if queue}

    def call(self, operation: str, *, is_read: bool = False) -> "Call":
        """Surrounds the effect of one call: `async with faults.call("journal.put") as fault`, where `fault` is what the
        effect itself must act out, if anything.

        Raises before the body or after it as the fault says; always lets others run once, so that calls of
        different tasks interleave as they do on a network.
        """
        return Call(self, operation, is_read)

    def chance(self, operation: str) -> Fault | None:
        """The fault of something that is no call (a delivery by pub/sub), by script or by rate."""
        outcome = self._next_outcome(operation)
        fault = outcome.then if isinstance(outcome, Gate) else outcome
        if fault is not None:
            self.injected[operation, fault] += 1
        return fault

    def _next_outcome(self, operation: str) -> Gate | Fault | None:
        queue = self._scripts.get(operation)
        if queue:
            return queue.popleft()
        rates = _most_exact(self._rates, operation)
        if not rates:
            return None
        assert self._random is not None
        draw = self._random.random()
        for fault, rate in rates.items():
            if draw < rate:
                return fault
            draw -= rate
        return None

    def _draw_delay_s(self, operation: str) -> float:
        shortest_ms, longest_ms = _most_exact(self._delays, operation) or (0.0, 0.0)
        if shortest_ms == longest_ms:
            return shortest_ms / 2000
        assert self._random is not None
        return self._random.uniform(shortest_ms, longest_ms) / 2000


class Call:
    """One call, from its request to its answer: see `Faults.call`. A class and no generator, which would be
    dearer: a simulated world makes thousands."""

    __slots__ = ("_fault", "_faults", "_is_read", "_operation", "_pause_s")

    def __init__(self, faults: Faults, operation: str, is_read: bool) -> None:
        self._faults = faults
        self._operation = operation
        self._is_read = is_read
        self._fault: Fault | None = None
        self._pause_s = 0.0

    async def __aenter__(self) -> Fault | None:
        faults, operation = self._faults, self._operation
        faults.calls[operation] += 1
        outcome = faults._next_outcome(operation)
        fault = self._fault = outcome.then if isinstance(outcome, Gate) else outcome
        if fault is not None:
            faults.injected[operation, fault] += 1
        self._pause_s = faults._draw_delay_s(operation)
        await asyncio.sleep(self._pause_s)
        if isinstance(outcome, Gate):
            outcome.reached.set()
            await outcome.open.wait()
        if faults.is_down(_store(operation)):
            raise Unavailable(f"{operation}: {_store(operation)} is down")
        if fault is not None:
            self._raise_before(fault)
        return fault

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, _: object) -> None:
        is_lost = self._fault is Fault.AFTER
        if error is not None:
            if is_lost and not self._is_read and isinstance(error, PortError):
                raise Ambiguous(f"{self._operation}: its refusal was lost") from error
            return
        if self._pause_s:
            await asyncio.sleep(self._pause_s)
        if is_lost:
            raise (Unavailable if self._is_read else Ambiguous)(f"{self._operation}: its answer was lost")

    def _raise_before(self, fault: Fault) -> None:
        error = _BEFORE_EFFECT.get(fault)
        if error is None:
            return
        if self._is_read and error is Ambiguous:
            error = Unavailable
        raise error(f"{self._operation}: {fault}")


def _store(operation: str) -> str:
    return operation.partition(".")[0]


def _most_exact(settings: Mapping[str, Setting], operation: str) -> Setting | None:
    for key in (operation, _store(operation), "*"):
        if key in settings:
            return settings[key]
    return None
