"""PostgreSQL and the wallets built anew from the journal and the archive: `python -m exchange_persister.rebuild`.

The path of a restore. It empties both first, so no service may run meanwhile: it refuses while one has a lease.

    1 journal    every partition's slots in order; where the journal has lost some, the archive's, put back into it
    2 wallets    what the slots add up to, with the holds that the gateway took for them and for what is on its way
    3 database   every slot through the same projections as ever, to the same position; what the archive lacks, too
    4 intents    what the journal shows is pending no more

Repeating it, after a kill at any of its writes too, gives the same; until one has come to its end, no service may be
started. Balances, orders, fills, ledger and candles are functions of the journal; log-ins, API keys and the promises
not yet journaled are not touched.
"""

import asyncio
import sys
from bisect import bisect_right
from collections.abc import AsyncGenerator, Iterable, Mapping, Sequence
from contextlib import aclosing
from dataclasses import asdict, dataclass, field
from itertools import accumulate, chain
from typing import Final, Protocol

import structlog

from exchange_adapters.kill_points import with_kill_point
from exchange_adapters.projection_rows import instruments_after
from exchange_adapters.system import configure_logging
from exchange_core.codec import Slot, decode_commands, decode_slot, encode_slot
from exchange_core.ids import NODE_COUNT
from exchange_core.instruments import Instrument
from exchange_core.ledger import Delta, Hold, hold_before, hold_of, postings, wallet_deltas
from exchange_core.ports import (
    Clock,
    HistoryArchive,
    HistoryReader,
    JournalReader,
    JournalWriter,
    LeaseStore,
    Pending,
    Projections,
    SlotTakenError,
    Wallet,
    WalletRestore,
)
from exchange_core.topology import node_lease, partition_lease
from exchange_core.wire import DecodeError
from exchange_persister.bootstrap import open_rebuild_ports
from exchange_persister.config import Config
from exchange_persister.history import history_object, history_slots
from exchange_persister.settlement import seen_commands

READ_SLOTS: Final = 200
"""How many slots are read, and projected in one transaction."""
_LEASES_AT_ONCE: Final = 64

log = structlog.get_logger()


class ExchangeRunsError(Exception):
    """A service is at work: its holds and slots would be lost in a rebuild."""


class JournalBrokenError(Exception):
    """A slot that neither the journal nor the archive has, or that cannot be read: nothing can be built past it."""


