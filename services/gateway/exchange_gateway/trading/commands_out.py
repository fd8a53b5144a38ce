"""Commands on their way to the matcher: packed by symbol, in order, one call in flight a partition.

A send that broke off is repeated with the same deduplication ids for SEND_REPEAT_S; then its submitters are told. For
an order that is no loss: its intent is stored, and the sweeper sends it again.
"""

import asyncio
import itertools
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from random import Random
from typing import Any, Final, Self

import structlog

from exchange_adapters.group_commit import GroupCommit
from exchange_core.codec import encode_commands
from exchange_core.commands import Command
from exchange_core.errors import Fatal, PortError, Unavailable
from exchange_core.ports import CommandMessage, CommandSink

MESSAGE_COMMANDS_MAX: Final = 100
CALL_MESSAGES_MAX: Final = 10
CALL_BYTES_MAX: Final = 200_000
SEND_TIMEOUT_S: Final = 2.0
SEND_REPEAT_S: Final = 1.0
_PAUSE_FIRST_S: Final = 0.02
_PAUSE_MAX_S: Final = 0.2

log = structlog.get_logger()


@dataclass(frozen=True, slots=True, kw_only=True)
class OutgoingCommand:
    """A command and the message group (symbol) it stays in order within; `size` is about its length as text."""

    group: str
    command: Command
    size: int


class CommandDesk:
    """One queue of outgoing commands a partition. Lifecycle: `async with`; leaving it sends what waits.

    `writer` tells this process from all others, so that no two of them use one deduplication id.
    """

    def __init__(self, sink: CommandSink, random: Random, *, partitions: int, writer: str, waiting_max: int) -> None:
        self._senders = [
            _PartitionSender(sink, random, partition, writer, waiting_max) for partition in range(partitions)
        ]
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Self:
        for sender in self._senders:
            await self._stack.enter_async_context(sender.groups)
        return self

    async def __aexit__(self, *details: Any) -> None:
        await self._stack.__aexit__(*details)

    @property
    def depths(self) -> list[int]:
        """How many commands wait to be sent, by partition."""
        return [sender.groups.depth for sender in self._senders]

    def submit(self, partition: int, outgoing: OutgoingCommand) -> asyncio.Future[None]:
        """Queue a command; the future resolves when the queue has it, or raises a PortError when it may not have it.

        Commands of a group are sent in the order of the calls. Raises QueueFullError.
        """
        return self._senders[partition].groups.submit(outgoing)


class _PartitionSender:
    def __init__(self, sink: CommandSink, random: Random, partition: int, writer: str, waiting_max: int) -> None:
        self._sink = sink
        self._random = random
        self._partition = partition
        self._dedup_ids = (f"{writer}-{partition}-{number}" for number in itertools.count(1))
        self.groups: GroupCommit[OutgoingCommand, None] = GroupCommit(
            self._write,
            max_items=MESSAGE_COMMANDS_MAX * CALL_MESSAGES_MAX,
            max_size=CALL_BYTES_MAX,
            max_waiting=waiting_max,
            size_of=lambda outgoing: outgoing.size,
        )

    async def _write(self, batch: Sequence[OutgoingCommand]) -> Sequence[Exception | None]:
        """Once a call has failed nothing more of the batch is sent, or a cancel might overtake its order."""
        results: list[Exception | None] = [None] * len(batch)
        failure: Exception | None = None
        for call in pack(batch):
            if failure is None:
                failure = await self._send(call, batch)
            if failure is not None:
                for indices in call:
                    for index in indices:
                        results[index] = failure
        return results

    async def _send(self, call: Sequence[Sequence[int]], batch: Sequence[OutgoingCommand]) -> Exception | None:
        messages = [
            CommandMessage(
                partition=self._partition,
                group=batch[indices[0]].group,
                dedup_id=next(self._dedup_ids),
                body=encode_commands([batch[index].command for index in indices]),
                trace=next((batch[index].command.trace_id for index in indices if batch[index].command.trace_id), ""),
            )
            for indices in call
        ]
        loop = asyncio.get_running_loop()
        deadline_s = loop.time() + SEND_REPEAT_S
        attempts = 0
        while True:
            try:
                async with asyncio.timeout(SEND_TIMEOUT_S):
                    await self._sink.send(self._partition, messages)
            except Fatal as error:
                log.error("commands_not_sent", partition=self._partition, error=f"Fatal: {error}")
                return error
            except (PortError, TimeoutError) as error:
                attempts += 1
                pause_s = self._random.uniform(0.5, 1) * min(_PAUSE_MAX_S, _PAUSE_FIRST_S * 2**attempts)
                if loop.time() + pause_s > deadline_s:
                    log.warning(
                        "commands_not_sent",
                        partition=self._partition,
                        messages=len(messages),
                        error=f"{type(error).__name__}: {error}",
                    )
                    return Unavailable(f"the orders queue did not answer: {type(error).__name__}")
                await asyncio.sleep(pause_s)
            else:
                return None


def pack(batch: Sequence[OutgoingCommand]) -> list[list[list[int]]]:
    """Indices of the batch by call and by message: a message holds commands of one group, in order, and a call at most
    one message of each group. The caller bounds the bytes of the whole batch."""
    calls: list[dict[str, list[int]]] = []
    call_of_group: dict[str, int] = {}
    for index, outgoing in enumerate(batch):
        number = call_of_group.get(outgoing.group, 0)
        while number < len(calls) and not _has_room(calls[number], outgoing.group):
            number += 1
        if number == len(calls):
            calls.append({})
        calls[number].setdefault(outgoing.group, []).append(index)
        call_of_group[outgoing.group] = number
    return [list(call.values()) for call in calls]


def _has_room(call: dict[str, list[int]], group: str) -> bool:
    indices = call.get(group)
    return len(call) < CALL_MESSAGES_MAX if indices is None else len(indices) < MESSAGE_COMMANDS_MAX
