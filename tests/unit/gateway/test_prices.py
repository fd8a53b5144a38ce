"""The reference price: from the cache, and from what was known before where the cache does not say."""

from collections.abc import Mapping

import pytest

from exchange_adapters.sim import SimRedis
from exchange_core.instruments import Instrument
from exchange_core.market_data import order_book_message, price_message
from exchange_core.orders import Side
from exchange_core.topology import order_book_key, price_key
from exchange_gateway.market import prices
from exchange_gateway.market.prices import PriceBoard
from tests.unit.core.room import SYMBOL, listed


@pytest.fixture(autouse=True)
def _nothing_stays_fresh(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prices, "PRICE_AGE_S", 0.0)


def book(instrument: Instrument, bid: int, ask: int) -> Mapping[str, bytes]:
    return {order_book_key(SYMBOL): order_book_message(instrument, 3, 0, [(bid, 1)], [(ask, 1)])}


async def test_the_reference_is_the_last_trade_else_the_best_opposite_price_else_the_instruments() -> None:
    redis, instrument = SimRedis(), listed(reference_price=100)
    board = PriceBoard(redis)
    assert await board.reference_price(instrument, Side.BUY) == 100
    await redis.publish(book(instrument, 90, 110), [])
    assert await board.reference_price(instrument, Side.BUY) == 110
    assert await board.reference_price(instrument, Side.SELL) == 90
    await redis.publish({price_key(SYMBOL): price_message(instrument, 4, 0, 95, 1)}, [])
    assert await board.reference_price(instrument, Side.BUY) == 95


async def test_a_cache_that_has_lost_the_last_price_does_not_move_the_band() -> None:
    redis, instrument = SimRedis(), listed(reference_price=100)
    board = PriceBoard(redis)
    await redis.publish({price_key(SYMBOL): price_message(instrument, 4, 0, 250, 1)}, [])
    assert await board.reference_price(instrument, Side.BUY) == 250
    redis.flush()
    assert await board.reference_price(instrument, Side.BUY) == 250
    await redis.publish(book(instrument, 240, 260), [])
    assert await board.reference_price(instrument, Side.BUY) == 250
    await redis.publish({price_key(SYMBOL): price_message(instrument, 9, 0, 255, 1)}, [])
    assert await board.reference_price(instrument, Side.BUY) == 255
