"""How long a matcher takes to come to life, against the length of its journal, with and without a snapshot.

The stores are those of the embedded twin, with one partition and no users. At each length the matcher's own `recover`
runs here, taken apart, and then a matcher's process is started and watched until it is ready. The persister, which has
slept meanwhile, is started and watched until the database is at the journal's end. Fanout keeps nothing, so it has
nothing to catch up on.
"""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Final

import asyncpg
import psutil

from bench.fold import FoldResult, measure_fold
from bench.long_journal import PARTITION, LongJournal
from crossbook.options import TwinOptions
from crossbook.readiness import is_ready
from crossbook.services import services
from crossbook.twin import Twin
from exchange_adapters.dynamodb_items import put_all
from exchange_adapters.dynamodb_journal import DynamoJournal
from exchange_adapters.dynamodb_wallets import DynamoWalletRestore
from exchange_adapters.kinesis import KinesisExecutionSink
from exchange_adapters.s3 import S3Snapshots
from exchange_core.ports import Wallet
from exchange_core.topology import stream_hash_key
from exchange_matcher.slots import EncodedSlot

LENGTHS: Final = (10_000, 100_000, 1_000_000)
CATCH_UP_EVENTS_MAX: Final = 200_000
"""What is settled a second is settled by then; the rest would take minutes more and say no more."""
READY_TIMEOUT_S: Final = 600.0
CATCH_UP_TIMEOUT_S: Final = 1_800.0
STOP_TIMEOUT_S: Final = 30.0
POLL_S: Final = 0.2
UNITS: Final = 10**30
"""What every wallet has, free and held: the flow comes from no gateway, which would have seen to it."""
WALLETS: Final = tuple((user, asset) for user in ("buyer", "seller") for asset in ("USD", "BTC"))
QUIET: Final = {"HEARTBEAT_MS": str(10**12)}
"""A matcher that is only watched must add nothing to the journal."""

Say = Callable[[str], None]
Snapshot = tuple[int, bytes]


@dataclass(frozen=True, slots=True, kw_only=True)
class RecoveryResult:
    """One length of the journal with one kind of snapshot. `ready_s`: from the start of a matcher's process until it
    takes commands, `memory_bytes`: its resident memory then."""

    snapshot: str
    journal_events: int
    journal_slots: int
    journal_bytes: int
    snapshot_bytes: int
    fold: FoldResult
    ready_s: float
    memory_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class CatchUpResult:
    """From the start of a persister's process until it has settled what had piled up."""

    events: int
    slots: int
    seconds: float


@dataclass(slots=True, kw_only=True)
class RecoveryFigures:
    """All of it."""

    recoveries: list[RecoveryResult] = field(default_factory=list)
    catch_ups: list[CatchUpResult] = field(default_factory=list)


async def measure_recovery(directory: Path, *, lengths: Sequence[int], say: Say) -> RecoveryFigures:
    """Let one journal grow to each of these numbers of events in turn."""
    figures, twin = RecoveryFigures(), Twin(directory, replace(TwinOptions.private(), partitions=1, matchers=1))
    say("starting the stores of a private exchange")
    try:
        await twin.start_stores()
        await _fund(twin)
        grown = LongJournal(partial(_keep, twin))
        settled_events = settled_slots = 0
        for length in sorted(lengths):
            say(f"writing a journal of {length:,} events")
            await grown.grow(length)
            for name, snapshot in _cases(grown):
                say(f"recovering {grown.events:,} events; snapshot: {name}")
                figures.recoveries.append(await _recover(twin, grown, name, snapshot))
            events, slots = grown.events - settled_events, grown.slots - settled_slots
            if events <= CATCH_UP_EVENTS_MAX:
                say(f"the persister catches up on {events:,} events")
                seconds = await _catch_up(twin, grown.slots)
                figures.catch_ups.append(CatchUpResult(events=events, slots=slots, seconds=seconds))
                settled_events, settled_slots = grown.events, grown.slots
    finally:
        await twin.stop()
    return figures


def _cases(grown: LongJournal) -> Iterator[tuple[str, Callable[[], Snapshot | None]]]:
    """What recovery may find: no snapshot, one that is as old as it gets, one of a matcher that was stopped."""
    yield "none", lambda: None
    if grown.has_due_snapshot:
        yield "oldest", grown.due_snapshot
    yield "stopped", grown.snapshot


