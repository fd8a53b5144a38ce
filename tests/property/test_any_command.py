"""Whatever a command says, the engine answers with events that can be journaled, folded and paid for."""

import os
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from exchange_core.codec import Slot, decode_slot, encode_slot
from exchange_core.commands import CASH_DESK, Command, PlaceOrder
from exchange_core.engine import PartitionEngine
from exchange_core.events import Event
from exchange_core.ledger import postings
from tests.property.messages import COMMANDS, messages
from tests.unit.core.room import START_MS, SYMBOL, Room

EXAMPLES = int(os.environ.get("CROSSBOOK_EXAMPLES", "1"))
SYMBOLS = st.sampled_from([SYMBOL, SYMBOL, "NOSUCH", CASH_DESK, ""])
NEARLY_GOOD: st.SearchStrategy[Any] = messages(
    PlaceOrder,
    symbol=SYMBOLS,
    order_id=st.integers(min_value=-2, max_value=20),
    user_id=st.sampled_from(["ann", "ben"]),
    quantity=st.none() | st.integers(min_value=0, max_value=9),
    price=st.none() | st.integers(min_value=0, max_value=120),
    hold_asset=st.sampled_from(["USD", "BTC"]),
)


@settings(
    max_examples=150 * EXAMPLES,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much],
)
@given(st.lists(COMMANDS | NEARLY_GOOD, max_size=12), st.lists(st.text(max_size=3), max_size=2))
def test_nothing_raises_and_the_fold_agrees(commands: list[Command], groups: list[str]) -> None:
    room = Room()
    events: list[Event] = list(room.log)
    for command in commands:
        told = room.engine.execute(command, START_MS)
        assert not room.engine.execute(command, START_MS) or command.command_id <= 0
        events += told
    events += [event for group in groups for event in room.engine.refuse_undecodable(group, 5, "digest")]
    # a command without a name of its own may be refused twice: only the journal of what was told counts
    folded = PartitionEngine(0)
    if all(command.command_id > 0 for command in commands):
        slot = Slot(partition=0, n=1, at_ms=START_MS, fed_through=0, writer="w", events=tuple(events))
        decoded = decode_slot(encode_slot(slot))
        assert decoded == slot
        folded.apply_slot(decoded)
        assert folded.state_hash() == room.engine.state_hash()
    assert PartitionEngine.restore(room.engine.snapshot()).state_hash() == room.engine.state_hash()
    for event in events:
        assert all(posting.amount > 0 for posting in postings(event, room.engine.instruments, 0))
    room.engine.begin_slot(START_MS + 10**9)
