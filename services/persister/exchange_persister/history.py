"""The analysts' copy of what happened: JSON lines, one an event, in zstd.

The same slots always give the same bytes. After a crash between the archive and the database a slot may stand in two
objects whose names begin with the same slot; its lines are then the same in both, and (partition, slot, line) tells
them apart from others. Objects cover every slot, those without events too.
"""

from collections.abc import Iterator, Sequence
from itertools import groupby
from operator import itemgetter
from typing import Any, Final

import orjson
import zstandard

from exchange_core.codec import Slot
from exchange_core.events import EVENT_CLASSES, Event
from exchange_core.wire import DecodeError, from_plain, to_plain

_ZSTD_LEVEL: Final = 3
_WRITER: Final = "history"
"""Stands where the matcher's name was, which the archive does not keep."""


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


def history_slots(data: bytes, partition: int, first: int, last: int, at_ms: int) -> Iterator[Slot]:
    """The slots first..last of an object, with what a journal needs of them; raises DecodeError.

    One without events has left no line: it takes the time of the slot before it, `at_ms` to begin with. What was
    archived had been in the stream, so each slot says that all before it were fed.
    """
    try:
        with zstandard.ZstdDecompressor().stream_reader(data, read_across_frames=True) as reader:
            lines = [orjson.loads(line) for line in reader.readall().splitlines()]
    except (zstandard.ZstdError, orjson.JSONDecodeError) as error:
        raise DecodeError("not an object of the history") from error
    found = {n: list(group) for n, group in groupby(lines, key=itemgetter("slot"))}
    for n in range(first, last + 1):
        rows = found.get(n, [])
        at_ms = rows[0]["at_ms"] if rows else at_ms
        events = tuple(_event(row) for row in rows)
        yield Slot(partition=partition, n=n, at_ms=at_ms, fed_through=n - 1, writer=_WRITER, events=events)


def _event(row: dict[str, Any]) -> Event:
    try:
        kind = EVENT_CLASSES[row["type"]]
    except KeyError as error:
        raise DecodeError(f"not an event: {row.get('type')!r}") from error
    event: Event = from_plain(kind, row, is_ours=True)
    return event
