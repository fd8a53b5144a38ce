"""What the persister tells the market: after the commit, conflated, and never at the cost of settlement."""

from contextlib import aclosing
from random import Random
from typing import Any

import orjson

from exchange_adapters.sim import Faults, SimCloud
from exchange_adapters.sim.virtual_time import in_virtual_time
from exchange_core.candles import CandleInterval
from exchange_core.codec import Slot
from exchange_core.events import TradeExecuted
from exchange_core.topology import candle_channel, ticker_channel
from tests.unit.persister.journals import RandomMarket, record_of, records_of
from tests.unit.persister.test_apply import applier

SYMBOL = "BTCUSD"


def traded(slots: list[Slot]) -> list[TradeExecuted]:
    return [event for slot in slots for event in slot.events if isinstance(event, TradeExecuted)]


@in_virtual_time
async def test_candles_and_ticker_follow_the_commit_conflated() -> None:
    cloud = SimCloud.build()
    slots = RandomMarket(Random(3)).slots(40)
    trades = traded(slots)
    client = cloud.redis.connect()
    channels = [ticker_channel(SYMBOL), *(candle_channel(SYMBOL, interval) for interval in CandleInterval)]
    for channel in channels:
        await client.subscribe(channel)
    assert not (await applier(cloud).apply(records_of(slots))).unsettled
    # THEN of every interval the newest candle was told, and the one that it closed
    told: dict[str, list[Any]] = {channel: [] for channel in channels}
    async with aclosing(client.messages()) as messages:
        async for channel, message in messages:
            told[channel].append(orjson.loads(message))
            if channel == ticker_channel(SYMBOL):
                break
    assert [len(told[channel]) for channel in channels] == [1, 2, 1, 1, 1, 1, 1, 1]
    seconds = told[candle_channel(SYMBOL, "1s")]
    assert seconds[0]["open_at"] < seconds[1]["open_at"]
    assert all(row[-1]["seq"] == trades[-1].seq for row in told.values())
    # AND the cache keeps the ticker, which counts every trade
    (ticker,) = told[ticker_channel(SYMBOL)]
    assert orjson.loads(await cloud.redis.get(ticker_channel(SYMBOL)) or b"null") == ticker
    assert ticker["trade_count"] == len(trades) > 5


@in_virtual_time
async def test_a_redis_that_is_away_does_not_hold_settlement_up() -> None:
    broken = Faults()
    cloud = SimCloud.build(faults=broken)
    broken.down("redis")
    slots = RandomMarket(Random(3)).slots(40)
    one = applier(cloud)
    for slot in slots:
        assert not (await one.apply([record_of(slot)])).unsettled
    assert list(cloud.projections.recorded(0)) == slots


@in_virtual_time
async def test_a_ticker_that_cannot_be_read_is_left_out() -> None:
    broken = Faults()
    cloud = SimCloud.build(faults=broken)
    broken.script("database.tickers", ["before"])
    slots = RandomMarket(Random(3)).slots(40)
    assert not (await applier(cloud).apply(records_of(slots))).unsettled
    assert await cloud.redis.get(ticker_channel(SYMBOL)) is None
