"""What the persister relies on in the database: slots and position move together, one transaction a partition."""

import asyncio
from dataclasses import replace

import pytest

from exchange_core.candles import CandleInterval
from exchange_core.orders import Side
from tests.conformance.execution_story import Story, instrument, slot
from tests.conformance.world import World

BASE_ID = 5_000_000_000_000_000


def story(world: World, partition: int) -> Story:
    return Story(world.symbol(), partition, BASE_ID + partition * 1_000)


async def position(world: World, partition: int) -> int:
    async with world.projections.begin(partition) as projection:
        return projection.position


async def test_an_unknown_partition_stands_at_0(world, partition):
    assert await position(world, partition) == 0
    assert all(one.partition != partition for one in await world.reader.positions())


async def test_the_position_moves_with_what_is_recorded(world, partition):
    told = story(world, partition)
    async with world.projections.begin(partition) as projection:
        await projection.record([slot(partition, 1, told.listed()), slot(partition, 2)])
        assert projection.position == 2
        await projection.record([])
        await projection.record([slot(partition, 3)])
    assert await position(world, partition) == 3
    (mine,) = [one for one in await world.reader.positions() if one.partition == partition]
    assert (mine.slot, mine.journal_at_ms) == (3, slot(partition, 3).at_ms)


async def test_an_exception_rolls_everything_back(world, partition):
    told = story(world, partition)
    shard_id = world.fresh("shard")

    async def broken() -> None:
        async with world.projections.begin(partition) as projection:
            await projection.record([slot(partition, 1, told.listed())])
            await projection.checkpoint(shard_id, "5")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await broken()
    assert await position(world, partition) == 0
    assert shard_id not in await world.projections.checkpoints()
    assert all(one.symbol != told.symbol for one in await world.reader.instruments())


async def test_a_cancelled_transaction_rolls_back_and_frees_the_partition(world, partition):
    is_open = asyncio.Event()

    async def stuck() -> None:
        async with world.projections.begin(partition) as projection:
            await projection.record([slot(partition, 1)])
            is_open.set()
            await asyncio.Event().wait()

    task = asyncio.create_task(stuck())
    await is_open.wait()
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert await position(world, partition) == 0


async def test_a_gap_in_the_slots_is_refused(world, partition):
    for slots in ([slot(partition, 2)], [slot(partition, 1), slot(partition, 3)], [slot(partition, 1)] * 2):
        with pytest.raises(AssertionError):
            async with world.projections.begin(partition) as projection:
                await projection.record(slots)
    assert await position(world, partition) == 0


async def test_nothing_is_seen_before_it_is_committed(world, partition):
    told = story(world, partition)
    async with world.projections.begin(partition) as projection:
        await projection.record([slot(partition, 1, told.listed())])
        assert all(one.symbol != told.symbol for one in await world.reader.instruments())
    assert any(one.symbol == told.symbol for one in await world.reader.instruments())


async def test_a_transaction_knows_the_instruments_listed_before_and_in_it(world, partition):
    told = story(world, partition)
    async with world.projections.begin(partition) as projection:
        assert told.symbol not in projection.instruments
        await projection.record([slot(partition, 1, told.listed())])
        assert projection.instruments[told.symbol] == instrument(told.symbol, partition)
    async with world.projections.begin(world.partition()) as projection:
        assert projection.instruments[told.symbol] == instrument(told.symbol, partition)


async def test_transactions_on_one_partition_take_turns(world, partition):
    async def add_one() -> None:
        async with world.projections.begin(partition) as projection:
            n = projection.position + 1
            await asyncio.sleep(0)
            await projection.record([slot(partition, n)])

    async with asyncio.TaskGroup() as group:
        for _ in range(6):
            group.create_task(add_one())
    assert await position(world, partition) == 6


async def test_partitions_do_not_wait_for_each_other(world):
    here, there = world.partition(), world.partition()
    async with asyncio.timeout(5), world.projections.begin(here) as projection:
        await projection.record([slot(here, 1)])
        async with world.projections.begin(there) as other:
            await other.record([slot(there, 1)])
        assert await position(world, there) == 1


