"""Records of the stream in, settled slots out: the one way, for the Lambda and for the shard reader.

    1 decode        records → slots, by partition
    2 lock          the partition's position in the database
    3 choose        the slots that follow the position without a gap; earlier ones are repeats
    4 wallets       every wallet the slots touch, once; pending commands they show are taken off the list
    5 archive       the events, as one object
    6 rows          orders, trades, candles, fills, ledger, and the position, committed in one transaction
    7 notices       to the users concerned, and candles and tickers to everybody, best effort

Each step may be repeated with the same slots or with a run cut differently: a crash anywhere heals by doing it again.
Partitions go on side by side; within one, a gap or a record that is not understood stops it and is never skipped.
"""

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import structlog

from exchange_adapters.emf import recorder
from exchange_adapters.metrics import (
    PARTITION_HALTED,
    SETTLEMENT_AGE_MS,
    SETTLEMENT_FAULTS,
    SETTLEMENT_LAG_SLOTS,
    SLOTS_SETTLED,
)
from exchange_adapters.projection_rows import instruments_after
from exchange_core.candles import Candle
from exchange_core.codec import Slot, decode_slot
from exchange_core.errors import Fatal, PortError
from exchange_core.instruments import Instrument
from exchange_core.ports import (
    Clock,
    HistoryArchive,
    MarketPublisher,
    OrderView,
    Projection,
    Projections,
    StreamRecord,
    Wallet,
    WalletSettlement,
)
from exchange_core.wire import DecodeError
from exchange_persister.history import history_object
from exchange_persister.market import MarketNews
from exchange_persister.notices import Notices
from exchange_persister.settlement import Settlement, WalletChanges, wallet_changes
from exchange_persister.traces import Timeline, trace_settlement


@dataclass(frozen=True, slots=True, kw_only=True)
class SettlementPorts:
    """All that settlement needs from the outside."""

    clock: Clock
    projections: Projections
    wallets: WalletSettlement
    history: HistoryArchive
    publisher: MarketPublisher


