"""A journal as long as wanted: the engine makes the events, the matcher's own packing the slots."""

from collections import deque
from collections.abc import Awaitable, Callable, Iterator, Sequence
from itertools import islice
from typing import Final

from bench.core import START_MS, commands_of, listing, synthetic_operations
from exchange_core.codec import Slot
from exchange_core.commands import Command
from exchange_core.engine import PartitionEngine
from exchange_matcher.config import Config
from exchange_matcher.slots import EncodedSlot, pack_slots

PARTITION: Final = 0
SLOT_COMMANDS: Final = 20
SLOT_MS: Final = 40
"""Together 500 commands a second, the design's baseline."""
SNAPSHOT_SLOTS: Final[int] = Config.model_fields["snapshot_slots"].default
"""How many slots the matcher lets pass between two snapshots."""
KEPT_AT_ONCE: Final = 100

Keep = Callable[[Sequence[EncodedSlot]], Awaitable[None]]
"""Adds slots to the stores, in order."""


class LongJournal:
    """Grows by `grow`; `slots`, `events` and `size_bytes` say how far it is.

    A second engine follows so far behind that `due_snapshot` is always the oldest state that recovery may have to start
    from: that of a matcher which dies just before it takes the next one.
    """

    def __init__(self, keep: Keep, *, snapshot_slots: int = SNAPSHOT_SLOTS) -> None:
        self.slots = 0
        self.events = 0
        self.size_bytes = 0
        self._keep = keep
        self._engine = PartitionEngine(PARTITION)
        self._follower = PartitionEngine(PARTITION)
        self._followed = 0
        self._behind: deque[Slot] = deque()
        self._behind_max = snapshot_slots - 1
        self._batches = _batches()

    async def grow(self, events: int) -> None:
        """Go on until the journal holds so many events, or a few more."""
        waiting: list[EncodedSlot] = []
        while self.events < events:
            waiting += self._execute(next(self._batches))
            if len(waiting) >= KEPT_AT_ONCE:
                await self._keep(waiting)
                waiting = []
        await self._keep(waiting)

    def snapshot(self) -> tuple[int, bytes]:
        """(slot, state) of the journal's end, as a matcher leaves it that was stopped in good order."""
        return self.slots, self._engine.snapshot()

    @property
    def has_due_snapshot(self) -> bool:
        """Whether the journal is longer than the way between two snapshots."""
        return self._followed > 0

    def due_snapshot(self) -> tuple[int, bytes]:
        """(slot, state) of the newest snapshot there is when the next is just about to be taken."""
        return self._followed, self._follower.snapshot()

    def state_hash(self) -> str:
        """What every recovery must arrive at."""
        return self._engine.state_hash()

    def _execute(self, commands: Sequence[Command]) -> list[EncodedSlot]:
        at_ms = START_MS + self.slots * SLOT_MS
        units = [self._engine.begin_slot(at_ms), *(self._engine.execute(command, at_ms) for command in commands)]
        packed = pack_slots(
            [unit for unit in units if unit], partition=PARTITION, after=self.slots, at_ms=at_ms, writer="bench"
        )
        for encoded in packed:
            self.slots = encoded.slot.n
            self.events += len(encoded.slot.events)
            self.size_bytes += len(encoded.data)
            self._behind.append(encoded.slot)
            if len(self._behind) > self._behind_max:
                slot = self._behind.popleft()
                self._follower.apply_slot(slot)
                self._followed = slot.n
        return packed


def _batches() -> Iterator[Sequence[Command]]:
    yield [listing()]
    commands = commands_of(synthetic_operations(), lambda number: START_MS + number // SLOT_COMMANDS * SLOT_MS)
    while True:
        yield [*islice(commands, SLOT_COMMANDS)]
