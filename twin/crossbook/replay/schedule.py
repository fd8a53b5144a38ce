"""What is sent for a recording, and what may be in flight together with what.

`created` becomes a place, `deleted` with volume left a cancel; nothing else is sent. Submissions start in the recorded
order, many at a time, under rules that make the outcome that of the recorded order, one by one:

1. a place waits for unanswered places and cancels of the other side that its limit crosses: it might meet them;
2. a place waits for unanswered places of its own side at its price, where they queue in time, and for those that trade
   on entry with a price that it would meet as well: both want the same orders;
3. a cancel waits for its own order's answer, and for unanswered places whose limit crosses it: they might meet it.

Any two others commute: whichever arrives first, the book is the same. An answer means that the command is in the
queue; while the queue is down the exchange answers earlier and sends later, and then order may be lost: the report
counts what came out otherwise.
"""

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass, field

from crossbook.replay.model import ReplayModel, crosses
from crossbook.replay.recording import Action, Recording, Row


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One command: a place, or the cancel of an order placed before. `row` created the order; `number` and `due_ms`
    are of the row that led to this step."""

    row: Row
    is_cancel: bool
    number: int
    due_ms: int


@dataclass(slots=True, kw_only=True)
class Skipped:
    """Rows for which nothing is sent, counted by why."""

    changed: int = 0
    filled: int = 0
    older: int = 0
    repeated: int = 0


def steps(recording: Recording, skipped: Skipped) -> Iterator[Step]:
    """The commands in recorded order; an order that the recording deletes before it creates is canceled once placed."""
    placed: dict[int, Row] = {}
    canceled: set[int] = set()
    for row in recording.rows:
        identifier = row.recorded_id
        if row.action is Action.CREATED:
            placed[identifier] = row
            yield _step(row, row, is_cancel=False)
            if identifier in canceled:
                yield _step(row, row, is_cancel=True)
        elif row.action is Action.CHANGED:
            skipped.changed += 1
        elif not row.volume:
            skipped.filled += 1
        elif identifier in canceled:
            skipped.repeated += 1
        else:
            canceled.add(identifier)
            if identifier in placed:
                yield _step(placed[identifier], row, is_cancel=True)
            elif not recording.orders[identifier].is_created:
                skipped.older += 1


def _step(placed: Row, row: Row, *, is_cancel: bool) -> Step:
    return Step(row=placed, is_cancel=is_cancel, number=row.number, due_ms=row.at_ms)


Answered = asyncio.Future[None]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Flight:
    """A step that is not answered yet. `meets` is the best price it trades at on entry, None if it rests."""

    step: Step
    meets: int | None


@dataclass(slots=True)
class Schedule:
    """Says what each step must wait for. Bounded by what is in flight: an answered step is forgotten."""

    model: ReplayModel = field(default_factory=ReplayModel)
    _in_flight: dict[Answered, _Flight] = field(default_factory=dict)

    def admit(self, step: Step, answered: Answered) -> list[Answered]:
        """Add the step, in recorded order, and return what it must wait for. Complete `answered` when it was."""
        row = step.row
        is_taker = not step.is_cancel and self.model.would_trade(row.side, row.price)
        flight = _Flight(step=step, meets=self.model.best(row.side.opposite) if is_taker else None)
        waits = [other for other, earlier in self._in_flight.items() if _conflicts(flight, earlier)]
        if step.is_cancel:
            self.model.cancel(row.recorded_id)
        else:
            self.model.place(row.recorded_id, row.side, row.price, row.volume)
        self._in_flight[answered] = flight
        answered.add_done_callback(self._in_flight.pop)
        return waits


def _conflicts(flight: _Flight, earlier: _Flight) -> bool:
    """Whether it matters which of the two arrives first."""
    row, other = flight.step.row, earlier.step.row
    if flight.step.is_cancel or earlier.step.is_cancel:
        if row.recorded_id == other.recorded_id:
            return True
        if flight.step.is_cancel and earlier.step.is_cancel:
            return False
        return row.side is not other.side and crosses(row.side, row.price, other.price)
    if row.side is not other.side:
        return crosses(row.side, row.price, other.price)
    return (
        row.price == other.price
        or (earlier.meets is not None and crosses(row.side, row.price, earlier.meets))
        or (flight.meets is not None and crosses(row.side, other.price, flight.meets))
    )