async def _recover(twin: Twin, grown: LongJournal, name: str, take: Callable[[], Snapshot | None]) -> RecoveryResult:
    cloud, topology = twin.backing.cloud, twin.site.topology
    snapshots = S3Snapshots(cloud.s3, topology)
    snapshot = take()
    await _forget_snapshots(twin)
    if snapshot is not None:
        await snapshots.put(PARTITION, *snapshot)
    fold = await measure_fold(
        DynamoJournal(cloud.dynamodb, topology), KinesisExecutionSink(cloud.kinesis, topology), snapshots
    )
    assert fold.state_hash == grown.state_hash(), "what was recovered is what was written"
    async with _process(twin, "matcher-1", QUIET) as (ready_s, memory_bytes):
        pass
    return RecoveryResult(
        snapshot=name,
        journal_events=grown.events,
        journal_slots=grown.slots,
        journal_bytes=grown.size_bytes,
        snapshot_bytes=0 if snapshot is None else len(snapshot[1]),
        fold=fold,
        ready_s=ready_s,
        memory_bytes=memory_bytes,
    )


async def _catch_up(twin: Twin, slot: int) -> float:
    started_s = time.perf_counter()
    connection = await asyncpg.connect(twin.site.database_url)
    try:
        async with _process(twin, "persister", {}), asyncio.timeout(CATCH_UP_TIMEOUT_S):
            while await connection.fetchval("SELECT slot FROM positions WHERE partition = $1", PARTITION) != slot:
                await asyncio.sleep(POLL_S)
            return time.perf_counter() - started_s
    finally:
        await connection.close()


@contextlib.asynccontextmanager
async def _process(twin: Twin, name: str, variables: dict[str, str]) -> AsyncIterator[tuple[float, int]]:
    """A service's process; after how many seconds it was ready, and its resident memory in bytes then."""
    service = next(one for one in services(matchers=1) if one.name == name)
    port = twin.backing.ports[name]
    spec = service.spec(twin.site, port=port, log_level="warning", directory=twin.backing.state.path)
    started_s = time.perf_counter()
    with (twin.logs / f"{name}.log").open("ab") as log:
        process = await asyncio.create_subprocess_exec(
            *spec.command, env={**spec.environment, **variables}, cwd=spec.directory, stdout=log, stderr=log
        )
    try:
        async with asyncio.timeout(READY_TIMEOUT_S):
            while not await is_ready(port, spec.ready_path):
                assert process.returncode is None, f"{name} ended with {process.returncode}"
                await asyncio.sleep(POLL_S)
        yield time.perf_counter() - started_s, psutil.Process(process.pid).memory_info().rss
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.terminate()
        async with asyncio.timeout(STOP_TIMEOUT_S):
            await process.wait()


async def _keep(twin: Twin, slots: Sequence[EncodedSlot]) -> None:
    """What the adapters write slot by slot, in batches: how long writing takes is not what is measured."""
    cloud, topology = twin.backing.cloud, twin.site.topology
    items = ({"partition": PARTITION, "n": one.slot.n, "data": one.data} for one in slots)
    await put_all(cloud.dynamodb, topology.journal.name, items)
    where = {"PartitionKey": str(PARTITION), "ExplicitHashKey": str(stream_hash_key(PARTITION))}
    answer = await cloud.kinesis.put_records(
        StreamName=topology.executions.name, Records=[{"Data": one.data, **where} for one in slots]
    )
    assert not answer["FailedRecordCount"]


async def _fund(twin: Twin) -> None:
    wallets = [
        Wallet(user_id=user_id, asset=asset, available=UNITS, held=UNITS, applied={}) for user_id, asset in WALLETS
    ]
    await DynamoWalletRestore(twin.backing.cloud.dynamodb, twin.site.topology).replace(wallets)


async def _forget_snapshots(twin: Twin) -> None:
    s3, bucket = twin.backing.cloud.s3, twin.site.topology.snapshots.name
    for entry in (await s3.list_objects_v2(Bucket=bucket)).get("Contents", []):
        await s3.delete_object(Bucket=bucket, Key=entry["Key"])
