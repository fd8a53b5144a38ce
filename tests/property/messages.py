"""Strategies for any command and any event, by the declared types of their fields."""

import types
import typing
from dataclasses import fields
from decimal import Decimal
from enum import StrEnum
from typing import Any

from hypothesis import strategies as st

from exchange_core.codec import Slot
from exchange_core.commands import Command
from exchange_core.events import Event
from exchange_core.instruments import Instrument, SymbolStatus
from exchange_core.wire import MAX_INTEGER

TEXT = st.text(st.characters(codec="utf-8"), max_size=12)
INTEGERS = st.one_of(
    st.integers(min_value=0, max_value=300), st.integers(min_value=-MAX_INTEGER, max_value=MAX_INTEGER)
)
INSTRUMENTS = st.builds(
    Instrument,
    symbol=st.sampled_from(["BTCUSD", "ETHUSD", "XRPEUR"]),
    base=st.sampled_from(["BTC", "ETH"]),
    quote=st.sampled_from(["USD", "EUR"]),
    base_decimals=st.just(8),
    quote_decimals=st.just(10),
    tick_size=st.sampled_from([Decimal("0.01"), Decimal(5), Decimal("1E+2")]),
    lot_size=st.sampled_from([Decimal("0.00000001"), Decimal("0.5")]),
    min_quantity=st.integers(min_value=1, max_value=5),
    max_quantity=st.integers(min_value=5, max_value=10**9),
    min_notional=st.integers(min_value=0, max_value=10**6),
    maker_fee_bps=st.integers(min_value=0, max_value=1_000),
    taker_fee_bps=st.integers(min_value=0, max_value=1_000),
    band_bps=st.integers(min_value=1, max_value=100_000),
    reference_price=st.integers(min_value=1, max_value=10**9),
    partition=st.integers(min_value=0, max_value=1),
    max_open_orders=st.integers(min_value=1, max_value=100_000),
    breaker_bps=st.integers(min_value=0, max_value=1_000),
    breaker_window_ms=st.integers(min_value=0, max_value=1_000),
    breaker_halt_ms=st.integers(min_value=0, max_value=1_000),
    status=st.sampled_from(SymbolStatus),
)


def values(hint: Any) -> st.SearchStrategy[Any]:
    """Any value of a field's type."""
    if isinstance(hint, types.UnionType):
        (inner,) = [part for part in typing.get_args(hint) if part is not types.NoneType]
        return st.none() | values(inner)
    if hint is Instrument:
        return INSTRUMENTS
    if issubclass(hint, StrEnum):
        return st.sampled_from(hint)
    return {int: INTEGERS, str: TEXT, bool: st.booleans()}[hint]


def messages(kind: Any, **given: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """Any message of a class; `given` replaces the strategy of a field."""
    hints = typing.get_type_hints(kind)
    return st.builds(kind, **{field.name: given.get(field.name, values(hints[field.name])) for field in fields(kind)})


COMMANDS: st.SearchStrategy[Command] = st.one_of([messages(kind) for kind in typing.get_args(Command)])
EVENTS: st.SearchStrategy[Event] = st.one_of([messages(kind) for kind in typing.get_args(Event)])
SLOTS = st.builds(
    Slot,
    partition=st.integers(min_value=0, max_value=9),
    n=st.integers(min_value=1, max_value=2**40),
    at_ms=st.integers(min_value=0, max_value=2**42),
    fed_through=st.integers(min_value=0, max_value=2**40),
    writer=TEXT,
    events=st.lists(EVENTS, max_size=12).map(tuple),
)
