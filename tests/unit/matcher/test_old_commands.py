"""What waited in the queue for longer than the engine remembers: taken once, if nobody sends it again."""

import asyncio
from dataclasses import replace
from typing import Any

import pytest

from exchange_adapters.sim import Faults, SimJournal
from exchange_adapters.sim.virtual_time import in_virtual_time
from exchange_core.codec import Slot, encode_commands, encode_slot
from exchange_core.commands import CancelAllOrders, Command, SetCancelTimer, SetSymbolStatus
from exchange_core.events import CommandRefused, OrderDone
from exchange_core.instruments import SymbolStatus
from exchange_core.orders import Reason
from exchange_core.ports import Delivery
from exchange_core.topology import COMMAND_MAX_AGE_MS, COMMAND_RETENTION_S, DEDUP_WINDOW_MS, QUEUED_AT_ONCE_MS
from exchange_matcher import old_commands
from exchange_matcher.old_commands import carried_out, is_dropped
from exchange_matcher.retry import Outage
from tests.unit.matcher.support import START_MS, SYMBOL, cancel, listed_world, order

NAMES: dict[str, Any] = {"command_id": 2, "user_id": "alice", "symbol": SYMBOL, "entered_at_ms": START_MS}
WITHOUT_INTENT: list[Command] = [
    cancel(2, 1),
    CancelAllOrders(**NAMES),
    SetCancelTimer(**NAMES, deadline_ms=None),
    SetSymbolStatus(**NAMES, status=SymbolStatus.HALTED),
]
DAYS_LATER_MS = START_MS + COMMAND_RETENTION_S * 1000


def delivery(*commands: Command, sent_at_ms: int = START_MS, receive_count: int = 1) -> Delivery:
    return Delivery(
        message_id="m",
        receipt="r",
        group=SYMBOL,
        body=encode_commands(commands),
        sent_at_ms=sent_at_ms,
        receive_count=receive_count,
    )


def test_what_has_an_intent_is_taken_for_fifteen_minutes() -> None:
    placed = order(1, entered_at_ms=START_MS)
    assert not is_dropped(placed, delivery(placed), START_MS + COMMAND_MAX_AGE_MS)
    assert is_dropped(placed, delivery(placed), START_MS + COMMAND_MAX_AGE_MS + 1)


@pytest.mark.parametrize("command", WITHOUT_INTENT, ids=lambda command: type(command).__name__)
def test_what_has_none_is_taken_whenever_it_came_into_the_queue_at_once(command: Command) -> None:
    in_time = delivery(command, sent_at_ms=START_MS + QUEUED_AT_ONCE_MS)
    late = delivery(command, sent_at_ms=START_MS + QUEUED_AT_ONCE_MS + 1)
    assert not is_dropped(command, in_time, DAYS_LATER_MS)
    assert is_dropped(command, in_time, DAYS_LATER_MS, {command.command_id}), "a slot shows it"
    assert not is_dropped(command, late, START_MS + COMMAND_MAX_AGE_MS)
    assert is_dropped(command, late, START_MS + COMMAND_MAX_AGE_MS + 1)


@pytest.mark.parametrize("page_slots", [1, 2, 3, 100])
async def test_the_journal_is_read_back_to_their_sending(monkeypatch: pytest.MonkeyPatch, page_slots: int) -> None:
    monkeypatch.setattr(old_commands, "PAGE_SLOTS", page_slots)
    journal = SimJournal()
    for n in range(1, 10):
        refused = CommandRefused(
            seq=n, symbol=SYMBOL, cause=100 + n, user_id="alice", order_id=1, reason=Reason.ORDER_NOT_FOUND
        )
        at_ms = START_MS + 10_000 * (n - 5)
        slot = Slot(partition=0, n=n, at_ms=at_ms, fed_through=n - 1, writer="w", events=(refused,))
        await journal.put(0, n, encode_slot(slot))

    async def shown(*deliveries: Delivery) -> set[int]:
        outage = Outage("commands", asyncio.Event())
        return await carried_out(deliveries, DAYS_LATER_MS, partition=0, n=8, journal=journal, outage=outage)

    assert await shown(*[delivery(cancel(100 + n, 1), receive_count=2) for n in (5, 7, 9, 10)]) == {105, 107}
    assert await shown(delivery(cancel(105, 1))) == set(), "handed out for the first time"
    assert await shown(delivery(order(105, entered_at_ms=START_MS), receive_count=2)) == set(), "the sweeper's"


async def test_the_journal_is_read_no_further_back_than_that(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(old_commands, "PAGE_SLOTS", 1)
    faults = Faults()
    journal = SimJournal(faults=faults)
    for n in range(1, 21):
        slot = Slot(partition=0, n=n, at_ms=START_MS + 60_000 * (n - 15), fed_through=n - 1, writer="w", events=())
        await journal.put(0, n, encode_slot(slot))
    old = delivery(cancel(2, 1), receive_count=2)
    outage = Outage("commands", asyncio.Event())
    assert not await carried_out([old], DAYS_LATER_MS, partition=0, n=20, journal=journal, outage=outage)
    assert faults.calls["journal.read"] == 8, "slots 20 to 13, the first of before it was sent and a minute for clocks"


@in_virtual_time
async def test_a_cancel_that_waited_for_a_matcher_for_hours_ends_its_order() -> None:
    world = await listed_world()
    host = world.start()
    await world.send(order(10, entered_at_ms=world.clock.now_ms()))
    await world.until_drained()
    await host.stop()
    await world.send(replace(cancel(11, 10), entered_at_ms=world.clock.now_ms()))
    await asyncio.sleep(5 * 3600)
    host = world.start()
    await world.until_drained()
    events = [event for slot in await world.slots() for event in slot.events if isinstance(event, OrderDone)]
    assert [(event.order_id, event.reason) for event in events] == [(10, Reason.USER_CANCELED)]
    await world.assert_sound([1, 10, 11])
    await host.stop()


@in_virtual_time
async def test_one_that_was_journaled_and_not_deleted_is_known_after_any_time() -> None:
    world = await listed_world()
    host = world.start()
    await world.send(order(10, entered_at_ms=world.clock.now_ms()))
    await world.until_drained()
    host.faults.script("sqs.delete", ["before"] * 50)
    await world.send(replace(cancel(11, 10), entered_at_ms=world.clock.now_ms()))
    while not [slot for slot in await world.slots() if any(event.cause == 11 for event in slot.events)]:
        await asyncio.sleep(0.1)
    await host.kill()
    await asyncio.sleep(DEDUP_WINDOW_MS / 1000 + 60)
    host = world.start()
    await world.until_drained()
    await world.assert_sound([1, 10, 11])
    await host.stop()
