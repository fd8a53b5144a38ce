"""What a story was made of, as numbers."""

from collections import Counter
from dataclasses import dataclass, field, fields
from itertools import pairwise
from typing import Any

from exchange_core.codec import decode_slot
from simulation.machines.cloud import Taps
from simulation.machines.hosts import PARTITIONS


@dataclass(slots=True, kw_only=True)
class Figures:
    """What a story was made of."""

    virtual_s: float = 0.0
    settle_s: float = 0.0
    calls: int = 0
    promises: int = 0
    slots: int = 0
    trades: int = 0
    kills: int = 0
    pauses: int = 0
    starts: int = 0
    failovers: int = 0
    store_calls: int = 0
    repeats_sent: int = 0
    stream_repeats: int = 0
    faults: Counter[str] = field(default_factory=Counter)

    def plain(self) -> dict[str, Any]:
        """As JSON values."""
        return {one.name: getattr(self, one.name) for one in fields(self)} | {"faults": dict(self.faults)}


def failovers(taps: Taps) -> int:
    """How often a partition's next slot was written by another process than the one before."""
    count = 0
    for partition in range(PARTITIONS):
        writers = [decode_slot(data).writer for _, data in taps.journal.everything(partition)]
        count += sum(one != other for one, other in pairwise(writers))
    return count
