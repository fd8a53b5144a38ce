"""The schema: reached from nothing and from itself, by several processes at once, and strict about money."""

import asyncio
import os
import sys

import asyncpg
import pytest

from crossbook.site import Site
from exchange_persister import migrate

TABLES = {
    "alembic_version",
    "candles",
    "command_outcomes",
    "fills",
    "instruments",
    "ledger",
    "operator_commands",
    "orders",
    "positions",
    "shard_checkpoints",
    "trades",
}


async def tables(database_url: str) -> set[str]:
    connection = await asyncpg.connect(database_url)
    try:
        rows = await connection.fetch("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")
        return {row["tablename"] for row in rows}
    finally:
        await connection.close()


async def upgrade_as_a_process(database_url: str) -> int:
    running = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "exchange_persister.migrate", env=os.environ | {"DATABASE_URL": database_url}
    )
    return await running.wait()


async def test_several_processes_may_upgrade_at_once_and_again(site: Site) -> None:
    await asyncio.to_thread(migrate.downgrade, site.database_url, "base")
    assert await tables(site.database_url) == {"alembic_version"}
    assert await asyncio.gather(*(upgrade_as_a_process(site.database_url) for _ in range(3))) == [0, 0, 0]
    assert await tables(site.database_url) == TABLES
    await asyncio.to_thread(migrate.upgrade, site.database_url)
    connection = await asyncpg.connect(site.database_url)
    try:
        assert await connection.fetchval("SELECT version_num FROM alembic_version") == migrate.newest_revision()
    finally:
        await connection.close()


async def test_trades_that_are_there_already_become_candles(site: Site) -> None:
    await asyncio.to_thread(migrate.downgrade, site.database_url, "0001")
    connection = await asyncpg.connect(site.database_url)
    try:
        await connection.execute("INSERT INTO positions VALUES (0, 3, 200000000)")
        await connection.execute("""
            INSERT INTO trades VALUES
                ('BTCUSD', 1, 100, 5, 500, 'buy', 1, 2, 0, 1, 7, 61000),
                ('BTCUSD', 2, 90, 5, 450, 'buy', 1, 2, 0, 2, 8, 61999),
                ('BTCUSD', 3, 110, 1, 110, 'buy', 1, 2, 0, 3, 9, 200000000)
        """)
        await asyncio.to_thread(migrate.upgrade, site.database_url)
        rows = await connection.fetch("SELECT * FROM candles ORDER BY interval_s, open_at_ms")
        assert [tuple(map(int, tuple(row)[1:])) for row in rows][:3] == [
            (1, 200_000_000, 110, 110, 110, 110, 1, 110, 1, 9),  # the seconds of two days before are not kept
            (60, 60_000, 100, 100, 90, 90, 10, 950, 2, 8),
            (60, 199_980_000, 110, 110, 110, 110, 1, 110, 1, 9),
        ]
        assert len(rows) == 1 + 2 * 6
        assert await connection.fetchval("SELECT candles_slot FROM positions") == 3
        await connection.execute("TRUNCATE positions, trades, candles")
    finally:
        await connection.close()


async def test_without_an_address_the_command_says_so() -> None:
    running = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "exchange_persister.migrate",
        env={name: value for name, value in os.environ.items() if name != "DATABASE_URL"},
        stderr=asyncio.subprocess.PIPE,
    )
    _, complaint = await running.communicate()
    assert running.returncode == 1 and b"DATABASE_URL" in complaint


@pytest.mark.parametrize(("amount", "to_pocket"), [(0, "available"), (-1, "available"), (1, "held"), (1, "elsewhere")])
async def test_the_ledger_refuses_what_is_no_posting(site: Site, amount: int, to_pocket: str) -> None:
    connection = await asyncpg.connect(site.database_url)
    try:
        with pytest.raises(asyncpg.CheckViolationError):
            await connection.execute(
                """INSERT INTO ledger VALUES
                   (0, 1, 0, 'release', 'USD', $1, 'alice', 'held', 'alice', $2, 'BTCUSD', 1, 1)""",
                amount,
                to_pocket,
            )
    finally:
        await connection.close()
