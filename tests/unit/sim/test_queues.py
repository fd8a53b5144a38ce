"""What only virtual time can show of the queues; the rest is in tests/conformance."""

import asyncio
from dataclasses import dataclass

import pytest

from exchange_adapters.sim import Fault, Faults, SimClock, SimCommandQueues
from exchange_adapters.sim.virtual_time import in_virtual_time
from exchange_core.errors import Fatal, Throttled, Unavailable
from exchange_core.ports import CommandMessage
from exchange_core.topology import COMMAND_RETENTION_S, COMMAND_VISIBILITY_S, QueueSpec, Topology


@dataclass(frozen=True, slots=True, kw_only=True)
class ImpatientTopology(Topology):
    def orders_queue(self, partition: int) -> QueueSpec:
        return QueueSpec(name=f"{partition}.fifo", dead_letter_name=f"{partition}-dead.fifo", max_receives=3)


def message(body: str, *, group: str = "BTCUSDT", dedup_id: str | None = None) -> CommandMessage:
    return CommandMessage(partition=0, group=group, dedup_id=dedup_id or body, body=body)


@in_virtual_time
async def test_dedup_ends_after_five_minutes():
    queues = SimCommandQueues()
    await queues.send(0, [message("a")])
    await asyncio.sleep(299)
    await queues.send(0, [message("a")])
    assert queues.depth(0) == 1
    await asyncio.sleep(1)
    await queues.send(0, [message("a")])
    assert queues.depth(0) == 2


@in_virtual_time
async def test_dedup_is_by_group():
    queues = SimCommandQueues()
    await queues.send(0, [message("a", group="BTCUSDT", dedup_id="1"), message("b", group="ETHUSDT", dedup_id="1")])
    assert queues.depth(0) == 2


@in_virtual_time
async def test_a_long_poll_wakes_at_once_when_a_message_comes():
    queues = SimCommandQueues()
    poll = asyncio.create_task(queues.receive(0, 20))
    await asyncio.sleep(7)
    await queues.send(0, [message("a")])
    assert [delivery.body for delivery in await poll] == ["a"]
    assert asyncio.get_running_loop().time() == 7


@in_virtual_time
async def test_a_long_poll_ends_empty_after_its_wait():
    assert await SimCommandQueues().receive(0, 20) == []
    assert asyncio.get_running_loop().time() == 20


@in_virtual_time
async def test_a_long_poll_wakes_when_visibility_runs_out():
    queues = SimCommandQueues()
    await queues.send(0, [message("a")])
    (first,) = await queues.receive(0, 0)
    await asyncio.sleep(COMMAND_VISIBILITY_S - 5)
    (second,) = await queues.receive(0, 20)
    assert asyncio.get_running_loop().time() == COMMAND_VISIBILITY_S
    assert (first.receive_count, second.receive_count) == (1, 2)
    assert first.sent_at_ms == second.sent_at_ms


@in_virtual_time
async def test_a_long_poll_wakes_when_a_delete_frees_the_group():
    queues = SimCommandQueues()
    await queues.send(0, [message("a")])
    (first,) = await queues.receive(0, 0)
    await queues.send(0, [message("b")])
    poll = asyncio.create_task(queues.receive(0, 20))
    await asyncio.sleep(3)
    await queues.delete(0, [first.receipt])
    assert [delivery.body for delivery in await poll] == ["b"]
    assert asyncio.get_running_loop().time() == 3


@in_virtual_time
async def test_a_receipt_is_worthless_once_visibility_ran_out():
    queues = SimCommandQueues()
    await queues.send(0, [message("a")])
    (first,) = await queues.receive(0, 0)
    await asyncio.sleep(COMMAND_VISIBILITY_S)
    await queues.delete(0, [first.receipt])
    assert queues.depth(0) == 1


@in_virtual_time
async def test_a_message_received_too_often_goes_to_the_dead_letters_and_frees_its_group():
    queues = SimCommandQueues(ImpatientTopology())
    await queues.send(0, [message("poison")])
    await queues.send(0, [message("next")])
    for count in (1, 2, 3):
        deliveries = await queues.receive(0, 0)
        assert [(one.body, one.receive_count) for one in deliveries] == [("poison", count), ("next", count)]
        await asyncio.sleep(COMMAND_VISIBILITY_S)
    await queues.send(0, [message("last")])
    assert [delivery.body for delivery in await queues.receive(0, 0)] == ["last"]
    assert queues.dead_letters(0) == ["poison", "next"]