@dataclass(frozen=True, slots=True, kw_only=True)
class Halt:
    """Why a partition stands still: the slot it waits for, and the one that came instead (None: not understood)."""

    awaited: int
    found: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What became of the records: `unsettled` are their indexes, ascending, because their partition is halted or
    because of one of `errors` (then: apply them again)."""

    unsettled: tuple[int, ...]
    errors: tuple[PortError, ...]

    @property
    def is_halted(self) -> bool:
        """Whether applying the same records again cannot help."""
        return bool(self.unsettled) and not self.errors


_Arrivals = list[tuple[int, Slot | None]]
"""The records of one partition: their indexes and slots, None where one was not understood."""


@dataclass(frozen=True, slots=True)
class _Settled:
    slots: Sequence[Slot]
    changes: WalletChanges
    wallets: Sequence[Wallet]
    orders: Sequence[OrderView]
    candles: Sequence[Candle]
    instruments: Mapping[str, Instrument]


class Applier:
    """Applies records; keeps between calls only what is safe to forget: known positions, and who is halted."""

    def __init__(self, ports: SettlementPorts, *, wallet_calls_max: int) -> None:
        self._ports = ports
        self._settlement = Settlement(ports.wallets, calls_max=wallet_calls_max)
        self._notices = Notices(ports.publisher)
        self._market = MarketNews(ports.projections, ports.publisher, ports.clock)
        self._positions: dict[int, int] = {}
        self._halts: dict[int, Halt] = {}
        self._log = structlog.get_logger()

    @property
    def halts(self) -> Mapping[int, Halt]:
        """partition → why it stands still."""
        return self._halts

    @property
    def positions(self) -> Mapping[int, int]:
        """partition → the last slot known to be settled."""
        return self._positions

    async def apply(self, records: Sequence[StreamRecord], *, checkpoint: tuple[str, str] | None = None) -> Outcome:
        """Settle the records; all of them have been, or their indexes are in the outcome.

        `checkpoint` is (shard, sequence number) of a record before these that is settled with all that came before
        it: it is stored with them. Raises Fatal.
        """
        arrivals = self._decode(records)
        unsettled: list[int] = []
        errors: list[PortError] = []

        async def apply_one(partition: int, ours: _Arrivals) -> None:
            try:
                unsettled.extend(await self._apply_partition(partition, ours, checkpoint))
            except PortError as error:
                recorder.count(SETTLEMENT_FAULTS)
                errors.append(error)
                unsettled.extend(index for index, _ in ours)

        async with asyncio.TaskGroup() as group:
            for partition, ours in arrivals.items():
                group.create_task(apply_one(partition, ours))
        for error in errors:
            if isinstance(error, Fatal):
                raise error
        return Outcome(unsettled=tuple(sorted(unsettled)), errors=tuple(errors))

    def _decode(self, records: Iterable[StreamRecord]) -> dict[int, _Arrivals]:
        arrivals: dict[int, _Arrivals] = {}
        for index, record in enumerate(records):
            partition = _partition(record)
            try:
                slot = decode_slot(record.data)
                if slot.partition != partition:
                    raise DecodeError("a slot under the key of another partition")
            except ValueError as error:
                self._log.error(
                    "record_not_understood",
                    partition=partition,
                    sequence_number=record.sequence_number,
                    error=str(error),
                )
                arrivals.setdefault(partition, []).append((index, None))
            else:
                arrivals.setdefault(partition, []).append((index, slot))
        return arrivals

    async def _apply_partition(
        self, partition: int, arrivals: _Arrivals, checkpoint: tuple[str, str] | None
    ) -> list[int]:
        """Returns the indexes of what had to be left."""
        known = self._positions.get(partition, 0)
        if all(slot is not None and slot.n <= known for _, slot in arrivals):
            return []
        if all(slot is None for _, slot in arrivals):
            self._halt(partition, known, None)
            return [index for index, _ in arrivals]
        settled: _Settled | None = None
        timeline = Timeline()
        async with self._ports.projections.begin(partition) as projection:
            run = _following(projection.position, arrivals)
            if run:
                settled = await self._settle(projection, run, timeline)
                if checkpoint is not None:
                    await projection.checkpoint(*checkpoint)
            position = projection.position
        self._positions[partition] = position
        recorder.gauge(PARTITION_HALTED, 0, partition=partition)
        if settled is not None:
            self._halts.pop(partition, None)
            timeline.note("commit")
            trace_settlement(settled.slots, timeline)
            self._report(settled)
            await self._notices.publish(settled.orders, settled.wallets, settled.instruments)
            await self._market.publish(settled.candles, settled.instruments)
        left = _left(position, arrivals)
        recorder.gauge(SETTLEMENT_LAG_SLOTS, len(left), partition=partition)
        if left:
            self._halt(partition, position, left[0][1])
        return [index for index, _ in left]

    async def _settle(self, projection: Projection, run: Sequence[Slot], timeline: Timeline) -> _Settled:
        changes = wallet_changes(run, instruments_after(projection.instruments, run))
        wallets = await self._settlement.settle(run, changes)
        timeline.note("wallets")
        await self._ports.history.put(run[0].partition, run[0].n, run[-1].n, history_object(run))
        timeline.note("archive")
        await projection.record(run)
        timeline.note("rows")
        return _Settled(run, changes, wallets, projection.orders, projection.candles, projection.instruments)

    def _halt(self, partition: int, position: int, found: Slot | None) -> None:
        halt = Halt(awaited=position + 1, found=None if found is None else found.n)
        recorder.gauge(PARTITION_HALTED, 1, partition=partition)
        if self._halts.get(partition) != halt:
            self._halts[partition] = halt
            self._log.error("slot_gap", partition=partition, slot=halt.awaited, found=halt.found)

    def _report(self, settled: _Settled) -> None:
        first, last = settled.slots[0], settled.slots[-1]
        now_ms = self._ports.clock.now_ms()
        recorder.count(SLOTS_SETTLED, len(settled.slots), partition=last.partition)
        recorder.timing(SETTLEMENT_AGE_MS, now_ms - first.at_ms, partition=last.partition)
        self._log.debug(
            "slots_settled",
            partition=last.partition,
            first=first.n,
            slot=last.n,
            events=sum(len(slot.events) for slot in settled.slots),
            wallets=len(settled.changes),
            age_ms=now_ms - last.at_ms,
        )


def _partition(record: StreamRecord) -> int:
    """The partition in the record's key; -1 for a key that names none."""
    return int(record.partition_key) if record.partition_key.isdecimal() else -1


def _following(position: int, arrivals: _Arrivals) -> list[Slot]:
    """The slots that follow the position without a gap; what is behind it are repeats."""
    run: list[Slot] = []
    for _, slot in arrivals:
        if slot is not None and slot.n == position + len(run) + 1:
            run.append(slot)
    return run


def _left(position: int, arrivals: _Arrivals) -> _Arrivals:
    """What cannot be settled yet: slots beyond a gap, and what was not understood if nothing settled came after it.

    A record that is not understood and was a slot after all leaves a gap behind: the numbers decide.
    """
    last_settled = max((at for at, (_, slot) in enumerate(arrivals) if slot and slot.n <= position), default=-1)
    return [
        (index, slot)
        for at, (index, slot) in enumerate(arrivals)
        if (at > last_settled if slot is None else slot.n > position)
    ]
