"""One partition's work: receive, execute, journal, feed, publish, acknowledge — one batch at a time, in that order.

The engine runs ahead of the journal only within a batch. Whatever goes wrong there, it is thrown away and recovered;
the batch's messages are carried into the recovered partition, where what was journaled after all is known as a repeat.
"""

import asyncio
import contextlib
import logging
import time
from collections import Counter
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from itertools import chain
from typing import Final

import structlog

from exchange_adapters.emf import recorder
from exchange_adapters.metrics import (
    COMMANDS_QUARANTINED,
    COMMANDS_REFUSED,
    EVENTS_JOURNALED,
    JOURNAL_TAKEOVERS,
    OLDEST_COMMAND_AGE_MS,
    RECOVERIES,
    RECOVERY_SECONDS,
    SLOT_LATENCY_MS,
    SLOTS_COMMITTED,
    STREAM_BLOCKED,
    TRADES_EXECUTED,
)
from exchange_core.commands import Command
from exchange_core.events import CommandRefused, Event, OrderAccepted, OrderRejected, TradeExecuted
from exchange_core.orders import Reason
from exchange_core.ports import (
    Clock,
    CommandSource,
    Delivery,
    ExecutionSink,
    MarketPublisher,
    SlotTakenError,
    SnapshotStore,
)
from exchange_core.snapshot import StateImage
from exchange_matcher.batch import Batch
from exchange_matcher.collector import collector_paused
from exchange_matcher.commit import Journal, SlotCommit
from exchange_matcher.intake import Undecodable, read_delivery
from exchange_matcher.old_commands import carried_out, is_dropped
from exchange_matcher.publication import MarketPublication
from exchange_matcher.quarantine import CommandFailedError, Quarantine
from exchange_matcher.recovery import Recovered, recover
from exchange_matcher.retry import PASSING_FAULTS, Outage, StoppedError
from exchange_matcher.slots import EncodedSlot, Unit, pack_slots
from exchange_matcher.snapshots import SnapshotSchedule
from exchange_matcher.traces import TracedCommand, trace_slot

_DELETE_ATTEMPTS: Final = 5
_DELETE_PAUSE_S: Final = 0.02
_SHORT_POLL_S: Final = 0.05


class WorkerState(StrEnum):
    """What a partition's worker is at; only `working` is ready."""

    RECOVERING = "recovering"
    WORKING = "working"
    BLOCKED = "blocked"


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerPorts:
    """What a worker needs from the outside."""

    clock: Clock
    commands: CommandSource
    journal: Journal
    stream: ExecutionSink
    snapshots: SnapshotStore
    publisher: MarketPublisher


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerSettings:
    """How a worker paces itself. `writer` names this process's slots and is new at every start."""

    writer: str
    receive_wait_s: float
    heartbeat_ms: int
    snapshot_slots: int
    snapshot_interval_s: float