class Journal(JournalReader, JournalWriter, Protocol):
    """Both halves: slots that only the archive has are put back."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ports:
    """All that a rebuild needs from the outside."""

    clock: Clock
    journal: Journal
    history: HistoryReader
    archive: HistoryArchive
    projections: Projections
    wallets: WalletRestore
    leases: LeaseStore


@dataclass(slots=True, kw_only=True)
class Rebuilt:
    """What was done. `restored` counts the slots that only the archive had."""

    slots: int = 0
    restored: int = 0
    wallets: int = 0
    on_their_way: int = 0


async def refuse_while_running(leases: LeaseStore, clock: Clock, partitions: int) -> None:
    """Raise ExchangeRunsError if a matcher or a gateway holds a lease. (A persister holds none: stop it first.)"""
    names = [*map(partition_lease, range(partitions)), *map(node_lease, range(NODE_COUNT))]
    for at in range(0, len(names), _LEASES_AT_ONCE):
        chunk = names[at : at + _LEASES_AT_ONCE]
        for name, holder in zip(chunk, await asyncio.gather(*map(leases.holder, chunk)), strict=True):
            if holder is not None and holder[1] > clock.now_ms():
                raise ExchangeRunsError(f"{holder[0]} holds {name}: stop all services first")


async def rebuild(ports: Ports, partitions: int) -> Rebuilt:
    """Build everything anew, on an empty schema. Raises ExchangeRunsError, JournalBrokenError, PortError."""
    await refuse_while_running(ports.leases, ports.clock, partitions)
    rebuilt, wallets = Rebuilt(), _Wallets()
    for partition in range(partitions):
        pending = {one.order_id: one for one in await ports.wallets.all_pending(partition)}
        seen: set[int] = set()
        instruments: Mapping[str, Instrument] = {}
        spans = ArchivedSpans(await ports.history.spans(partition))
        async with aclosing(_runs(ports, spans, partition, rebuilt)) as runs:
            async for run in runs:
                instruments = instruments_after(instruments, run)
                for slot in run:
                    wallets.apply(slot, instruments)
                seen.update(command_id for command_id in seen_commands(run) if command_id in pending)
                for missing in _unarchived(run, spans):
                    await ports.archive.put(partition, missing[0].n, missing[-1].n, history_object(missing))
                await _project(ports.projections, run)
                rebuilt.slots += len(run)
        on_their_way = [intent for order_id, intent in pending.items() if order_id not in seen]
        for intent in on_their_way:
            wallets.take(_hold_on_its_way(intent))
        rebuilt.on_their_way += len(on_their_way)
        await ports.wallets.mark_seen(partition, sorted(seen))
        log.info("partition_projected", partition=partition, slot=wallets.heads.get(partition, 0))
    built = wallets.all()
    await ports.wallets.replace(built)
    rebuilt.wallets = len(built)
    return rebuilt


class ArchivedSpans:
    """Which object of the archive, (first, last), has a slot. They overlap where a run was settled again, and cut
    otherwise."""

    def __init__(self, spans: Iterable[tuple[int, int]]) -> None:
        ordered = sorted(spans)
        self._firsts = [first for first, _ in ordered]
        self._farthest = list(accumulate(ordered, _farther))

    @property
    def last(self) -> int:
        """The last slot that is archived (0: none)."""
        return self._farthest[-1][1] if self._farthest else 0

    def of(self, n: int) -> tuple[int, int] | None:
        """An object with slot n."""
        begun = bisect_right(self._firsts, n)
        if not begun or self._farthest[begun - 1][1] < n:
            return None
        return self._farthest[begun - 1]


def _farther(one: tuple[int, int], other: tuple[int, int]) -> tuple[int, int]:
    return other if other[1] > one[1] else one


@dataclass(slots=True)
class _Wallets:
    """Every wallet as the slots leave it. It has settled all of them: `heads` maps a partition to its last slot."""

    balances: dict[tuple[str, str], Delta] = field(default_factory=dict)
    heads: dict[int, int] = field(default_factory=dict)

    def apply(self, slot: Slot, instruments: Mapping[str, Instrument]) -> None:
        posted = chain.from_iterable(postings(event, instruments, slot.partition) for event in slot.events)
        for wallet, delta in wallet_deltas(posted).items():
            self._add(wallet, delta.available, delta.held)
        for event in slot.events:
            self.take(hold_before(event, instruments))
        self.heads[slot.partition] = slot.n

    def take(self, hold: Hold | None) -> None:
        if hold is not None:
            user_id, asset, units = hold
            self._add((user_id, asset), -units, units)

    def all(self) -> list[Wallet]:
        """Raises JournalBrokenError when one is below zero: then what led to it is not all there."""
        for (user_id, asset), balance in self.balances.items():
            if min(balance.available, balance.held) < 0:
                raise JournalBrokenError(f"the journal leaves {user_id} below zero in {asset}")
        return [
            Wallet(user_id=user_id, asset=asset, available=balance.available, held=balance.held, applied=self.heads)
            for (user_id, asset), balance in sorted(self.balances.items())
        ]

    def _add(self, wallet: tuple[str, str], available: int, held: int) -> None:
        balance = self.balances.setdefault(wallet, Delta())
        balance.available += available
        balance.held += held


async def _runs(
    ports: Ports, spans: ArchivedSpans, partition: int, rebuilt: Rebuilt
) -> AsyncGenerator[list[Slot], None]:
    """The partition's slots in order, some at a time."""
    position, at_ms = 0, 0
    while True:
        run: list[Slot] = []
        for n, data in await ports.journal.read(partition, position, READ_SLOTS):
            if n != position + len(run) + 1:
                break
            run.append(_decoded(partition, n, data))
        if not run:
            run = await _archived(ports, spans, partition, position + 1, at_ms)
            rebuilt.restored += len(run)
        if not run:
            break
        yield run
        position, at_ms = run[-1].n, run[-1].at_ms
    if position < spans.last or await ports.journal.read(partition, position, 1):
        raise JournalBrokenError(f"slot {position + 1} of partition {partition} is nowhere, and later ones are")


