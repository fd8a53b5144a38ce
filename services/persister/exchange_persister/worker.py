"""All shards of the stream, each by a reader of its own, parents before children. For the twins: on AWS the Lambda's
event source mapping does this."""

import asyncio
from collections.abc import Sequence

import structlog

from exchange_adapters.system import Readiness
from exchange_core.ports import ExecutionSource, Projections, Shard
from exchange_persister.apply import Applier
from exchange_persister.faults import Outage, StoppedError, is_set_within, persist
from exchange_persister.reader import ReaderSettings, ShardReader


class StreamWorker:
    """Finds shards, starts their readers, and every `refresh_interval_s` looks for new ones and logs the lag."""

    def __init__(
        self,
        source: ExecutionSource,
        projections: Projections,
        applier: Applier,
        readiness: Readiness,
        settings: ReaderSettings,
        *,
        refresh_interval_s: float,
        stopping: asyncio.Event,
    ) -> None:
        self._source = source
        self._projections = projections
        self._applier = applier
        self._readiness = readiness
        self._settings = settings
        self._refresh_interval_s = refresh_interval_s
        self._stopping = stopping
        self._readers: dict[str, ShardReader] = {}
        self._drained: set[str] = set()
        self._listing = Outage("stream", stopping, lambda is_up: readiness.set("stream", is_up))
        self._asking = Outage("database", stopping, lambda is_up: readiness.set("database", is_up))
        self._log = structlog.get_logger()

    async def run(self) -> None:
        """Read until `stopping` is set; what was read by then is settled. Raises Fatal."""
        async with asyncio.TaskGroup() as tasks:
            try:
                while not self._stopping.is_set():
                    await self._start_readers(tasks)
                    self._log_lag()
                    await is_set_within(self._stopping, self._refresh_interval_s)
            finally:
                self._stopping.set()  # the failure of one reader ends the others, even those that wait for a store

    async def _start_readers(self, tasks: asyncio.TaskGroup) -> None:
        """Start a reader for every shard whose parents are drained."""
        try:
            shards = await persist(self._source.shards, self._listing)
            checkpoints = await persist(self._projections.checkpoints, self._asking)
        except StoppedError:
            return
        for shard in _readable(shards, self._drained):
            if shard.shard_id not in self._readers:
                reader = ShardReader(
                    shard.shard_id,
                    self._source,
                    self._applier,
                    self._readiness,
                    self._settings,
                    self._stopping,
                )
                self._readers[shard.shard_id] = reader
                tasks.create_task(self._read(tasks, reader, shard.shard_id, checkpoints.get(shard.shard_id)))
        if not self._applier.halts:
            self._readiness.set("settlement", True)

    async def _read(self, tasks: asyncio.TaskGroup, reader: ShardReader, shard_id: str, checkpoint: str | None) -> None:
        self._log.info("shard_opened", shard=shard_id, after=checkpoint)
        if await reader.run(checkpoint):
            self._log.info("shard_drained", shard=shard_id)
            self._drained.add(shard_id)
            await self._start_readers(tasks)

    def _log_lag(self) -> None:
        """Per partition the last settled slot; for all, slots read and not settled, and how far reading is behind."""
        self._log.info(
            "persister_lag",
            slots=dict(sorted(self._applier.positions.items())),
            halted=sorted(self._applier.halts),
            waiting_slots=sum(reader.depth for reader in self._readers.values()),
            behind_ms=max((reader.behind_ms for reader in self._readers.values()), default=0),
        )


def _readable(shards: Sequence[Shard], drained: set[str]) -> list[Shard]:
    """Shards not yet drained whose parents are, or are not kept any more."""
    kept = {shard.shard_id for shard in shards}
    return [
        shard
        for shard in shards
        if shard.shard_id not in drained and all(parent in drained or parent not in kept for parent in shard.parent_ids)
    ]
