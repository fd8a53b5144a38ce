"""Sends again what was promised and no journal slot has shown: the second half of "202 even if the queue is down".

Safe because the matcher remembers an order for longer than a repeat can live; that holds only while settlement is not
far behind, since an order is known as seen only once it is settled. Beyond that the sweeper waits. How far it is behind
is asked before what is pending, and a repeat says when that was: however long it is on its way, the matcher can tell.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from typing import Final

import structlog

from exchange_adapters.emf import recorder
from exchange_adapters.group_commit import QueueFullError
from exchange_adapters.metrics import OLDEST_PENDING_AGE_MS, SWEEPER_RESENDS
from exchange_core.codec import decode_commands
from exchange_core.errors import Fatal, PortError
from exchange_core.ports import Clock, DatabaseReader, LeaseStore, Pending, WalletHolds
from exchange_core.topology import SWEEP_LAG_LIMIT_MS
from exchange_core.wire import DecodeError
from exchange_gateway.trading.commands_out import CommandDesk, OutgoingCommand

SWEEP_EVERY_S: Final = 2.0
SWEEP_AGE_MS: Final = 3_000
LEASE_MS: Final = 10_000
LISTED_MAX: Final = 1_000
RESENT_MAX: Final = 200
"""A partition and a sweep: a matcher that is behind is not buried under repeats."""
_BACKOFF_MAX_MS: Final = 60_000

log = structlog.get_logger()


class Sweeper:
    """Sweeps all partitions every SWEEP_EVERY_S. One gateway at a time sweeps a partition, for thrift only."""

    def __init__(
        self,
        *,
        holds: WalletHolds,
        reader: DatabaseReader,
        leases: LeaseStore,
        commands: CommandDesk,
        clock: Clock,
        owner: str,
        partitions: int,
    ) -> None:
        self._holds = holds
        self._reader = reader
        self._leases = leases
        self._commands = commands
        self._clock = clock
        self._owner = owner
        self._partitions = partitions
        self._attempts: dict[int, dict[int, tuple[int, int]]] = {partition: {} for partition in range(partitions)}

    async def run(self) -> None:
        """Sweep for ever."""
        while True:
            await asyncio.sleep(SWEEP_EVERY_S)
            for partition in range(self._partitions):
                try:
                    await self.sweep(partition)
                except Fatal:
                    raise
                except (PortError, QueueFullError) as error:
                    log.warning("sweep_failed", partition=partition, error=f"{type(error).__name__}: {error}")

    async def sweep(self, partition: int) -> int:
        """Send again what is due in one partition; how many were sent."""
        now_ms = self._clock.now_ms()
        if not await self._leases.acquire(f"sweep#{partition}", self._owner, now_ms, LEASE_MS):
            return 0
        listed = await self._listed(partition, now_ms)
        age_ms = now_ms - listed[0].created_at_ms if listed else 0
        recorder.gauge(OLDEST_PENDING_AGE_MS, age_ms, partition=partition)
        if not listed:
            self._attempts[partition] = {}
            return 0
        lag_ms = await self._settlement_lag_ms(partition, now_ms)
        listed = await self._listed(partition, now_ms)  # again: what counts is what is pending after the lag was told
        due = self._due(partition, listed, now_ms, lag_ms)
        if not due:
            return 0
        await self._send(partition, due, now_ms)
        recorder.count(SWEEPER_RESENDS, len(due), partition=partition)
        log.warning("intents_sent_again", partition=partition, count=len(due), oldest_ms=age_ms)
        return len(due)

    async def release(self) -> None:
        """Let another gateway sweep at once."""
        for partition in range(self._partitions):
            try:
                await self._leases.release(f"sweep#{partition}", self._owner)
            except PortError as error:
                log.warning("sweep_lease_not_released", partition=partition, error=type(error).__name__)

    async def _listed(self, partition: int, now_ms: int) -> Sequence[Pending]:
        return await self._holds.pending(partition, now_ms - SWEEP_AGE_MS, LISTED_MAX)

    async def _settlement_lag_ms(self, partition: int, now_ms: int) -> int | None:
        """How far the database is behind, or None where it has nothing of the partition yet."""
        for position in await self._reader.positions():
            if position.partition == partition:
                return max(0, now_ms - position.journal_at_ms)
        return None

    def _due(self, partition: int, listed: Sequence[Pending], now_ms: int, lag_ms: int | None) -> list[Pending]:
        """The ones to send now: each waits twice as long for its next time as for its last."""
        if lag_ms is not None and lag_ms >= SWEEP_LAG_LIMIT_MS:
            log.error("sweep_waits_for_settlement", partition=partition, lag_ms=lag_ms, pending=len(listed))
            return []
        known = self._attempts[partition]
        kept: dict[int, tuple[int, int]] = {}
        due: list[Pending] = []
        for pending in listed:
            attempts, not_before_ms = known.get(pending.order_id, (0, 0))
            is_safe = lag_ms is not None or now_ms - pending.created_at_ms < SWEEP_LAG_LIMIT_MS
            if is_safe and now_ms >= not_before_ms and len(due) < RESENT_MAX:
                due.append(pending)
                wait_ms = min(_BACKOFF_MAX_MS, SWEEP_AGE_MS * 2**attempts)
                kept[pending.order_id] = (min(attempts + 1, 10), now_ms + wait_ms)
            elif attempts:
                kept[pending.order_id] = (attempts, not_before_ms)
        self._attempts[partition] = kept
        return due

    async def _send(self, partition: int, due: Sequence[Pending], as_of_ms: int) -> None:
        sent: list[asyncio.Future[None]] = []
        try:
            for pending in due:
                try:
                    (command,) = decode_commands(pending.command)
                except (DecodeError, ValueError) as error:
                    log.error("intent_not_readable", order_id=str(pending.order_id), error=str(error))
                    continue
                repeat = replace(command, as_of_ms=as_of_ms)
                outgoing = OutgoingCommand(group=pending.group, command=repeat, size=len(pending.command))
                sent.append(self._commands.submit(partition, outgoing))
        finally:
            answers = await asyncio.gather(*sent, return_exceptions=True)
        for answer in answers:
            if isinstance(answer, PortError):
                raise answer