async def _archived(ports: Ports, spans: ArchivedSpans, partition: int, n: int, at_ms: int) -> list[Slot]:
    """Slot n and those behind it as the archive has them, put back into the journal for whoever reads it next."""
    span = spans.of(n)
    if span is None:
        return []
    first, last = span
    data = await ports.history.get(partition, first, last)
    try:
        slots = [slot for slot in history_slots(data, partition, first, last, at_ms) if slot.n >= n]
    except DecodeError as error:
        raise JournalBrokenError(f"the archive's slots {first} to {last} of {partition} cannot be read") from error
    restored: list[Slot] = []
    for slot in slots:
        try:
            await ports.journal.put(partition, slot.n, encode_slot(slot))
        except SlotTakenError:
            break  # the journal has this one: it is the truth
        restored.append(slot)
    log.info("slots_restored_from_archive", partition=partition, first=n, last=n + len(restored) - 1)
    return restored


def _unarchived(run: Sequence[Slot], spans: ArchivedSpans) -> list[list[Slot]]:
    """The stretches of a run that no object of the archive holds: journaled, and not settled when all was stopped."""
    stretches: list[list[Slot]] = []
    for slot in run:
        if spans.of(slot.n):
            continue
        if stretches and stretches[-1][-1].n == slot.n - 1:
            stretches[-1].append(slot)
        else:
            stretches.append([slot])
    return stretches


def _decoded(partition: int, n: int, data: bytes) -> Slot:
    try:
        slot = decode_slot(data)
    except DecodeError as error:
        raise JournalBrokenError(f"slot {n} of partition {partition} cannot be read: {error}") from error
    if (slot.partition, slot.n) != (partition, n):
        raise JournalBrokenError(f"slot {n} of partition {partition} holds slot {slot.n} of {slot.partition}")
    return slot


async def _project(projections: Projections, run: Sequence[Slot]) -> None:
    async with projections.begin(run[0].partition) as projection:
        if projection.position + 1 != run[0].n:
            raise ExchangeRunsError(f"the database is at slot {projection.position}: somebody else writes to it")
        await projection.record(run)


def _hold_on_its_way(intent: Pending) -> Hold | None:
    (command,) = decode_commands(intent.command)
    return hold_of(command)


def main() -> None:
    """Rebuild what the environment names; empties the schema first. Prints what was done, ends with 1 on a refusal."""
    from exchange_persister import migrate  # the extra `migrate`

    config = Config()
    configure_logging("rebuild", config.log_level)
    try:
        asyncio.run(_check(config))
        database_url = config.database_url.get_secret_value()
        migrate.downgrade(database_url, "base")
        migrate.upgrade(database_url)
        rebuilt = asyncio.run(_rebuild(config))
    except (ExchangeRunsError, JournalBrokenError) as error:
        sys.exit(f"exchange_persister.rebuild: {error}")
    log.info("rebuilt", **asdict(rebuilt))


async def _check(config: Config) -> None:
    """Before anything is emptied."""
    async with open_rebuild_ports(config) as ports:
        await refuse_while_running(ports["leases"], ports["clock"], config.partitions)


async def _rebuild(config: Config) -> Rebuilt:
    async with open_rebuild_ports(config) as ports:
        return await rebuild(with_kill_point(Ports(**ports)), config.partitions)


if __name__ == "__main__":
    main()
