"""From events to journal slots: as few as their size allows, never one command's events in two of them."""

from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Final

from exchange_core.codec import MAX_SLOT_BYTES, Slot, encode_slot
from exchange_core.events import Event

MAX_SLOT_EVENTS: Final = 4_000
"""A first guess at what fits; a slot that turns out too large is halved."""
_MAX_ITEM_BYTES: Final = 390_000
"""What a DynamoDB item can hold with its keys: more than that in one command is a bug of the engine's limits."""

Unit = Sequence[Event]
"""Events that stand or fall together: those of one command, or those that fell due."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EncodedSlot:
    """A slot and its bytes."""

    slot: Slot
    data: bytes


def pack_slots(
    units: Sequence[Unit], *, partition: int, after: int, at_ms: int, writer: str, max_bytes: int = MAX_SLOT_BYTES
) -> list[EncodedSlot]:
    """The slots that follow slot `after`, each fed before the next is put. Splitting a unit would leave half a command
    behind after a crash, with its id known and the rest of it lost."""
    packed: list[EncodedSlot] = []
    waiting = deque(_groups(units))
    while waiting:
        group = waiting.popleft()
        n = after + len(packed) + 1
        slot = Slot(
            partition=partition,
            n=n,
            at_ms=at_ms,
            fed_through=n - 1,
            writer=writer,
            events=tuple(chain.from_iterable(group)),
        )
        data = encode_slot(slot)
        if len(data) >= max_bytes and len(group) > 1:
            middle = len(group) // 2
            waiting.extendleft((group[middle:], group[:middle]))
            continue
        assert len(data) <= _MAX_ITEM_BYTES, f"one command made a slot of {len(data)} bytes"
        packed.append(EncodedSlot(slot=slot, data=data))
    return packed


def _groups(units: Sequence[Unit]) -> Iterator[list[Unit]]:
    group: list[Unit] = []
    count = 0
    for unit in units:
        if group and count + len(unit) > MAX_SLOT_EVENTS:
            yield group
            group, count = [], 0
        group.append(unit)
        count += len(unit)
    if group:
        yield group
