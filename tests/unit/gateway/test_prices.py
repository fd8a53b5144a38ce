"""The reference price: from the cache, and from what was known before where the cache does not say."""

from collections.abc import Callable, Mapping

import pytest

from exchange_adapters.sim import SimRedis
from exchange_core.errors import Unavailable
from exchange_core.instruments import Instrument
from exchange_core.market_data import order_book_message, price_message
from exchange_core.orders import Side
from exchange_core.topology import order_book_key, price_key
from exchange_gateway.market import prices
from exchange_gateway.market.prices import PriceBoard
from exchange_gateway.problems import Code, ProblemError
from exchange_gateway.stages import Stages
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


class OutOfReachRedis(SimRedis):
    """Counts how often it is asked, and can be away."""

    is_away = False
    asked = 0

    async def get(self, key: str) -> bytes | None:
        self.asked += 1
        if self.is_away:
            raise Unavailable("away")
        return await super().get(key)


def within(lowest: int, highest: int) -> Callable[[int], int]:
    """A verdict: the price itself, or that it is out of the band."""

    def verdict(price: int) -> int:
        if not lowest <= price <= highest:
            raise ProblemError(Code.PRICE_OUT_OF_BAND, f"by {price}")
        return price

    return verdict


async def test_nobody_is_refused_by_a_price_that_was_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prices, "PRICE_AGE_S", 60.0)
    redis, instrument, stages = OutOfReachRedis(), listed(reference_price=100), Stages()
    board = PriceBoard(redis)
    assert await board.judge(instrument, Side.BUY, within(100, 100), stages) == 100
    await redis.publish({price_key(SYMBOL): price_message(instrument, 4, 0, 250, 1)}, [])
    assert await board.judge(instrument, Side.BUY, within(90, 110), stages) == 100, "what it lets pass is remembered"
    assert await board.judge(instrument, Side.BUY, within(200, 300), stages) == 250
    with pytest.raises(ProblemError, match="by 250"):
        await board.judge(instrument, Side.BUY, within(90, 110), stages)
    assert {"book", "validate"} <= {part.split(";")[0] for part in stages.header().split(", ")}


async def test_what_is_refused_for_another_reason_is_judged_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prices, "PRICE_AGE_S", 60.0)
    judged: list[int] = []

    def verdict(price: int) -> int:
        judged.append(price)
        raise ProblemError(Code.SYMBOL_HALTED, "halted")

    with pytest.raises(ProblemError):
        await PriceBoard(SimRedis()).judge(listed(reference_price=100), Side.BUY, verdict, Stages())
    assert judged == [100]


async def test_a_cache_that_is_away_is_left_alone_whatever_is_refused() -> None:
    redis, instrument, stages = OutOfReachRedis(), listed(reference_price=100), Stages()
    board = PriceBoard(redis)
    redis.is_away = True
    for _ in range(3):
        with pytest.raises(ProblemError, match="by 100"):
            await board.judge(instrument, Side.BUY, within(200, 300), stages)
    assert redis.asked == 1


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
