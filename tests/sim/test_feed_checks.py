"""What a listener is told and is not so is found, whatever of it is not so."""

import copy
from collections.abc import Callable
from typing import Any

import pytest

from simulation.checks.feeds import depth_is_the_book, notices_are_true
from simulation.checks.stores import Case
from simulation.clients.history import Heard, History
from simulation.market import USERS
from simulation.trouble.weather import Weather
from simulation.world import Aftermath, live


@pytest.fixture(scope="module")
def told() -> Aftermath:
    return live(1, weather=Weather(chaos_s=8.0))


def found(aftermath: Aftermath, notices: list[Heard]) -> list[str]:
    return list(notices_are_true(History(notices=notices), Case(aftermath).judgement.fold, aftermath))


def place(notices: list[Heard], event: str, **fields: Any) -> int:
    """The first notice of this kind in which the named fields are not as given, to the user who traded in the storm."""
    return next(
        at
        for at, heard in enumerate(notices)
        if (heard.message["event"], heard.listener) == (event, USERS[0])
        and all(heard.message[name] != value for name, value in fields.items())
    )


def with_fields(event: str, **fields: Any) -> Callable[[list[Heard]], None]:
    def change(notices: list[Heard]) -> None:
        notices[place(notices, event, **fields)].message.update(fields)

    return change


def told_twice(notices: list[Heard]) -> None:
    notices.append(notices[place(notices, "order")])


def told_to_another(notices: list[Heard]) -> None:
    notices[place(notices, "order")].listener = USERS[1]


def before_it_was_so(notices: list[Heard]) -> None:
    at = place(notices, "order", filled_quantity=0)
    notices[at].message["seq"] -= 1


def more_than_he_has(notices: list[Heard]) -> None:
    message = notices[place(notices, "balance")].message
    message["available"] += 1000
    message["total"] += 1000


def test_what_is_true_is_no_difference(told: Aftermath) -> None:
    kinds = {(heard.listener, heard.message["event"]) for heard in told.history.notices}
    assert {(USERS[0], "order"), (USERS[0], "balance")} <= kinds
    assert found(told, told.history.notices) == []


@pytest.mark.parametrize(
    "tamper",
    [
        with_fields("order", status="expired"),
        with_fields("order", filled_quantity=0),
        with_fields("order", filled_quote=0),
        with_fields("order", fee=0),
        with_fields("order", reason="self_trade"),
        with_fields("balance", held=123),
        more_than_he_has,
        told_twice,
        told_to_another,
        before_it_was_so,
    ],
    ids=("status", "filled", "quote", "fee", "reason", "held", "total", "twice", "another's", "too early"),
)
def test_what_is_not_true_is_found(told: Aftermath, tamper: Callable[[list[Heard]], None]) -> None:
    notices = copy.deepcopy(told.history.notices)
    tamper(notices)
    assert len(found(told, notices)) == 1


def other_quantity(book: dict[str, Any]) -> None:
    price, _ = book["bids"][0]
    book["bids"] = [(price, "77"), *book["bids"][1:]]


def other_price(book: dict[str, Any]) -> None:
    _, quantity = book["bids"][-1]
    book["bids"] = [*book["bids"][:-1], ("0.001", quantity)]


def level_lost(book: dict[str, Any]) -> None:
    book["asks"] = book["asks"][1:]


def level_too_many(book: dict[str, Any]) -> None:
    book["asks"] = [*book["asks"], ("999", "1")]


def of_another_seq(book: dict[str, Any]) -> None:
    book["seq"] += 1_000


@pytest.mark.parametrize("tamper", [other_quantity, other_price, level_lost, level_too_many, of_another_seq])
def test_a_book_that_never_was_is_found(told: Aftermath, tamper: Callable[[dict[str, Any]], None]) -> None:
    fold = Case(told).judgement.fold
    assert not list(depth_is_the_book(told.history, fold, told))
    books = copy.deepcopy(told.history.books)
    tamper(next(heard.message for heard in books if heard.message["bids"] and heard.message["asks"]))
    assert len(list(depth_is_the_book(History(books=books), fold, told))) == 1
