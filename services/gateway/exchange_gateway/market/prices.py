"""The reference price of a symbol: last trade, else the best opposite price, else the instrument's own.

Read from the cache that the matcher writes, at most PRICE_AGE_S old, and anew where that price would refuse an order.
It guards users against slips; the matcher holds the same band against its own book, so a price that is out of date
costs no safety.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Final, TypeVar

import structlog

from exchange_core.errors import PortError
from exchange_core.instruments import Instrument
from exchange_core.money import InexactAmountError, MalformedNumberError, parse_decimal, to_steps
from exchange_core.orders import Side
from exchange_core.ports import MarketCache
from exchange_core.topology import order_book_key, price_key
from exchange_gateway.exact_json import parse_cached
from exchange_gateway.problems import Code, ProblemError
from exchange_gateway.stages import Stages

PRICE_AGE_S: Final = 0.2
CACHE_TIMEOUT_S: Final = 0.1
CACHE_AWAY_S: Final = 1.0
"""How long the cache is left alone after it did not answer."""

Judged = TypeVar("Judged")

log = structlog.get_logger()


@dataclass(frozen=True, slots=True, kw_only=True)
class Quote:
    """Prices in ticks, None where there is none."""

    last: int | None = None
    bid: int | None = None
    ask: int | None = None


class PriceBoard:
    """The latest quote of each symbol asked for."""

    def __init__(self, cache: MarketCache) -> None:
        self._cache = cache
        self._quotes: dict[str, Quote] = {}
        self._fresh_until_s: dict[str, float] = {}

    async def judge(
        self, instrument: Instrument, side: Side, verdict: Callable[[int], Judged], stages: Stages
    ) -> Judged:
        """What `verdict` makes of the reference price, in ticks. What it refuses as outside the band is judged again by
        the price as it is now: who has just seen the market move is not refused for where it was."""
        try:
            return await self._judge_now(instrument, side, verdict, stages)
        except ProblemError as refusal:
            if refusal.code is not Code.PRICE_OUT_OF_BAND or self._is_left_alone(instrument.symbol):
                raise
        self._fresh_until_s.pop(instrument.symbol, None)
        return await self._judge_now(instrument, side, verdict, stages)

    async def _judge_now(
        self, instrument: Instrument, side: Side, verdict: Callable[[int], Judged], stages: Stages
    ) -> Judged:
        with stages.measure("book"):
            reference_price = await self.reference_price(instrument, side)
        with stages.measure("validate"):
            return verdict(reference_price)

    def _is_left_alone(self, symbol: str) -> bool:
        return self._fresh_until_s.get(symbol, 0.0) > asyncio.get_running_loop().time() + PRICE_AGE_S

    async def reference_price(self, instrument: Instrument, side: Side) -> int:
        """In ticks. Falls back to what was known, then to the instrument's own, when the cache does not answer."""
        quote = await self.quote(instrument)
        opposite = quote.ask if side is Side.BUY else quote.bid
        return quote.last or opposite or instrument.reference_price

    async def quote(self, instrument: Instrument) -> Quote:
        """The quote, read again when it is too old; requests that come meanwhile use the old one."""
        symbol = instrument.symbol
        now_s = asyncio.get_running_loop().time()
        if now_s < self._fresh_until_s.get(symbol, 0.0):
            return self._quotes.get(symbol, Quote())
        self._fresh_until_s[symbol] = now_s + PRICE_AGE_S
        try:
            async with asyncio.timeout(CACHE_TIMEOUT_S):
                self._quotes[symbol] = await self._read(instrument, self._quotes.get(symbol, Quote()))
        except (PortError, TimeoutError) as error:
            self._fresh_until_s[symbol] = now_s + CACHE_AWAY_S
            log.warning("price_not_readable", symbol=symbol, error=type(error).__name__)
        return self._quotes.get(symbol, Quote())

    async def _read(self, instrument: Instrument, known: Quote) -> Quote:
        """A symbol that has traded goes on having a last price: a cache without one has lost it, and is filled again
        soon. Until then another reference would refuse for certain what lies within the band."""
        data = await self._cache.get(price_key(instrument.symbol))
        last = steps_of(_member(data, "price"), instrument.tick_size)
        if last is not None:
            return Quote(last=last)
        if known.last is not None:
            return known
        book = await self._cache.get(order_book_key(instrument.symbol))
        return Quote(
            bid=steps_of(best_of(_member(book, "bids")), instrument.tick_size),
            ask=steps_of(best_of(_member(book, "asks")), instrument.tick_size),
        )


def _member(data: bytes | None, name: str) -> Any:
    if data is None:
        return None
    try:
        message = parse_cached(data)
    except ValueError:
        return None
    return message.get(name) if isinstance(message, dict) else None


def best_of(levels: Any) -> Any:
    """The price of the first of a cached book's levels, as it was written; None if there is none."""
    match levels:
        case [[price, *_], *_]:
            return price
    return None


def steps_of(value: Any, step: Decimal) -> int | None:
    """A cached number in steps; None for what is not there, or is no positive whole count of them."""
    if value is None:
        return None
    try:
        steps = to_steps(parse_decimal(value), step)
    except (MalformedNumberError, InexactAmountError):
        return None
    return steps if steps > 0 else None
