"""What is sent for a recording, and what may be in flight together with what.

`created` becomes a place, `deleted` with volume left a cancel; nothing else is sent. Submissions start in the recorded
order, many at a time, under rules that make the outcome that of the recorded order, one by one:

1. an order that would trade on entry goes alone: after everything before it was answered, before anything after it;
2. a place waits for an unanswered place of the same side and price (they queue in time), and for unanswered cancels of
   orders that it would otherwise have met;
3. a cancel waits for its own order's answer.

Any two others commute: whichever arrives first, the book is the same. An answer means that the command is in the
queue; while the queue is down the exchange answers earlier and sends later, and then order may be lost: the report
counts what came out otherwise.
"""

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass, field

from crossbook.replay_model import ReplayModel, crosses
from crossbook.replay_recording import Action, Recording, Row
from exchange_core.orders import Side


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


@dataclass(slots=True)
class Schedule:
    """Says what each step must wait for. Bounded by what is in flight: an answered step is forgotten."""

    model: ReplayModel = field(default_factory=ReplayModel)
    _barrier: Answered | None = None
    _in_flight: dict[Answered, Step] = field(default_factory=dict)
    _placing: dict[int, Answered] = field(default_factory=dict)

    def admit(self, step: Step, answered: Answered) -> list[Answered]:
        """Add the step, in recorded order, and return what it must wait for. Complete `answered` when it was."""
        row = step.row
        if step.is_cancel:
            waits = self._waits(self._placing.get(row.recorded_id))
            self.model.cancel(row.recorded_id)
        elif self.model.would_trade(row.side, row.price):
            waits = list(self._in_flight)
            self._barrier = answered
            self.model.place(row.recorded_id, row.side, row.price, row.volume)
        else:
            waits = self._waits(*self._conflicting(row.side, row.price))
            self.model.place(row.recorded_id, row.side, row.price, row.volume)
        if not step.is_cancel:
            self._placing[row.recorded_id] = answered
        self._in_flight[answered] = step
        answered.add_done_callback(self._forget)
        return waits

    def _waits(self, *others: Answered | None) -> list[Answered]:
        return [other for other in (self._barrier, *others) if other is not None and not other.done()]

    def _conflicting(self, side: Side, price: int) -> list[Answered]:
        return [
            answered
            for answered, step in self._in_flight.items()
            if (
                step.row.side is not side and crosses(side, price, step.row.price)
                if step.is_cancel
                else step.row.side is side and step.row.price == price
            )
        ]

    def _forget(self, answered: Answered) -> None:
        step = self._in_flight.pop(answered)
        if self._barrier is answered:
            self._barrier = None
        if not step.is_cancel:
            self._placing.pop(step.row.recorded_id, None)
