"""The gateway's queries: filters, pages, and one user never sees another's."""

from collections.abc import AsyncIterator
from random import Random

import asyncpg
import pytest

from crossbook.site import Site
from exchange_adapters.postgres import PostgresProjections, open_pool
from exchange_adapters.postgres_reader import PostgresReader
from exchange_adapters.sim.projection_fold import ProjectionFold
from exchange_core.orders import OrderStatus
from tests.unit.persister.journals import USERS, RandomMarket

SYMBOLS = ("BTCUSD", "ETHUSD")
OPEN = {OrderStatus.OPEN, OrderStatus.PARTIALLY_FILLED}


@pytest.fixture
async def pool(site: Site) -> AsyncIterator[asyncpg.Pool]:
    async with open_pool(site.database_url) as opened:
        yield opened


@pytest.fixture
async def fold(pool: asyncpg.Pool) -> ProjectionFold:
    """Two markets in the database, and what they should look like."""
    fold, random = ProjectionFold(), Random(1)
    for partition, symbol in enumerate(SYMBOLS):
        slots = RandomMarket(random, partition=partition, symbol=symbol).slots(80)
        async with PostgresProjections(pool).begin(partition) as projection:
            await projection.record(slots)
        for slot in slots:
            fold.apply(slot)
    return fold


def ids(fold: ProjectionFold, user_id: str, symbol: str | None, open_only: bool) -> list[int]:
    return sorted(
        (
            order.order_id
            for order in fold.orders.values()
            if order.user_id == user_id and symbol in (None, order.symbol) and (not open_only or order.status in OPEN)
        ),
        reverse=True,
    )


@pytest.mark.parametrize("symbol", [None, *SYMBOLS])
@pytest.mark.parametrize("open_only", [False, True])
async def test_orders_are_paged_newest_first(
    pool: asyncpg.Pool, fold: ProjectionFold, symbol: str | None, open_only: bool
) -> None:
    reader = PostgresReader(pool)
    for user_id in USERS:
        expected, shown, before = ids(fold, user_id, symbol, open_only), [], None
        assert expected
        while True:
            page = await reader.orders(user_id, symbol=symbol, open_only=open_only, before_order_id=before, limit=7)
            if not page:
                break
            shown.extend(order.order_id for order in page)
            before = shown[-1]
        assert shown == expected


async def test_an_order_is_found_by_either_id_and_by_its_owner_only(pool: asyncpg.Pool, fold: ProjectionFold) -> None:
    reader = PostgresReader(pool)
    for order in [order for order in fold.orders.values() if "\0" not in order.client_order_id][:20]:
        assert await reader.order(order.user_id, order.order_id) == order
        assert await reader.order_by_client_id(order.user_id, order.client_order_id) == order
        stranger = next(user_id for user_id in USERS if user_id != order.user_id)
        assert await reader.order(stranger, order.order_id) is None
        assert await reader.order_by_client_id(stranger, order.client_order_id) is None
    assert await reader.order("alice", 1) is None


async def test_fills_are_paged_by_user_symbol_and_order(pool: asyncpg.Pool, fold: ProjectionFold) -> None:
    reader = PostgresReader(pool)
    for user_id in USERS:
        expected = sorted(
            (fill for owner, fill in fold.fills if owner == user_id),
            key=lambda fill: (fill.at_ms, fill.symbol, fill.trade_id),
            reverse=True,
        )
        shown, before = [], None
        while page := await reader.fills(user_id, symbol=None, order_id=None, before=before, limit=5):
            shown.extend(page)
            before = (page[-1].at_ms, page[-1].symbol, page[-1].trade_id)
        assert shown == expected and len(expected) > 5
        of_symbol = await reader.fills(user_id, symbol="ETHUSD", order_id=None, before=None, limit=1000)
        assert list(of_symbol) == [fill for fill in expected if fill.symbol == "ETHUSD"]
        order_id = expected[0].order_id
        of_order = await reader.fills(user_id, symbol=None, order_id=order_id, before=None, limit=1000)
        assert list(of_order) == [fill for fill in expected if fill.order_id == order_id]
        stranger = next(other for other in USERS if other != user_id)
        assert not await reader.fills(stranger, symbol=None, order_id=order_id, before=None, limit=10)


async def test_trades_are_everybodys_and_paged_by_number(pool: asyncpg.Pool, fold: ProjectionFold) -> None:
    reader = PostgresReader(pool)
    expected = fold.trades["BTCUSD"][::-1]
    first = list(await reader.trades("BTCUSD", before_trade_id=None, limit=5))
    second = list(await reader.trades("BTCUSD", before_trade_id=first[-1].trade_id, limit=1000))
    assert first + second == expected
    assert await reader.trades("NOSUCH", before_trade_id=None, limit=5) == []


async def test_every_query_of_a_user_walks_an_index(pool: asyncpg.Pool, fold: ProjectionFold) -> None:
    """With sequential scans switched off, a plan that still has one would mean that an index is missing."""
    assert fold.orders
    queries = (
        "SELECT * FROM orders WHERE user_id = 'a' AND order_id < 5 ORDER BY order_id DESC LIMIT 5",
        "SELECT * FROM orders WHERE user_id = 'a' AND symbol = 'b' ORDER BY order_id DESC LIMIT 5",
        "SELECT * FROM orders WHERE user_id = 'a' AND client_order_id = 'b' ORDER BY order_id DESC LIMIT 1",
        "SELECT * FROM fills WHERE user_id = 'a' ORDER BY at_ms DESC, symbol DESC, trade_id DESC LIMIT 5",
        """SELECT * FROM fills WHERE user_id = 'a' AND symbol = 'b'
           ORDER BY at_ms DESC, symbol DESC, trade_id DESC LIMIT 5""",
        "SELECT * FROM trades WHERE symbol = 'b' ORDER BY trade_id DESC LIMIT 5",
    )
    async with pool.acquire() as connection, connection.transaction():
        await connection.execute("SET LOCAL enable_seqscan = off; SET LOCAL enable_sort = off")
        for query in queries:
            plan = "\n".join(row[0] for row in await connection.fetch(f"EXPLAIN {query}"))
            assert "Index" in plan and "Seq Scan" not in plan and "Sort" not in plan, plan
