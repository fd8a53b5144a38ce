"""What a book is to the rules above it: the interface that the fast book and the naive reference both keep."""

from collections.abc import Iterator, Sequence
from enum import Enum, auto
from typing import Protocol, TypeAlias

from exchange_core.market_data import Level
from exchange_core.open_order import OpenOrder


class StepKind(Enum):
    """What happened between a taker and the next order in its way."""

    TRADE = auto()
    DECREMENT = auto()
    """Both are of one user: both shrank, nothing was traded."""
    MAKER_CANCELED = auto()
    """Both are of one user: the resting one gave way."""


class Outcome(Enum):
    """Why a taker stopped."""

    FILLED = auto()
    NOTHING_IN_REACH = auto()
    """No order on the other side at the worst price or better."""
    BUDGET_SPENT = auto()
    """What is left of its budget does not buy a lot at the best price."""
    STEP_LIMIT = auto()
    SELF_TRADE = auto()
    """Self-trade prevention ended it."""


Step: TypeAlias = tuple[StepKind, OpenOrder, int, int, bool]
"""(kind, maker, price in ticks, quantity in lots, whether the maker is out of the book by this step)."""


class OrderBook(Protocol):
    """Resting orders of one symbol by price, then time. Knows no money but the price of a lot, and no events."""

    def add(self, order: OpenOrder, visible: int | None = None) -> None:
        """Let it rest, behind all others at its price; it shows `visible` lots (None: as a newcomer does)."""
        ...

    def remove(self, order: OpenOrder) -> None:
        """Take a resting order out."""
        ...

    def shrink(self, order: OpenOrder, remaining: int) -> None:
        """Lower a resting order's `remaining`; it keeps its place."""
        ...

    def consume(self, order: OpenOrder, quantity: int) -> bool:
        """Take up to `visible` lots off a resting order. An iceberg with nothing left to show shows more, behind
        all others at its price; an order with nothing left is removed. Returns whether it was removed."""
        ...

    def take(self, taker: OpenOrder, worst_price: int, steps_max: int) -> tuple[list[Step], Outcome]:
        """Match a taker that does not rest against the other side; both are changed by what happens."""
        ...

    def can_fill(self, taker: OpenOrder, worst_price: int, steps_max: int) -> bool:
        """Whether `take` would trade all of its `remaining`: no order of its own in the way, but one that gives way."""
        ...

    def best_price(self, side_is_buy: bool) -> int | None:
        """The highest bid or the lowest ask, in ticks."""
        ...

    def depth(self, side_is_buy: bool, levels_max: int) -> Sequence[Level]:
        """The best levels, best first, as they are shown."""
        ...

    def in_priority(self, side_is_buy: bool) -> Iterator[OpenOrder]:
        """All orders of a side in the order in which they would trade."""
        ...
