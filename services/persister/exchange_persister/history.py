"""The analysts' copy of what happened: JSON lines, one an event, in zstd.

The same slots always give the same bytes. After a crash between the archive and the database a slot may stand in two
objects whose names begin with the same slot; its lines are then the same in both, and (partition, slot, line) tells
them apart from others. Objects cover every slot, those without events too.
"""

from collections.abc import Iterator, Sequence
from typing import Final

import orjson
import zstandard

from exchange_core.codec import Slot
from exchange_core.wire import to_plain

_ZSTD_LEVEL: Final = 3


def history_object(slots: Sequence[Slot]) -> bytes:
    """The bytes of the object that holds these slots."""
    return zstandard.ZstdCompressor(level=_ZSTD_LEVEL).compress(b"".join(history_lines(slots)))


def history_lines(slots: Sequence[Slot]) -> Iterator[bytes]:
    """One an event: where it stands, its type, then its own fields (prices in ticks, quantities in lots, amounts in
    smallest units, ids as numbers, decimals as text)."""
    for slot in slots:
        for line, event in enumerate(slot.events):
            kind: type = type(event)
            place = {
                "partition": slot.partition,
                "slot": slot.n,
                "line": line,
                "at_ms": slot.at_ms,
                "type": kind.__name__,
            }
            yield orjson.dumps(place)[:-1] + b"," + orjson.dumps(event, default=to_plain)[1:] + b"\n"
