"""Recorded order flow: the file as rows, and the orders that the rows tell of.

Format: CSV, plain or xz, with the columns `id, timestamp, exchange.timestamp, price, volume, action, direction`; times
in milliseconds UTC, price with at most two decimals, volume in 10⁻⁸ of the base asset still open after the event.
Here a price is an integer of cents and a volume one of those 10⁻⁸.
"""

import csv
import lzma
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from decimal import Decimal, InvalidOperation
from enum import StrEnum
from pathlib import Path
from typing import IO

from exchange_core.money import InexactAmountError, to_units, units_text
from exchange_core.orders import Side

PRICE_DECIMALS = 2
VOLUME_DECIMALS = 8
_COLUMNS = {"id", "timestamp", "price", "volume", "action", "direction"}
_SIDES = {"bid": Side.BUY, "ask": Side.SELL}


class RecordingError(ValueError):
    """The file is not a recording; the message names the line."""


class Action(StrEnum):
    """What happened to a recorded order."""

    CREATED = "created"
    CHANGED = "changed"
    DELETED = "deleted"


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One line of the file. `volume` is what was open after it."""

    number: int
    recorded_id: int
    at_ms: int
    price: int
    volume: int
    action: Action
    side: Side


@dataclass(slots=True, kw_only=True)
class RecordedOrder:
    """One order as the venue's events tell it. `traded` is the volume that its `changed` and final `deleted` show."""

    recorded_id: int
    side: Side
    price: int
    volume: int
    is_created: bool
    traded: int = 0
    last_volume: int | None = None
    is_deleted: bool = False
    was_deleted_before_created: bool = False
    has_moved_price: bool = False
    met: set[int] = field(default_factory=set)
    """The orders it traded with at the venue, as far as equal volumes tell."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Recording:
    """The rows in recorded order, and the orders by recorded id."""

    rows: tuple[Row, ...]
    orders: dict[int, RecordedOrder]


def price_text(price: int) -> str:
    """Cents as exact decimal text."""
    return units_text(price, PRICE_DECIMALS)


def volume_text(volume: int) -> str:
    """A volume as exact decimal text in the base asset."""
    return units_text(volume, VOLUME_DECIMALS)


def read_recording(path: Path, *, limit: int | None = None) -> Recording:
    """The first `limit` rows of the file, or all; raises RecordingError, or OSError when it cannot be read."""
    try:
        with _open_text(path) as text:
            rows = tuple(_read_rows(text, limit))
    except (lzma.LZMAError, EOFError, UnicodeDecodeError) as error:
        raise RecordingError(f"{path.name} is neither CSV nor CSV packed by xz: {error}") from error
    return Recording(rows=rows, orders=_gather_orders(rows))


def _open_text(path: Path) -> IO[str]:
    if path.suffix == ".xz":
        return lzma.open(path, "rt", encoding="ascii", newline="")
    return path.open(encoding="ascii", newline="")


def _read_rows(text: Iterable[str], limit: int | None) -> Iterator[Row]:
    reader = csv.DictReader(text)
    missing = _COLUMNS - set(reader.fieldnames or ())
    if missing:
        raise RecordingError(f"line 1: no column {', '.join(sorted(missing))}")
    for number, line in enumerate(reader):
        if number == limit:
            return
        try:
            yield Row(
                number=number,
                recorded_id=int(line["id"]),
                at_ms=int(line["timestamp"]),
                price=to_units(Decimal(line["price"]), PRICE_DECIMALS),
                volume=int(line["volume"]),
                action=Action(line["action"]),
                side=_SIDES[line["direction"]],
            )
        except (ValueError, KeyError, TypeError, InvalidOperation, InexactAmountError) as error:
            raise RecordingError(f"line {number + 2}: {error!r}") from error


def _gather_orders(rows: Iterable[Row]) -> dict[int, RecordedOrder]:
    orders: dict[int, RecordedOrder] = {}
    trades: list[tuple[Row, int | None]] = []
    for row in rows:
        order = orders.get(row.recorded_id)
        if order is None:
            order = orders[row.recorded_id] = RecordedOrder(
                recorded_id=row.recorded_id,
                side=row.side,
                price=row.price,
                volume=row.volume,
                is_created=row.action is Action.CREATED,
            )
        trade = _apply(order, row)
        if trade is not None:
            trades.append(trade)
    _pair_trades(trades, orders)
    return orders


def _apply(order: RecordedOrder, row: Row) -> tuple[Row, int | None] | None:
    """Add one row to its order; a row that shows a trade comes back with the volume traded, None if unknown."""
    before, order.last_volume = order.last_volume, row.volume
    order.has_moved_price |= row.price != order.price
    if row.action is Action.CREATED:
        order.was_deleted_before_created = order.is_deleted
        order.is_created, order.volume, order.price = True, row.volume, row.price
        return None
    is_cancel = row.action is Action.DELETED and row.volume > 0
    order.is_deleted |= row.action is Action.DELETED
    if is_cancel:
        return None
    if before is None:
        return row, None
    if before <= row.volume:
        return None
    order.traded += before - row.volume
    return row, before - row.volume


PAIR_ROWS = 12
"""The two sides of a trade stand this close to each other in the recording."""
ROUNDING = 2
"""The venue rounds what is left; its two sides of one trade may differ by this much."""


def _pair_trades(trades: list[tuple[Row, int | None]], orders: dict[int, RecordedOrder]) -> None:
    """Note who met whom: the nearest row of the other side with the same volume, or with an unknown one."""
    waiting: list[tuple[Row, int | None]] = []
    for row, volume in trades:
        waiting = [other for other in waiting if row.number - other[0].number <= PAIR_ROWS]
        partner = _partner(row, volume, waiting)
        if partner is None:
            waiting.append((row, volume))
            continue
        waiting.remove(partner)
        orders[row.recorded_id].met.add(partner[0].recorded_id)
        orders[partner[0].recorded_id].met.add(row.recorded_id)


def _partner(row: Row, volume: int | None, waiting: list[tuple[Row, int | None]]) -> tuple[Row, int | None] | None:
    others = [other for other in reversed(waiting) if other[0].side is not row.side]
    for other in others:
        if volume is not None and other[1] is not None and abs(volume - other[1]) <= ROUNDING:
            return other
    for other in others:
        if (volume is None) != (other[1] is None):
            return other
    return None
