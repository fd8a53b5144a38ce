"""Slots become rows in a real PostgreSQL: exactly once, whole or not at all, the same as the plainest fold shows."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from random import Random
from typing import Any

import asyncpg
import pytest

from crossbook.site import Site
from exchange_adapters.postgres import PostgresProjections, open_pool
from exchange_adapters.postgres_reader import PostgresReader
from exchange_adapters.sim.projection_fold import ProjectionFold
from exchange_core.candles import DAY_MS, CandleInterval
from exchange_core.codec import Slot
from exchange_core.commands import PlaceOrder
from exchange_core.engine import PartitionEngine
from exchange_core.errors import Ambiguous, Conflict, Fatal, Unavailable
from exchange_core.ledger import postings
from exchange_core.orders import OrderStatus, OrderType, Reason, Side, TimeInForce
from tests.eventually import eventually
from tests.unit.persister.journals import RandomMarket


@pytest.fixture
async def pool(site: Site) -> AsyncIterator[asyncpg.Pool]:
    async with open_pool(site.database_url) as opened:
        yield opened


async def record(pool: asyncpg.Pool, slots: list[Slot]) -> None:
    async with PostgresProjections(pool).begin(slots[0].partition) as projection:
        await projection.record(slots)


async def counts(pool: asyncpg.Pool) -> dict[str, int]:
    tables = ("orders", "trades", "fills", "ledger", "instruments")
    return {table: await pool.fetchval(f"SELECT count(*) FROM {table}") for table in tables}


def folded(*journals: list[Slot]) -> ProjectionFold:
    fold = ProjectionFold()
    for slots in journals:
        for slot in slots:
            fold.apply(slot)
    return fold


async def assert_shows(pool: asyncpg.Pool, *journals: list[Slot]) -> None:
    """Everything that the reader can show is what the fold shows, and the ledger is the postings, in order."""
    reader, fold = PostgresReader(pool), folded(*journals)
    for order_id, expected in fold.orders.items():
        shown = await reader.order(expected.user_id, order_id)
        assert shown is not None
        if expected.status is OrderStatus.REJECTED:
            assert (shown.status, shown.reason) == (expected.status, expected.reason)
        else:
            assert shown == expected
    for symbol, trades in fold.trades.items():
        assert list(await reader.trades(symbol, before_trade_id=None, limit=1000)) == trades[::-1]
    for symbol in fold.trades:
        for interval in CandleInterval:
            expected_candles = [one for key, one in fold.candles.items() if key[:2] == (symbol, interval)]
            shown_candles = await reader.candles(symbol, interval, from_ms=0, to_ms=2**62, limit=1000)
            assert list(shown_candles) == sorted(expected_candles, key=lambda one: one.open_at_ms)
    for user_id in {user_id for user_id, _ in fold.fills}:
        expected_fills = [fill for owner, fill in fold.fills if owner == user_id]
        expected_fills.sort(key=lambda fill: (fill.at_ms, fill.symbol, fill.trade_id), reverse=True)
        shown_fills = await reader.fills(user_id, symbol=None, order_id=None, before=None, limit=1000)
        assert list(shown_fills) == expected_fills
    assert list(await reader.instruments()) == [one for _, one in sorted(fold.instruments.items())]
    assert list(await reader.positions()) == [one for _, one in sorted(fold.positions.items())]
    rows = await pool.fetch("SELECT * FROM ledger ORDER BY partition, slot, line")
    assert [_ledger_line(row) for row in rows] == [
        (slot.n, p.kind, p.asset, p.amount, p.from_user, p.from_pocket, p.to_user, p.to_pocket)
        for slots in journals
        for slot in slots
        for event in slot.events
        for p in postings(event, fold.instruments, slot.partition)
    ]


def _ledger_line(row: Any) -> tuple[Any, ...]:
    accounts = (row["from_account"], row["from_pocket"], row["to_account"], row["to_pocket"])
    return (row["slot"], row["kind"], row["asset"], int(row["amount"]), *accounts)


@pytest.mark.parametrize("seed", range(3))
async def test_rows_equal_the_fold_however_the_journal_is_cut(pool: asyncpg.Pool, seed: int) -> None:
    random = Random(seed)
    journals = [RandomMarket(random, partition=p, symbol=f"BTCUSD{p}").slots(60) for p in range(2)]
    for slots in journals:
        at = 0
        while at < len(slots):
            end = min(len(slots), at + random.randint(1, 25))
            await record(pool, slots[at:end])
            at = end
    await assert_shows(pool, *journals)


async def test_candles_make_good_for_what_a_version_without_them_settled(pool: asyncpg.Pool) -> None:
    slots = RandomMarket(Random(5)).slots(60)
    await record(pool, slots[:30])
    # GIVEN the version before settles some slots: it writes trades, no candles, and moves the one number it knows
    before = await pool.fetch("SELECT * FROM candles")
    await record(pool, slots[30:45])
    await pool.execute("DELETE FROM candles")
    await pool.copy_records_to_table("candles", records=[tuple(row) for row in before])
    await pool.execute("UPDATE positions SET candles_slot = 30")
    # WHEN this version goes on
    await record(pool, slots[45:])
    # THEN nothing is missing or there twice
    await assert_shows(pool, slots)


async def test_candles_of_a_second_are_kept_for_a_day_of_the_symbols_trades(pool: asyncpg.Pool) -> None:
    slots = RandomMarket(Random(6)).slots(40)
    late = [replace(slot, at_ms=slot.at_ms + 2 * DAY_MS) for slot in slots[30:]]
    for run in (slots[:20], [*slots[20:30], *late[:5]], late[5:]):
        await record(pool, run)
    await assert_shows(pool, [*slots[:30], *late])
    oldest_ms = await pool.fetchval("SELECT min(open_at_ms) FROM candles WHERE interval_s = 1")
    assert oldest_ms >= late[0].at_ms - 1_000


async def test_a_repeated_slot_is_refused_whole(pool: asyncpg.Pool) -> None:
    slots = RandomMarket(Random(1)).slots(20)
    await record(pool, slots)
    before = await counts(pool)
    with pytest.raises(AssertionError):
        await record(pool, slots[-3:])
    # AND if the position were wrong, the keys of the tables would refuse it all the same
    await pool.execute("UPDATE positions SET candles_slot = 10, slot = 10")
    with pytest.raises(Fatal, match=r"UniqueViolation|unknown or done"):
        await record(pool, slots[10:])
    await pool.execute("UPDATE positions SET slot = 20, candles_slot = 20")
    assert await counts(pool) == before
    await assert_shows(pool, slots)


async def test_an_exception_in_the_transaction_rolls_everything_back(pool: asyncpg.Pool) -> None:
    slots = RandomMarket(Random(2)).slots(12)
    await record(pool, slots[:6])
    for error in (Unavailable("wallets are down"), asyncio.CancelledError()):
        with pytest.raises(type(error)):
            await _record_and_fail(pool, slots[6:], error)
    assert await PostgresProjections(pool).checkpoints() == {}
    await assert_shows(pool, slots[:6])
    await record(pool, slots[6:])
    await assert_shows(pool, slots)


async def test_of_one_partition_only_one_transaction_is_open(pool: asyncpg.Pool) -> None:
    slots = RandomMarket(Random(3)).slots(4)
    projections = PostgresProjections(pool)
    order: list[str] = []

    async def second() -> None:
        async with projections.begin(0) as projection:
            order.append(f"second sees {projection.position}")

    async with projections.begin(0) as projection:
        waiting = asyncio.create_task(second())
        async with projections.begin(1) as other:  # another partition does not wait
            assert other.position == 0
        await eventually(lambda: _waiters(pool))
        await projection.record(slots)
        order.append("first is done")
    await waiting
    assert order == ["first is done", "second sees 4"]


async def test_a_lock_that_is_held_too_long_is_a_conflict(site: Site) -> None:
    async with open_pool(site.database_url, statement_timeout_ms=200) as pool:
        projections = PostgresProjections(pool)
        async with projections.begin(0):
            with pytest.raises(Conflict):
                async with projections.begin(0):
                    pass
        async with projections.begin(0) as projection:
            assert projection.position == 0


async def test_a_session_that_is_cut_is_unavailable_and_at_the_commit_ambiguous(pool: asyncpg.Pool) -> None:
    slots = RandomMarket(Random(4)).slots(6)
    projections = PostgresProjections(pool)
    with pytest.raises(Unavailable):
        await _record_with_cut(pool, slots, cut_first=True)
    with pytest.raises(Ambiguous):
        await _record_with_cut(pool, slots, cut_first=False)
    # the position tells what came of it
    async with projections.begin(0) as projection:
        assert projection.position == 0
        await projection.record(slots)
    await assert_shows(pool, slots)


async def test_a_session_where_nothing_can_be_written_is_not_used_again(site: Site) -> None:
    slots = RandomMarket(Random(7)).slots(3)
    may_write = {"default_transaction_read_only": "off"}
    administrator = await asyncpg.connect(site.database_url, server_settings=may_write)
    database = await administrator.fetchval("SELECT quote_ident(current_database())")
    async with open_pool(site.database_url, max_size=1) as pool:
        # GIVEN a session on what was the writer before a failover
        await administrator.execute(f"ALTER DATABASE {database} SET default_transaction_read_only = on")
        with pytest.raises(Unavailable, match="ReadOnlySQLTransactionError"):
            await record(pool, slots)
        # WHEN the name leads to a writer again
        await administrator.execute(f"ALTER DATABASE {database} RESET default_transaction_read_only")
        await administrator.close()
        # THEN the next attempt takes a new session
        await record(pool, slots)
        await assert_shows(pool, slots)


async def test_a_checkpoint_never_goes_back(pool: asyncpg.Pool) -> None:
    projections = PostgresProjections(pool)
    for sequence in ("9", "10", "8", "49590338271490256608559692538361571095921575989136588898"):
        async with projections.begin(0) as projection:
            await projection.checkpoint("shard-1", sequence)
        shown = (await projections.checkpoints())["shard-1"]
        assert shown == ("10" if sequence == "8" else sequence)


async def test_a_database_that_is_not_there_is_unavailable(site: Site) -> None:
    nowhere = "postgresql://postgres@127.0.0.1:1/nowhere"
    async with open_pool(nowhere) as pool:
        with pytest.raises(Unavailable):
            await PostgresReader(pool).positions()
        with pytest.raises(Unavailable):
            async with PostgresProjections(pool).begin(0):
                pass


async def test_an_order_that_the_database_does_not_know_is_our_bug(pool: asyncpg.Pool) -> None:
    slots = RandomMarket(Random(5)).slots(30)
    await record(pool, slots[:15])
    await pool.execute("DELETE FROM orders")
    with pytest.raises(Fatal, match="unknown or done"):
        await record(pool, slots[15:])


async def test_an_order_for_a_symbol_that_was_never_listed_does_not_stop_its_partition(pool: asyncpg.Pool) -> None:
    engine = PartitionEngine(0)
    order = PlaceOrder(
        order_id=9,
        user_id="alice",
        client_order_id="",
        symbol="NEVERWAS",
        side=Side.SELL,
        order_type=OrderType.LIMIT,
        time_in_force=TimeInForce.GTC,
        price=1,
        quantity=1,
        hold=5,
        hold_asset="BTC",
        entered_at_ms=1,
    )
    events = (*engine.begin_slot(1), *engine.execute(order, 1))
    slot = Slot(partition=0, n=1, at_ms=1, fed_through=0, writer="test", events=events)
    await record(pool, [slot])
    shown = await PostgresReader(pool).order("alice", 9)
    assert shown is not None
    assert (shown.status, shown.reason) == (OrderStatus.REJECTED, Reason.SYMBOL_UNKNOWN)
    assert [int(row["amount"]) for row in await pool.fetch("SELECT amount FROM ledger")] == [5], "its hold is released"


async def _waiters(pool: asyncpg.Pool) -> int:
    return int(await pool.fetchval("SELECT count(*) FROM pg_locks WHERE NOT granted"))


async def _cut_sessions(pool: asyncpg.Pool) -> None:
    await pool.execute(
        """SELECT pg_terminate_backend(pid, 2000) FROM pg_stat_activity
           WHERE datname = current_database() AND state = 'idle in transaction' AND pid <> pg_backend_pid()"""
    )


async def _record_and_fail(pool: asyncpg.Pool, slots: list[Slot], error: BaseException) -> None:
    async with PostgresProjections(pool).begin(0) as projection:
        await projection.record(slots)
        await projection.checkpoint("shard", "7")
        assert projection.position == slots[-1].n
        raise error


async def _record_with_cut(pool: asyncpg.Pool, slots: list[Slot], *, cut_first: bool) -> None:
    async with PostgresProjections(pool).begin(0) as projection:
        if cut_first:
            await _cut_sessions(pool)
        await projection.record(slots)
        await _cut_sessions(pool)
