"""Messages made fast cannot be told from messages made by their class."""

import copy
import pickle
from dataclasses import FrozenInstanceError, fields
from typing import get_args

import pytest

from exchange_core.construct import extending, positional
from exchange_core.events import Event, OrderAccepted
from exchange_core.orders import OrderTerms
from tests.unit.core.room import BUY, Room


@pytest.mark.parametrize("kind", get_args(Event), ids=lambda kind: kind.__name__)
def test_a_message_made_by_position_is_the_message_made_by_name(kind: type) -> None:
    values = {field.name: f"value of {field.name}" for field in fields(kind)}
    fast = positional(kind)(*values.values())
    assert fast == kind(**values) and type(fast) is kind
    assert hash(fast) == hash(kind(**values)) and repr(fast) == repr(kind(**values))
    with pytest.raises(FrozenInstanceError):
        fast.seq = 5
    with pytest.raises(FrozenInstanceError):
        del fast.seq
    assert copy.copy(fast) == fast == pickle.loads(pickle.dumps(fast))


def test_a_message_extends_another_that_has_the_same_terms() -> None:
    order = Room().order("ann", BUY, 5, 100, client_order_id="c", trace_id="t")
    accepted = extending(OrderAccepted, OrderTerms)(order, 9)
    expected = {field.name: getattr(order, field.name) for field in fields(OrderTerms)}
    assert accepted == OrderAccepted(**expected, seq=9) and type(accepted) is OrderAccepted
