"""What the reconciler reads of the database costs as much as it reads, however many rows there are."""

from typing import Any

import asyncpg
import orjson
import pytest

from crossbook.site import Site
from exchange_adapters.postgres import open_pool
from exchange_adapters.postgres_settled import LEDGER_OF_SLOTS, TRADES_OF_SLOTS, PostgresSettledRows

ROWS = 100_000
BUSY, QUIET = 0, 1
QUIET_EVERY = 50
"""One slot in so many is the quiet partition's, so that its numbers are far behind those of the busy one."""
LAST_SLOT = ROWS // QUIET_EVERY

_PLACE = f"""
    CASE WHEN n % {QUIET_EVERY} = 0 THEN {QUIET} ELSE {BUSY} END,
    CASE WHEN n % {QUIET_EVERY} = 0 THEN n / {QUIET_EVERY} ELSE n END
"""
FILL = (
    f"""
    INSERT INTO trades
        (partition, slot, symbol, trade_id, price, quantity, quote_amount, taker_side, maker_order_id, taker_order_id,
        seq, at_ms)
    SELECT {_PLACE}, 'BTCUSD', n, 1, 1, 1, 'buy', n, n, n, n FROM generate_series(1, {ROWS}) AS n
    """,
    f"""
    INSERT INTO ledger
        (partition, slot, line, kind, asset, amount, from_account, from_pocket, to_account, to_pocket, symbol, seq,
        at_ms)
    SELECT {_PLACE}, 0, 'trade', 'USD', 1, 'alice', 'held', 'bob', 'available', 'BTCUSD', n, n
    FROM generate_series(1, {ROWS}) AS n
    """,
    "VACUUM ANALYZE trades",
    "VACUUM ANALYZE ledger",
)


async def blocks_read(pool: asyncpg.Pool, query: str, *arguments: Any) -> int:
    """How many blocks of 8 KB the server looks at for it."""
    ((plan,),) = await pool.fetch(f"EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) {query}", *arguments)
    top = orjson.loads(plan)[0]["Plan"]
    return int(top["Shared Hit Blocks"]) + int(top["Shared Read Blocks"])


@pytest.mark.parametrize("partition", [BUSY, QUIET])
async def test_the_newest_slots_are_found_without_looking_at_the_others(site: Site, partition: int) -> None:
    last = {BUSY: ROWS, QUIET: LAST_SLOT}[partition]
    async with open_pool(site.database_url) as pool:
        for statement in FILL:
            await pool.execute(statement)
        rows = PostgresSettledRows(pool)
        trades = await rows.trades(partition, last - 10, last)
        ledger = await rows.ledger(partition, last - 10, last)
        assert len(trades) == len(ledger) == (10 if partition == QUIET else 9)
        for query in (TRADES_OF_SLOTS, LEDGER_OF_SLOTS):
            assert await blocks_read(pool, query, partition, last - 10, last) < 30
