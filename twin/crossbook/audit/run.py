"""The audit of a running exchange: reads its stores, all at one point of the journal, and judges them.

Writes nothing. What is compared must stand still: the audit waits, for a
bounded time, until settlement has reached the journal's head and nothing happens while it reads.
"""

import asyncio
import gc
import time
from typing import Final

import asyncpg
from botocore.exceptions import BotoCoreError, ClientError
from redis.exceptions import RedisError

from crossbook.audit import candles, checks, outcomes, projections
from crossbook.audit.checks import CheckResult, Judgement, judge
from crossbook.audit.evidence import Evidence, EvidenceReader
from crossbook.audit.fold import Difference
from crossbook.bootstrap import open_cloud
from crossbook.errors import SetupError
from exchange_core.codec import decode_slot
from exchange_core.topology import Topology
from exchange_core.wire import DecodeError

CACHE_PATIENCE_S: Final = 7.0
"""Matchers write every cache again within five seconds."""
_POLL_S: Final = 0.2
_POLL_LONGEST_S: Final = 3.0

CHECKS: Final = (
    checks.check_journal,
    checks.check_numbers,
    checks.check_engine,
    checks.check_money,
    checks.check_exposure,
    checks.check_trading,
    checks.check_wallets,
    checks.check_intents,
    projections.check_position,
    projections.check_orders,
    projections.check_trades,
    candles.check_candles,
    projections.check_ledger,
    outcomes.check_outcomes,
    outcomes.check_operator_commands,
    projections.check_instruments,
    projections.check_history,
    projections.check_caches,
)


def audit_twin(environment: dict[str, str], wait_s: float) -> list[CheckResult]:
    """Audit the exchange that these variables lead to; waits up to `wait_s` for it to be at rest. Raises SetupError."""
    gc.disable()  # hundreds of thousands of rows that all stay: to look through them again and again doubles the time
    try:
        return asyncio.run(audit_exchange(environment, wait_s))
    finally:
        gc.enable()


async def audit_exchange(environment: dict[str, str], wait_s: float) -> list[CheckResult]:
    """Like `audit_twin`, for those who have an event loop already."""
    topology = Topology(prefix=environment["CROSSBOOK_PREFIX"], partitions=int(environment["CROSSBOOK_PARTITIONS"]))
    try:
        async with open_cloud(environment) as cloud:
            reader = EvidenceReader(
                cloud,
                topology,
                database_url=environment["DATABASE_URL"],
                redis_url=environment["REDIS_URL"],
            )
            return await audit(reader, partitions=topology.partitions, wait_s=wait_s)
    except (BotoCoreError, ClientError, asyncpg.PostgresError, asyncpg.InterfaceError, RedisError, OSError) as error:
        raise SetupError(f"the twin's stores cannot be read: {type(error).__name__}: {error}") from error


async def audit(reader: EvidenceReader, *, partitions: int, wait_s: float) -> list[CheckResult]:
    """Read everything once it stands still, and judge it. Does not raise for what it finds."""
    evidence = Evidence(partitions=partitions)
    restless = await _read_at_rest(reader, evidence, wait_s)
    judgement = judge(evidence)
    await _read_caches(reader, judgement)
    rest = CheckResult(name="exchange: at rest while read", scope="", differences=tuple(restless))
    return [rest, *(check(judgement) for check in CHECKS)]


async def _read_at_rest(reader: EvidenceReader, evidence: Evidence, wait_s: float) -> list[Difference]:
    """Read journal and stores such that nothing happened in between; returns why that could not be had in time."""
    deadline_s = time.monotonic() + wait_s
    pause_s = _POLL_S
    while True:
        await reader.extend_journal(evidence)
        is_last = time.monotonic() >= deadline_s
        positions = await reader.positions()
        is_settled = all(positions.get(p, 0) >= evidence.head(p) for p in range(evidence.partitions))
        if is_settled or is_last:
            await reader.read_stores(evidence)
            moved = [*await _news(reader, evidence)]
            if not moved and not evidence.pending:
                return []
            if is_last:
                return moved
            pause_s = min(2 * pause_s, _POLL_LONGEST_S)
        await asyncio.sleep(pause_s)


async def _news(reader: EvidenceReader, evidence: Evidence) -> list[Difference]:
    """What happened since the evidence was read; heartbeats are nothing."""
    news = []
    later = Evidence(partitions=evidence.partitions)
    later.journal = {partition: slots[-1:] for partition, slots in evidence.journal.items()}
    await reader.extend_journal(later)
    evidence.later_heads = {partition: later.head(partition) for partition in later.journal}
    for partition, slots in later.journal.items():
        for n, data in slots:
            if n > evidence.head(partition) and _has_events(data):
                text = "orders still come in, so stores read one after the other do not compare"
                news.append(Difference(place="journal", text=text, partition=partition, slot=n))
    if await reader.pending_ids() != evidence.pending.keys():
        news.append(Difference(place="intents", text="orders still come in"))
    return news


def _has_events(data: bytes) -> bool:
    try:
        return bool(decode_slot(data).events)
    except DecodeError:
        return True


async def _read_caches(reader: EvidenceReader, judgement: Judgement) -> None:
    """Caches may lag behind the journal for a moment."""
    deadline_s = time.monotonic() + CACHE_PATIENCE_S
    symbols = sorted(judgement.fold.instruments)
    while True:
        await reader.read_cache(judgement.evidence, symbols)
        if not projections.check_caches(judgement).differences or time.monotonic() > deadline_s:
            return
        await asyncio.sleep(_POLL_S)
