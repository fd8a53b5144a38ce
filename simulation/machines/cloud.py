"""The stores of a world, with the taps that the checks need: every command sent, every slot written, every snapshot."""

import dataclasses
from collections.abc import Sequence
from typing import Any

from exchange_adapters.sim import Faults, SimClock, SimCloud, SimCommandQueues, SimJournal, SimSnapshots
from exchange_core.codec import decode_commands
from exchange_core.commands import Command
from exchange_core.ports import CommandMessage
from exchange_core.topology import Topology
from exchange_core.wire import DecodeError


class TappedQueues(SimCommandQueues):
    """Remembers all commands by id, and the bodies that hold none."""

    def __init__(self, topology: Topology, *, clock: SimClock, faults: Faults | None = None) -> None:
        super().__init__(topology, clock=clock, faults=faults)
        self.commands: dict[int, Command] = {}
        self.sent: dict[str, int] = {"messages": 0, "commands": 0}

    async def send(self, partition: int, messages: Sequence[CommandMessage]) -> None:
        """Tapped on the way in: what is lost on it may come again."""
        for message in messages:
            self.sent["messages"] += 1
            try:
                commands = decode_commands(message.body)
            except DecodeError:
                continue
            for command in commands:
                self.sent["commands"] += 1
                self.commands.setdefault(command.command_id, command)
        await super().send(partition, messages)


class TappedJournal(SimJournal):
    """Remembers every slot that was put, in order, with its time."""

    def __init__(self, *, clock: SimClock, faults: Faults | None = None) -> None:
        super().__init__(clock=clock, faults=faults)
        self.puts: list[tuple[int, int, int, bytes]] = []
        """(ms, partition, n, bytes)"""

    async def put(self, partition: int, n: int, data: bytes) -> None:
        """Remembers it unless it is refused for certain; see SimJournal.put."""
        before = self._slots.get(partition, {}).get(n)
        try:
            await super().put(partition, n, data)
        finally:
            after = self._slots.get(partition, {}).get(n)
            if before is None and after is data:
                self.puts.append((self._clock.now_ms(), partition, n, data))

    def everything(self, partition: int) -> list[tuple[int, bytes]]:
        """All slots of a partition, by number."""
        return sorted(self._slots.get(partition, {}).items())


class TappedSnapshots(SimSnapshots):
    """Remembers every snapshot that was put."""

    def __init__(self, *, clock: SimClock, faults: Faults | None = None) -> None:
        super().__init__(clock=clock, faults=faults)
        self.puts: list[tuple[int, int, bytes]] = []

    async def put(self, partition: int, n: int, data: bytes) -> None:
        """See SimSnapshots.put."""
        self.puts.append((partition, n, data))
        await super().put(partition, n, data)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Taps:
    """The tapped stores of one cloud."""

    queues: TappedQueues
    journal: TappedJournal
    snapshots: TappedSnapshots


def build_cloud(topology: Topology, clock: SimClock) -> tuple[SimCloud, Taps]:
    """A new cloud and its taps."""
    taps = Taps(
        queues=TappedQueues(topology, clock=clock),
        journal=TappedJournal(clock=clock),
        snapshots=TappedSnapshots(clock=clock),
    )
    stores: dict[str, Any] = {"queues": taps.queues, "journal": taps.journal, "snapshots": taps.snapshots}
    return dataclasses.replace(SimCloud.build(topology, clock=clock), **stores), taps