class PartitionWorker:
    """Works one partition until told to stop. `on_state` hears what it is at."""

    def __init__(
        self, partition: int, ports: WorkerPorts, settings: WorkerSettings, on_state: Callable[[WorkerState], None]
    ) -> None:
        self._partition = partition
        self._ports = ports
        self._settings = settings
        self._on_state = on_state
        self._carried: Sequence[Delivery] = ()
        self._quarantine = Quarantine()
        self._is_recovered = False
        self._is_blocked = False
        self._log = structlog.get_logger().bind(partition=partition)

    async def run(self, stopping: asyncio.Event) -> None:
        """Recover and work; again after losing a slot to another matcher, or when the engine failed at a command. Ends
        between two batches once `stopping` is set, or amid one that cannot go on. Raises Fatal."""
        try:
            while not stopping.is_set():
                self._set(is_recovered=False)
                try:
                    await self._recover_and_work(stopping)
                except SlotTakenError as error:
                    recorder.count(JOURNAL_TAKEOVERS, partition=self._partition)
                    self._log.warning("slot_taken", error=str(error))
                except CommandFailedError as error:
                    is_held = self._quarantine.note(error)
                    if is_held:
                        recorder.count(COMMANDS_QUARANTINED, partition=self._partition)
                    self._log.error(
                        "command_quarantined" if is_held else "command_failed",
                        command_id=str(error.command_id),
                        exc_info=error.__cause__,
                    )
        except StoppedError:
            self._log.warning("stopped_amid_work")

    async def _recover_and_work(self, stopping: asyncio.Event) -> None:
        commit = SlotCommit(
            self._ports.journal,
            self._ports.stream,
            partition=self._partition,
            stopping=stopping,
            on_blocked=lambda is_blocked: self._set(is_blocked=is_blocked),
        )
        # What is carried into a recovery may have been handed out again meanwhile.
        self._carried = [replace(one, receive_count=one.receive_count + 1) for one in self._carried]
        started_s = time.perf_counter()
        recovered = await recover(
            self._partition,
            snapshots=self._ports.snapshots,
            journal=self._ports.journal,
            commit=commit,
            outage=Outage("recovery", stopping, partition=self._partition),
        )
        recorder.count(RECOVERIES, partition=self._partition)
        recorder.timing(RECOVERY_SECONDS, time.perf_counter() - started_s, partition=self._partition)
        schedule = SnapshotSchedule(
            self._ports.snapshots,
            self._partition,
            every_slots=self._settings.snapshot_slots,
            every_s=self._settings.snapshot_interval_s,
            kept=recovered.snapshot_n,
        )
        outage = Outage("commands", stopping, partition=self._partition)
        rounds = _Rounds(
            self._partition, self._ports, self._settings, recovered, commit, schedule, outage, self._quarantine
        )
        self._set(is_recovered=True)
        try:
            await rounds.refresh_caches()
            while not stopping.is_set():
                if not self._carried:
                    self._carried = await rounds.receive()
                await rounds.work(self._carried)
                self._carried = ()
            await schedule.finish(rounds.n, rounds.image)
        finally:
            await schedule.abandon()

    def _set(self, *, is_recovered: bool | None = None, is_blocked: bool | None = None) -> None:
        if is_recovered is not None:
            self._is_recovered = is_recovered
        if is_blocked is not None:
            self._is_blocked = is_blocked
            recorder.gauge(STREAM_BLOCKED, int(is_blocked), partition=self._partition)
        ready = WorkerState.BLOCKED if self._is_blocked else WorkerState.WORKING
        self._on_state(ready if self._is_recovered else WorkerState.RECOVERING)


