"""What a client is shown and is not so is found, whatever of it is not so."""

import copy
from collections import defaultdict
from collections.abc import Callable
from typing import Any

import pytest

from simulation.checks.reads import READ_CHECKS
from simulation.checks.stores import Case
from simulation.clients.history import Call, History
from simulation.market import USERS
from simulation.trouble.weather import Weather
from simulation.world import Aftermath, live

Tamper = Callable[[History], None]


@pytest.fixture(scope="module")
def lived() -> Aftermath:
    """The first world in which some command was refused and its sender asked."""
    for seed in range(1, 40):
        aftermath = live(seed, weather=Weather(pause_s=0.1))
        if {"done", "refused"} <= {call.answer["status"] for call in answered(aftermath.history, "verdict")}:
            return aftermath
    raise AssertionError("nobody asked for the verdict of a refused command")


def found(aftermath: Aftermath, history: History) -> set[str]:
    fold = Case(aftermath).judgement.fold
    return {name for name, check in READ_CHECKS.items() if list(check(history, fold, aftermath))}


def answered(history: History, *kinds: str) -> list[Call]:
    return [call for call in history.calls if call.kind in kinds and call.status == 200]


def rows(history: History, kind: str) -> list[dict[str, Any]]:
    """What the lists of this kind show, the last list first."""
    name = {"open_orders": "orders"}.get(kind, kind)
    return [row for call in reversed(answered(history, kind)) for row in call.answer[name]]


def with_row(kind: str, name: str, value: Any) -> Tamper:
    def change(history: History) -> None:
        next(row for row in rows(history, kind) if row[name] != value)[name] = value

    return change


def without_row(kind: str, name: str) -> Tamper:
    """Of three lists of one user that show the same order, or fills of it, the second one lacks it."""

    def change(history: History) -> None:
        lists: dict[str, list[Call]] = defaultdict(list)
        for call in answered(history, kind):
            for order_id in {row["order_id"] for row in call.answer[name]}:
                lists[order_id].append(call)
        order_id, calls = next((order_id, calls) for order_id, calls in lists.items() if len(calls) > 2)
        calls[1].answer[name] = [row for row in calls[1].answer[name] if row["order_id"] != order_id]

    return change


def asked_by_another(kind: str) -> Tamper:
    def change(history: History) -> None:
        name = {"open_orders": "orders"}.get(kind, kind)
        call = next(call for call in answered(history, kind) if call.answer[name])
        call.user_id = next(user_id for user_id in USERS if user_id != call.user_id)

    return change


def with_gap(history: History) -> None:
    trades = next(call for call in answered(history, "trades") if len(call.answer["trades"]) > 2).answer["trades"]
    del trades[1]


def ended_and_still_open(history: History) -> None:
    ended = next(row for row in rows(history, "orders") if row["status"] == "filled")
    answered(history, "open_orders")[-1].answer["orders"].append(ended)


def out_of_thin_air(history: History) -> None:
    balance = rows(history, "balances")[0]
    balance["available"] += 1000
    balance["total"] += 1000


def turned(status: str) -> Tamper:
    def change(history: History) -> None:
        verdict = next(call.answer for call in answered(history, "verdict") if call.answer["status"] == status)
        verdict["status"] = "refused" if status == "done" else "done"

    return change


def for_another_reason(history: History) -> None:
    verdict = next(call.answer for call in answered(history, "verdict") if call.answer["status"] == "refused")
    verdict["reason"] = "too_late"


def unknown(history: History) -> None:
    answered(history, "verdict")[-1].status = 404


def pending_again(history: History) -> None:
    told = next(call for call in answered(history, "verdict") if call.answer["status"] == "done")
    later = answered(history, "balances")[-1]
    assert later.at_ms > told.ended_ms
    later.kind, later.target, later.answer = "verdict", told.target, {"status": "pending"}


STOOD_SO = "reads: orders stood so"
WHOLE = "reads: lists are whole"
HAPPENED = "reads: fills and trades happened"
BALANCES = "reads: balances stood so"
VERDICTS = "reads: verdicts are true"

TAMPERINGS: dict[str, tuple[Tamper, str]] = {
    "status": (with_row("orders", "status", "expired"), STOOD_SO),
    "filled": (with_row("orders", "filled_quantity", 0), STOOD_SO),
    "fee": (with_row("orders", "fee", 0), STOOD_SO),
    "another's order": (asked_by_another("orders"), STOOD_SO),
    "another's open order": (asked_by_another("open_orders"), STOOD_SO),
    "lost": (without_row("orders", "orders"), WHOLE),
    "lost and open": (without_row("open_orders", "orders"), WHOLE),
    "ended and open": (ended_and_still_open, WHOLE),
    "lost fill": (without_row("fills", "fills"), WHOLE),
    "another's fill": (asked_by_another("fills"), HAPPENED),
    "price": (with_row("fills", "price", 1), HAPPENED),
    "quantity": (with_row("fills", "quantity", 1000), HAPPENED),
    "maker": (with_row("fills", "is_maker", True), HAPPENED),
    "taker": (with_row("fills", "is_maker", False), HAPPENED),
    "trade": (with_row("trades", "seq", 0), HAPPENED),
    "gap": (with_gap, HAPPENED),
    "held": (with_row("balances", "held", 77), BALANCES),
    "total": (out_of_thin_air, BALANCES),
    "done": (turned("done"), VERDICTS),
    "refused": (turned("refused"), VERDICTS),
    "reason": (for_another_reason, VERDICTS),
    "unknown": (unknown, VERDICTS),
    "pending again": (pending_again, VERDICTS),
}


def test_what_was_so_is_no_difference(lived: Aftermath) -> None:
    assert found(lived, lived.history) == set()


@pytest.mark.parametrize("name", TAMPERINGS)
def test_what_was_not_so_is_found(lived: Aftermath, name: str) -> None:
    tamper, check = TAMPERINGS[name]
    history = copy.deepcopy(lived.history)
    tamper(history)
    assert check in found(lived, history)
