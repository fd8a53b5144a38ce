"""Sends: packed by symbol, in order, repeated as they are, given up together."""

import asyncio
from random import Random

import pytest

from exchange_adapters.sim import Faults, SimCommandQueues
from exchange_core.codec import decode_commands
from exchange_core.commands import CancelOrder
from exchange_core.errors import Unavailable
from exchange_gateway.trading import commands_out as module
from exchange_gateway.trading.commands_out import CommandDesk, OutgoingCommand, pack


def outgoing(number: int, group: str = "BTCUSD", size: int = 100) -> OutgoingCommand:
    command = CancelOrder(command_id=number, user_id="alice", symbol=group, entered_at_ms=0, order_id=number)
    return OutgoingCommand(group=group, command=command, size=size)


def command_desk(queues: SimCommandQueues, **options: int) -> CommandDesk:
    return CommandDesk(queues, Random(1), partitions=2, writer="w", waiting_max=options.get("waiting_max", 10_000))


async def received(queues: SimCommandQueues, partition: int = 0) -> dict[str, list[int]]:
    """Command ids by group, in order."""
    found: dict[str, list[int]] = {}
    while deliveries := await queues.receive(partition, 0.0):
        for delivery in deliveries:
            found.setdefault(delivery.group, []).extend(c.command_id for c in decode_commands(delivery.body))
        await queues.delete(partition, [delivery.receipt for delivery in deliveries])
    return found


def test_a_call_holds_one_message_a_group_and_never_too_many_of_either() -> None:
    batch = [outgoing(number, f"SYM{number % 13}") for number in range(2_000)]
    calls = pack(batch)
    order: dict[str, list[int]] = {}
    for call in calls:
        assert len(call) <= 10
        groups = [batch[indices[0]].group for indices in call]
        assert len(set(groups)) == len(groups)
        for group, indices in zip(groups, call, strict=True):
            assert len(indices) <= 100
            assert {batch[index].group for index in indices} == {group}
            order.setdefault(group, []).extend(indices)
    assert sorted(index for indices in order.values() for index in indices) == list(range(2_000))
    assert all(indices == sorted(indices) for indices in order.values()), "each symbol stays in order"


async def test_what_is_submitted_together_goes_out_in_few_messages_and_in_order() -> None:
    faults = Faults()
    queues = SimCommandQueues(faults=faults)
    async with command_desk(queues) as desk:
        await asyncio.gather(*(desk.submit(0, outgoing(number, "AB"[number % 2] * 5)) for number in range(150)))
    assert faults.calls["sqs.send"] == 1
    assert queues.depth(0) == 2
    assert await received(queues) == {"AAAAA": list(range(0, 150, 2)), "BBBBB": list(range(1, 150, 2))}


@pytest.mark.parametrize("fault", ["before", "throttled", "lost", "after", "partial"])
async def test_a_send_that_broke_off_is_repeated_and_taken_once(fault: str) -> None:
    faults = Faults()
    queues = SimCommandQueues(faults=faults)
    faults.script("sqs.send", [fault])
    async with command_desk(queues) as desk:
        await asyncio.gather(*(desk.submit(0, outgoing(number, f"SYM{number % 4}X")) for number in range(8)))
    assert await received(queues) == {f"SYM{number}X": [number, number + 4] for number in range(4)}


async def test_partitions_do_not_wait_for_each_other() -> None:
    queues = SimCommandQueues()
    async with command_desk(queues) as desk:
        await asyncio.gather(desk.submit(0, outgoing(1)), desk.submit(1, outgoing(2)))
    assert (await received(queues, 0), await received(queues, 1)) == ({"BTCUSD": [1]}, {"BTCUSD": [2]})


async def test_a_queue_that_stays_away_is_told_and_nothing_overtakes(monkeypatch: pytest.MonkeyPatch) -> None:
    """GIVEN more commands of a symbol than a message holds WHEN the first message fails THEN the second is not sent."""
    monkeypatch.setattr(module, "SEND_REPEAT_S", 0.0)
    faults = Faults()
    queues = SimCommandQueues(faults=faults)
    faults.script("sqs.send", ["before"])
    async with command_desk(queues) as desk:
        answers = await asyncio.gather(
            *(desk.submit(0, outgoing(number)) for number in range(150)), return_exceptions=True
        )
    assert all(isinstance(answer, Unavailable) for answer in answers)
    assert await received(queues) == {}
