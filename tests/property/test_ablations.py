"""Each checker of the matching test can fail: with one safeguard switched off, it does."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import run_state_machine_as_test

from exchange_core import book, fold, symbol_engine
from exchange_core.book import Book, _Queue
from exchange_core.memory import CommandMemory
from exchange_core.open_order import OpenOrder
from exchange_core.triggers import TriggerBook
from tests.property.test_matching import Matching


def insert_anywhere(keys: list[int], key: int) -> None:
    keys.append(key)


def refill_in_place(self: Book, order: OpenOrder, quantity: int) -> bool:
    order.remaining -= quantity
    order.visible -= quantity
    order.level.visible -= quantity
    if not order.remaining:
        self.remove(order)
        return True
    if not order.visible:
        order.visible = order.shown()
        order.level.visible += order.visible
    return False


def enter_in_front(self: _Queue, order: OpenOrder) -> None:
    order.level, order.previous, order.next = self, None, self.head
    if self.head is None:
        self.tail = order
    else:
        self.head.previous = order
    self.head = order
    self.visible += order.visible


def shrink_at_the_back(self: Book, order: OpenOrder, remaining: int) -> None:
    visible = min(order.visible, remaining)
    self.remove(order)
    order.remaining = remaining
    self.add(order, visible)


def trade_without_release(*values: Any) -> Any:
    return _TRADE(*values[:-1], 0)


def nothing(self: Any) -> Iterator[Any]:
    return iter(())


_TRADE = symbol_engine._trade
ABLATIONS: dict[str, tuple[Any, str, Callable[..., Any]]] = {
    "the newest trades first": (_Queue, "append", enter_in_front),
    "a smaller order loses its place": (Book, "shrink", shrink_at_the_back),
    "snapshots lack what is over": (CommandMemory, "groups", lambda _: []),
    "prices are not sorted": (book, "insort", insert_anywhere),
    "an iceberg keeps its place": (Book, "consume", refill_in_place),
    "fill or kill looks at nothing": (Book, "can_fill", lambda *_: True),
    "commands are forgotten": (CommandMemory, "remember", lambda *_: None),
    "a hold stays locked": (OpenOrder, "hold", lambda *_: 0),
    "the improvement is kept": (symbol_engine, "_trade", trade_without_release),
    "fees are rounded down": (symbol_engine, "fee_units", lambda received, bps: received * bps // 10_000),
    "snapshots lack waiting orders": (TriggerBook, "__iter__", nothing),
    "the fold does not let orders rest": (fold.SymbolFold, "end_slot", lambda _: None),
}


@pytest.mark.parametrize("name", sorted(ABLATIONS))
def test_a_missing_safeguard_is_noticed(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    owner, attribute, ablated = ABLATIONS[name]
    monkeypatch.setattr(owner, attribute, ablated)
    few = settings(
        max_examples=400,
        stateful_step_count=60,
        deadline=None,
        database=None,
        derandomize=True,
        print_blob=False,
        phases=[Phase.generate],
        report_multiple_bugs=False,
        suppress_health_check=list(HealthCheck),
    )
    with pytest.raises((AssertionError, AttributeError, KeyError, TypeError, ValueError)):
        run_state_machine_as_test(Matching, settings=few)  # type: ignore[no-untyped-call]
