"""Assets and instruments: what can be traded, in which steps, at which fees and within which limits."""

import re
import zlib
from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum

from exchange_core.money import InexactAmountError, to_units

MAX_DECIMALS = 12
_MIN_STEP = Decimal("1e-12")
_MAX_STEP = Decimal("1e12")
_MAX_STEP_DIGITS = 14
"""The product of two steps stays within the 28 digits of exact decimal arithmetic."""
_SYMBOL = re.compile(r"[A-Z0-9]{5,20}")
_ASSET = re.compile(r"[A-Z0-9]{2,10}")


class SymbolStatus(StrEnum):
    """What a symbol takes now. Cancels work in every status."""

    TRADING = "trading"
    CANCEL_ONLY = "cancel_only"
    HALTED = "halted"


class InvalidInstrumentError(ValueError):
    """An instrument that breaks a rule; the message says which."""


class _Steps:
    """What an instrument's steps come to in whole units; not fields, but worked out of them once.

    `lot_units`: smallest units of base in one lot. `tick_lot_units`: smallest units of quote that one lot costs at a
    price of one tick.
    """

    __slots__ = ("lot_units", "tick_lot_units")
    lot_units: int
    tick_lot_units: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Instrument(_Steps):
    """One tradable pair. Immutable once listed, but for its status, which the journal changes.

    `tick_size` is the price step in quote per base, `lot_size` the quantity step in base. One lot is `lot_units`
    smallest units of the base asset; one lot at one tick costs `tick_lot_units` smallest units of the quote asset.
    Fees are in basis points of what a side receives; `band_bps` is how far from the reference price a limit may
    stand; `reference_price` is in ticks. Quantities are in lots, `min_notional` in quote units.
    """

    symbol: str
    base: str
    quote: str
    base_decimals: int
    quote_decimals: int
    tick_size: Decimal
    lot_size: Decimal
    min_quantity: int
    max_quantity: int
    min_notional: int
    maker_fee_bps: int
    taker_fee_bps: int
    band_bps: int
    reference_price: int
    partition: int
    max_open_orders: int = 200
    breaker_bps: int = 0
    breaker_window_ms: int = 0
    breaker_halt_ms: int = 0
    status: SymbolStatus = SymbolStatus.TRADING

    def __post_init__(self) -> None:
        """Refuse what would break the arithmetic or make no sense; raises InvalidInstrumentError."""
        _require(_SYMBOL.fullmatch(self.symbol) is not None, "symbol must be 5 to 20 capitals or digits")
        for asset in (self.base, self.quote):
            _require(_ASSET.fullmatch(asset) is not None, "an asset must be 2 to 10 capitals or digits")
        _require(self.base != self.quote, "base and quote must differ")
        for decimals in (self.base_decimals, self.quote_decimals):
            _require(0 <= decimals <= MAX_DECIMALS, f"decimals must be 0 to {MAX_DECIMALS}")
        for name in ("tick_size", "lot_size"):
            step = getattr(self, name)
            _require(step.is_finite() and _MIN_STEP <= step <= _MAX_STEP, f"{name} must be 1e-12 to 1e12")
            _require(len(step.as_tuple().digits) <= _MAX_STEP_DIGITS, f"{name} has too many digits")
        try:
            object.__setattr__(self, "lot_units", to_units(self.lot_size, self.base_decimals))
        except InexactAmountError as error:
            raise InvalidInstrumentError("a lot is not a whole number of base units") from error
        try:
            tick_lot = self.tick_size * self.lot_size
            object.__setattr__(self, "tick_lot_units", to_units(tick_lot, self.quote_decimals))
        except InexactAmountError as error:
            raise InvalidInstrumentError("tick × lot is not a whole number of quote units") from error
        _require(0 < self.min_quantity <= self.max_quantity < 10**18, "quantity limits are out of order")
        _require(0 <= self.min_notional < 10**18, "min_notional must not be negative")
        for fee in (self.maker_fee_bps, self.taker_fee_bps):
            _require(0 <= fee <= 1_000, "a fee must be 0 to 1000 basis points")
        _require(0 < self.band_bps <= 100_000, "band_bps must be 1 to 100000")
        _require(0 < self.reference_price < 10**15, "reference_price must be positive")
        _require(self.partition >= 0, "partition must not be negative")
        _require(0 < self.max_open_orders <= 100_000, "max_open_orders must be 1 to 100000")
        breaker = (self.breaker_bps, self.breaker_window_ms, self.breaker_halt_ms)
        _require(0 <= min(breaker) and max(breaker) < 10**12, "the breaker's numbers must be 0 to 10**12")


def partition_of(key: str, partition_count: int) -> int:
    """The partition that a symbol (at its listing) or a user's cash commands belong to; stable for ever."""
    return zlib.crc32(key.encode()) % partition_count


def _require(holds: bool, reason: str) -> None:
    if not holds:
        raise InvalidInstrumentError(reason)
