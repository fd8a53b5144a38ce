"""What a simulated market maker and taker decide, from numbers alone: prices in ticks, quantities in lots, no I/O."""

import math
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from typing import Any, Final, Self

from exchange_core.checks import band
from exchange_core.money import steps_text, to_steps
from exchange_core.orders import Side

LEVELS: Final = 3
"""Quotes of a maker on each side, unless the instrument allows too few open orders."""
HALF_SPREAD_BPS: Final = 4
GAP_BPS: Final = 4
MOVE_BPS: Final = 0.5
"""The standard deviation of one step of the fair price."""
REACH_BPS: Final = 60
"""How far beyond the fair price a taker pays."""
SIZES: Final = 5
"""An order is 1 to so many times the market's unit."""
UNIT: Final = Decimal("0.01")
"""Of base, where the instrument's limits allow it."""
FUNDED_ORDERS: Final = 1_000
"""Largest orders that an account could fill one after the other on the same side."""
NET_ORDERS: Final = 100
"""Largest orders that a taker may be ahead on one side; the nearer it is, the likelier it trades on the other."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Market:
    """What an order must be like. Quantities in lots, `reference_ticks` in ticks, `min_notional` in quote."""

    symbol: str
    base: str
    quote: str
    tick_size: Decimal
    lot_size: Decimal
    lowest_lots: int
    highest_lots: int
    min_notional: Decimal
    band_bps: int
    reference_ticks: int
    max_open_orders: int

    @classmethod
    def of(cls, instrument: Mapping[str, Any]) -> Self:
        """From the API's JSON, numbers exact."""
        tick_size, lot_size = Decimal(instrument["tick_size"]), Decimal(instrument["lot_size"])
        return cls(
            symbol=instrument["symbol"],
            base=instrument["base"],
            quote=instrument["quote"],
            tick_size=tick_size,
            lot_size=lot_size,
            lowest_lots=to_steps(Decimal(instrument["min_quantity"]), lot_size),
            highest_lots=to_steps(Decimal(instrument["max_quantity"]), lot_size),
            min_notional=Decimal(instrument["min_notional"]),
            band_bps=int(instrument["band_bps"]),
            reference_ticks=to_steps(Decimal(instrument["reference_price"]), tick_size),
            max_open_orders=int(instrument["max_open_orders"]),
        )

    @property
    def levels(self) -> int:
        """Quotes a side: twice as many orders may be open while their cancels are on their way."""
        return max(1, min(LEVELS, self.max_open_orders // 4))

    def quantity_lots(self, price_ticks: int, size: int) -> int:
        """`size` units, within the instrument's limits, and worth its least notional at this price if that can be."""
        unit = max(1, int(UNIT / self.lot_size))
        worth_of_lot = Fraction(self.tick_size) * Fraction(self.lot_size) * price_ticks
        lowest = max(self.lowest_lots, math.ceil(Fraction(self.min_notional) / worth_of_lot))
        return min(max(unit * size, lowest), self.highest_lots)

    def funds(self, price_ticks: int) -> dict[str, Decimal]:
        """Asset → what an account of a bot starts with."""
        lots = self.quantity_lots(price_ticks, SIZES) * FUNDED_ORDERS
        ticks = price_ticks * lots
        return {
            self.base: Decimal(steps_text(lots, self.lot_size)),
            self.quote: Decimal(steps_text(ticks, self.tick_size * self.lot_size)),
        }

    def order(self, side: Side, price_ticks: int, quantity_lots: int) -> dict[str, str]:
        """The fields that every order of a bot has, in exact decimals."""
        return {
            "symbol": self.symbol,
            "side": side.value,
            "type": "limit",
            "price": steps_text(price_ticks, self.tick_size),
            "quantity": steps_text(quantity_lots, self.lot_size),
        }


class FairPrice:
    """A random walk in ticks that is drawn to where it began, and never far from where the market trades."""

    def __init__(self, start_ticks: int, chance: random.Random) -> None:
        self._start_ticks = start_ticks
        self._chance = chance
        self.ticks = start_ticks

    def step(self, market: Market, last_ticks: int) -> int:
        """Move once. Stays within half the band around the last trade, so that quotes around it are within all."""
        width = max(1.0, self._start_ticks * MOVE_BPS / 10_000)
        drawn = (self._start_ticks - self.ticks) / 5_000
        moved = self.ticks + round(self._chance.gauss(drawn, width))
        lowest, highest = band(last_ticks, market.band_bps // 2)
        self.ticks = min(max(moved, lowest), highest)
        return self.ticks


@dataclass(frozen=True, slots=True)
class Quote:
    """Where a maker wants to stand."""

    side: Side
    price_ticks: int


@dataclass(frozen=True, slots=True)
class Resting:
    """An order of the maker that is open, as far as it knows."""

    order_id: str
    quote: Quote


@dataclass(frozen=True, slots=True)
class Move:
    """What a maker does next: cancel, place, or one after the other."""

    cancel: Resting | None
    place: Quote | None


def quotes(market: Market, fair_ticks: int, last_ticks: int, rank: int) -> list[Quote]:
    """Where the maker of this rank (0 stands closest) wants to stand: best first, in pairs, all within the band."""
    lowest, highest = band(last_ticks, market.band_bps)
    half_spread = max(1, fair_ticks * (HALF_SPREAD_BPS + rank) // 10_000)
    wanted = []
    for level in range(market.levels):
        distance = half_spread + level * gap_ticks(fair_ticks)
        wanted += [Quote(Side.BUY, fair_ticks - distance), Quote(Side.SELL, fair_ticks + distance)]
    return [quote for quote in wanted if lowest <= quote.price_ticks <= highest]


def gap_ticks(fair_ticks: int) -> int:
    """Between two levels of one maker."""
    return max(1, fair_ticks * GAP_BPS // 10_000)


def next_move(wanted: Sequence[Quote], resting: Sequence[Resting], tolerance_ticks: int) -> Move:
    """The one change that brings what rests (oldest first) closest to what is wanted.

    A quote within the tolerance is good enough. While there are too few, one that is missing is placed; then what is
    out of place is replaced; when all is well the oldest is renewed, which finds out what was filled. So a maker never
    has more orders open than it wants quotes, and a price that runs away does not keep it from having them.
    """
    missing = list(wanted)
    stale: list[Resting] = []
    for order in resting:
        near = [quote for quote in missing if _distance(quote, order.quote) <= tolerance_ticks]
        if near:
            missing.remove(min(near, key=lambda quote: _distance(quote, order.quote)))
        else:
            stale.append(order)
    if missing and len(resting) < len(wanted):
        return Move(None, missing[0])
    if stale:
        same_side = [quote for quote in missing if quote.side is stale[0].quote.side]
        return Move(stale[0], next(iter(same_side or missing), None))
    if resting:
        oldest = resting[0]
        return Move(oldest, min(wanted, key=lambda quote: _distance(quote, oldest.quote)))
    return Move(None, None)


def _distance(one: Quote, other: Quote) -> float:
    return abs(one.price_ticks - other.price_ticks) if one.side is other.side else math.inf


def take(
    market: Market, fair_ticks: int, last_ticks: int, net_lots: int, chance: random.Random
) -> tuple[Side, int, int]:
    """(side, ticks, lots) of a taker that has bought `net_lots` more than it sold, or tried to."""
    lowest, highest = band(last_ticks, market.band_bps)
    ahead = net_lots / (market.quantity_lots(fair_ticks, SIZES) * NET_ORDERS)
    side = Side.SELL if chance.random() < 0.5 + ahead / 2 else Side.BUY
    reach = max(1, fair_ticks * REACH_BPS // 10_000)
    price = min(max(fair_ticks + (reach if side is Side.BUY else -reach), lowest), highest)
    return side, price, market.quantity_lots(price, chance.randint(1, SIZES))