async def test_checkpoints_move_ahead_only(world, partition):
    shard_id = world.fresh("shard")
    for written, kept in (("99", "99"), ("100", "100"), ("99", "100"), ("100", "100")):
        async with world.projections.begin(partition) as projection:
            await projection.checkpoint(shard_id, written)
        assert (await world.projections.checkpoints())[shard_id] == kept


async def test_a_side_can_be_bought_and_sold_in_one_slot_or_many(world):
    """The database shows the same, however the slots were grouped."""
    views = []
    candles = []
    for group_size in (1, 3):
        partition = world.partition()
        told = Story(world.symbol(), partition, BASE_ID + partition * 1_000)
        slots = [
            slot(partition, 1, told.listed()),
            slot(partition, 2, told.accepted(1, "maker", Side.SELL, 5_000_000, 10)),
            slot(
                partition,
                3,
                told.accepted(2, "taker", Side.BUY, 5_000_000, 4),
                told.trade(1, (1, "maker"), (2, "taker"), Side.BUY, 5_000_000, 4),
            ),
        ]
        for start in range(0, 3, group_size):
            async with world.projections.begin(partition) as projection:
                await projection.record(slots[start : start + group_size])
                changed = list(projection.candles)
        candles.append([replace(candle, symbol="") for candle in changed])
        order = await world.reader.order("maker", told.base_id + 1)
        views.append((order.status, order.filled_quantity, order.filled_quote, order.fee, order.seq))
    assert views[0] == views[1]
    assert candles[0] == candles[1] and [one.interval for one in candles[0]] == list(CandleInterval)


async def test_a_transaction_knows_the_candles_that_it_changed_as_they_stand(world, partition):
    told = story(world, partition)
    slots = [
        slot(partition, 1, told.listed(), told.accepted(1, "maker", Side.SELL, 5_000_000, 10)),
        *[
            slot(
                partition,
                n,
                told.accepted(n, "taker", Side.BUY, 5_000_000, 1),
                told.trade(n - 1, (1, "maker"), (n, "taker"), Side.BUY, 5_000_000, 1),
            )
            for n in (2, 3, 4)
        ],
    ]
    async with world.projections.begin(partition) as projection:
        await projection.record(slots[:2])
    async with world.projections.begin(partition) as projection:
        assert list(projection.candles) == []
        await projection.record(slots[2:])
        changed = list(projection.candles)
    seconds = [one for one in changed if one.interval is CandleInterval.SECOND]
    assert [one.open_at_ms for one in seconds] == [slots[2].at_ms, slots[3].at_ms]
    assert [(one.trade_count, one.seq) for one in changed[2:]] == [(3, 8)] * 6


@pytest.mark.parametrize("group_size", [1, 4])
async def test_a_decrement_shrinks_a_quantity_and_leaves_a_budget_without_one(world, partition, group_size):
    told = story(world, partition)
    no_price_nor_quantity = {"price": None, "quantity": None, "quote_quantity": 10**9}
    slots = [
        slot(partition, 1, told.listed()),
        slot(partition, 2, told.accepted(1, "ann", Side.SELL, 5_000_000, 10)),
        slot(partition, 3, replace(told.accepted(2, "ann", Side.BUY, 1, 1), **no_price_nor_quantity)),
        slot(
            partition,
            4,
            told.decremented(1, "ann", Side.SELL, 4, 40_000),
            told.decremented(2, "ann", Side.BUY, 4, 2_000),
        ),
    ]
    for start in range(0, 4, group_size):
        async with world.projections.begin(partition) as projection:
            await projection.record(slots[start : start + group_size])
    orders = [await world.reader.order("ann", told.base_id + number) for number in (1, 2)]
    assert [(order.quantity, order.quote_quantity) for order in orders] == [(6, None), (None, 10**9)]