@in_virtual_time
async def test_messages_past_their_retention_are_dropped():
    queues = SimCommandQueues()
    await queues.send(0, [message("a")])
    await asyncio.sleep(COMMAND_RETENTION_S)
    assert await queues.receive(0, 0) == []
    assert queues.dead_letters(0) == []


@in_virtual_time
async def test_a_partial_send_takes_some_and_says_so():
    faults = Faults()
    queues = SimCommandQueues(faults=faults)
    faults.script("sqs.send", [Fault.PARTIAL])
    batch = [message("a", group="BTCUSDT"), message("b", group="ETHUSDT")]
    with pytest.raises(Unavailable):
        await queues.send(0, batch)
    assert queues.depth(0) == 1
    await queues.send(0, batch)
    assert sorted(delivery.body for delivery in await queues.receive(0, 0)) == ["a", "b"]


async def unanswered(body: str, faults: Faults) -> SimCommandQueues:
    """Queues with this message in flight, as the host sees them who was to get it."""
    queues = SimCommandQueues(faults=faults)
    await queues.send(0, [message(body)])
    faults.script("sqs.receive", ["after"])
    with pytest.raises(Unavailable):
        await queues.receive(0, 0)
    assert queues.in_flight(0) == 1
    return queues


@in_virtual_time
async def test_a_lost_answer_leaves_its_messages_in_flight_for_everybody_else():
    other = (await unanswered("a", Faults())).seen_by(Faults())
    await asyncio.sleep(COMMAND_VISIBILITY_S - 0.001)
    assert await other.receive(0, 0) == []
    await asyncio.sleep(0.001)
    (delivery,) = await other.receive(0, 0)
    assert delivery.receive_count == 2


@in_virtual_time
async def test_who_asks_again_after_a_lost_answer_gets_the_same_messages_and_their_whole_visibility():
    faults = Faults()
    queues = await unanswered("a", faults)
    faults.script("sqs.receive", ["before", "after"])
    for _ in range(2):
        await asyncio.sleep(COMMAND_VISIBILITY_S - 1)
        with pytest.raises(Unavailable):
            await queues.receive(0, 0)
    await queues.send(0, [message("b")])
    (again,) = await queues.receive(0, 20)
    assert (again.body, again.receive_count) == ("a", 2)
    await queues.delete(0, [again.receipt])
    assert [delivery.body for delivery in await queues.receive(0, 0)] == ["b"]


@in_virtual_time
async def test_what_somebody_else_got_since_is_not_handed_out_again():
    queues = await unanswered("a", Faults())
    await asyncio.sleep(COMMAND_VISIBILITY_S)
    (delivery,) = await queues.seen_by(Faults()).receive(0, 0)
    assert await queues.receive(0, 0) == []
    await queues.delete(0, [delivery.receipt])
    assert queues.depth(0) == 0


@in_virtual_time
async def test_an_attempt_that_was_throttled_is_over():
    faults = Faults()
    queues = await unanswered("a", faults)
    faults.script("sqs.receive", ["throttled"])
    with pytest.raises(Throttled):
        await queues.receive(0, 0)
    assert await queues.receive(0, 0) == []
    await asyncio.sleep(COMMAND_VISIBILITY_S)
    assert len(await queues.receive(0, 0)) == 1


@in_virtual_time
async def test_a_cancelled_poll_takes_nothing():
    queues = SimCommandQueues()
    poll = asyncio.create_task(queues.receive(0, 20))
    await asyncio.sleep(1)
    poll.cancel()
    await asyncio.gather(poll, return_exceptions=True)
    await queues.send(0, [message("a")])
    assert len(await queues.receive(0, 0)) == 1


@in_virtual_time
async def test_sent_times_are_of_the_queues_own_clock():
    clock = SimClock(5_000)
    queues = SimCommandQueues(clock=clock)
    clock.now_ms()
    await asyncio.sleep(2)
    await queues.send(0, [message("a")])
    (delivery,) = await queues.receive(0, 0)
    assert delivery.sent_at_ms == 7_000


@in_virtual_time
async def test_what_is_too_large_is_refused():
    with pytest.raises(Fatal):
        await SimCommandQueues().send(0, [message("x" * 300_000, dedup_id="1")])