class _Rounds:
    """The rounds of one recovered partition; worthless once one of them has failed."""

    def __init__(
        self,
        partition: int,
        ports: WorkerPorts,
        settings: WorkerSettings,
        recovered: Recovered,
        commit: SlotCommit,
        schedule: SnapshotSchedule,
        outage: Outage,
        quarantine: Quarantine,
    ) -> None:
        self._partition = partition
        self._ports = ports
        self._settings = settings
        self._quarantine = quarantine
        self._engine = recovered.engine
        self.n = recovered.n
        self._slot_at_ms = recovered.at_ms
        self._now_ms = recovered.engine.at_ms
        self._commit = commit
        self._schedule = schedule
        self._outage = outage
        self._publication = MarketPublication(ports.publisher, partition)
        self._log = structlog.get_logger().bind(partition=partition)

    def image(self) -> StateImage:
        """The engine's state, as it stands after slot `n`."""
        with collector_paused():
            return self._engine.image()

    async def refresh_caches(self) -> None:
        """Write the caches that were not written for a while, while the journal says that they are true. Raises
        SlotTakenError when another matcher has written since."""
        if self._publication.is_due(self._engine):
            with contextlib.suppress(*PASSING_FAULTS):
                await self._commit.look_beyond(self.n)
                await self._publication.refresh(self._engine, self._now_ms)

    async def receive(self) -> Sequence[Delivery]:
        """What has come, waiting for it no longer than until something falls due; nothing if the queue is away.

        Never cancelled amid a call: messages handed out to nobody would stay invisible until their time is up.
        """
        rest_s = self._rest_s()
        wait_s = min(self._settings.receive_wait_s, rest_s // 1)  # SQS waits in whole seconds
        try:
            deliveries = await self._ports.commands.receive(self._partition, wait_s)
        except PASSING_FAULTS as error:
            await self._outage.pause(error)
            return ()
        self._outage.over()
        if not deliveries and not wait_s:
            await asyncio.sleep(min(rest_s, _SHORT_POLL_S))
        return deliveries

    def _rest_s(self) -> float:
        """Seconds until something falls due, as far as it is known."""
        due_ms = self._engine.next_due_ms()
        return float("inf") if due_ms is None else max(due_ms - self._ports.clock.now_ms(), 0) / 1000

    async def work(self, deliveries: Sequence[Delivery]) -> None:
        """Take one batch all the way. Raises SlotTakenError, CommandFailedError or StoppedError with the messages
        unacknowledged."""
        if deliveries or self._is_due():
            await self._commit_batch(deliveries)
        await self.refresh_caches()

    def _is_due(self) -> bool:
        """Whether time alone calls for a slot. Otherwise the engine is left at the time of its last slot."""
        now_ms = self._ports.clock.now_ms()
        due_ms = self._engine.next_due_ms()
        is_silent = now_ms - self._slot_at_ms >= self._settings.heartbeat_ms
        return is_silent or (due_ms is not None and due_ms <= now_ms)

    async def _commit_batch(self, deliveries: Sequence[Delivery]) -> None:
        received_ns = time.time_ns()
        at_ms = self._now_ms = max(self._ports.clock.now_ms(), self._now_ms)  # it never goes back
        known = await carried_out(
            deliveries, at_ms, partition=self._partition, n=self.n, journal=self._ports.journal, outage=self._outage
        )
        batch = self._execute(deliveries, at_ms, known)
        slots = self._pack(batch)
        started_s, put_ns = time.perf_counter(), time.time_ns()
        for encoded in slots:
            journaled_ns = await self._commit.commit(encoded)
            fed_ns = time.time_ns()
            if batch.traced:
                trace_slot(
                    batch.traced,
                    encoded,
                    received_ns=received_ns,
                    put_ns=put_ns,
                    journaled_ns=journaled_ns,
                    fed_ns=fed_ns,
                )
            put_ns = fed_ns
            self.n = encoded.slot.n
            self._slot_at_ms = encoded.slot.at_ms
            self._schedule.note_slot(bool(encoded.slot.events))
        if slots:
            recorder.timing(SLOT_LATENCY_MS, 1000 * (time.perf_counter() - started_s), partition=self._partition)
            self._schedule.take_if_due(self.n, self.image)
            await self._publication.publish(self._engine, chain.from_iterable(batch.units), batch.at_ms)
        await self._acknowledge(batch.receipts)
        if batch.units or batch.receipts:
            self._note(batch, slots)

    def _execute(self, deliveries: Sequence[Delivery], at_ms: int, known: Collection[int]) -> Batch:
        """Run everything through the engine, without an await; `known` are old commands that the journal shows."""
        batch = Batch(at_ms=at_ms, oldest_ms=min((one.sent_at_ms for one in deliveries), default=at_ms))
        batch.add(self._engine.begin_slot(at_ms))
        assert self._engine.at_ms == at_ms, "the slot is written at the time at which its events happened"
        for delivery in deliveries:
            batch.receipts.append(delivery.receipt)
            for command in read_delivery(delivery):
                if is_dropped(command, delivery, at_ms, known):
                    batch.stale_count += 1
                    continue
                batch.command_count += 1
                if isinstance(command, Undecodable):
                    batch.add(self._engine.refuse_undecodable(command.group, command.cause, command.digest))
                    continue
                batch.add(self._execute_one(command, at_ms))
                if command.trace_id:
                    batch.traced.append(
                        TracedCommand(
                            command_id=command.command_id,
                            carrier=command.trace_id,
                            symbol=command.symbol,
                            sent_at_ms=delivery.sent_at_ms,
                        )
                    )
        return batch

    def _execute_one(self, command: Command, at_ms: int) -> Sequence[Event]:
        if self._quarantine.holds(command.command_id):
            return self._engine.refuse_unseen(command)
        try:
            return self._engine.execute(command, at_ms)
        except Exception as error:
            raise CommandFailedError(command.command_id, error) from error

    def _pack(self, batch: Batch) -> list[EncodedSlot]:
        """Nothing but repeats still makes a slot, an empty one: they have moved the engine's time, and a snapshot must
        be what the journal folds to."""
        has_moved = batch.at_ms > self._slot_at_ms
        heartbeat: list[Unit] = [()] if has_moved else []
        return pack_slots(
            batch.units or heartbeat,
            partition=self._partition,
            after=self.n,
            at_ms=batch.at_ms,
            writer=self._settings.writer,
        )

    async def _acknowledge(self, receipts: Sequence[str]) -> None:
        """What cannot be deleted now comes again and is known as a repeat; but until then its group stands still."""
        if not receipts:
            return
        for attempt in range(_DELETE_ATTEMPTS):
            try:
                await self._ports.commands.delete(self._partition, receipts)
                return
            except PASSING_FAULTS as error:
                self._log.warning("delete_failed", error=f"{type(error).__name__}: {error}")
                await asyncio.sleep(_DELETE_PAUSE_S * 2**attempt)

    def _note(self, batch: Batch, slots: Sequence[EncodedSlot]) -> None:
        if batch.stale_count:
            self._log.error("commands_too_old", count=batch.stale_count)
        self._record(batch, slots)
        last_seq: dict[str, int] = {}
        for encoded in slots:
            for event in encoded.slot.events:
                last_seq[event.symbol] = event.seq
                self._note_event(event, encoded.slot.n)
        self._log.debug(
            "batch_done",
            slot=self.n,
            slots=len(slots),
            size_bytes=sum(len(encoded.data) for encoded in slots),
            messages=len(batch.receipts),
            age_ms=batch.at_ms - batch.oldest_ms,
            commands=batch.command_count,
            events=sum(len(encoded.slot.events) for encoded in slots),
            seq=last_seq,
        )

    def _record(self, batch: Batch, slots: Sequence[EncodedSlot]) -> None:
        partition = self._partition
        recorder.gauge(OLDEST_COMMAND_AGE_MS, batch.at_ms - batch.oldest_ms, partition=partition)
        recorder.count(SLOTS_COMMITTED, len(slots), partition=partition)
        kinds = Counter(type(event) for encoded in slots for event in encoded.slot.events)
        recorder.count(EVENTS_JOURNALED, kinds.total(), partition=partition)
        recorder.count(TRADES_EXECUTED, kinds[TradeExecuted], partition=partition)
        recorder.count(COMMANDS_REFUSED, kinds[OrderRejected] + kinds[CommandRefused], partition=partition)

    def _note_event(self, event: Event, n: int) -> None:
        match event:
            case OrderAccepted() | OrderRejected() if self._log.is_enabled_for(logging.DEBUG):
                self._log.debug(
                    "order_journaled",
                    order_id=event.order_id,
                    symbol=event.symbol,
                    seq=event.seq,
                    slot=n,
                    trace_id=event.trace_id,
                )
            case CommandRefused(reason=Reason.UNDECODABLE):
                self._log.error("message_undecodable", symbol=event.symbol, seq=event.seq, slot=n, digest=event.detail)
