"""The market of every simulated world: three symbols on two partitions, so that two of them share one and two share
an asset, and few, poor users, so that what they do collides."""

from decimal import Decimal
from typing import Any, Final

from exchange_core.instruments import partition_of
from exchange_core.money import to_steps
from simulation.machines.hosts import PARTITIONS

USERS: Final = ("ann", "bob", "cyd")
BUYER: Final = "dee"
SELLER: Final = "eli"
"""Trade only when the storm is over, so that they have what that takes: the users may have spent all of theirs."""
LEAVER: Final = "fay"
"""Has no funds, and more sessions and keys than the others."""
SYMBOLS: Final = ("BTCUSDT", "ETHBTC", "ETHUSDT")
PARTITION_OF: Final = {"BTCUSDT": 0, "ETHBTC": 0, "ETHUSDT": 1}
DEPOSITS: Final = {
    **{user: {"BTC": 6, "ETH": 60, "USDT": 600} for user in USERS},
    BUYER: {"BTC": 1, "USDT": 100},
    SELLER: {"BTC": 1, "ETH": 10},
}
"""What each of them is given, in whole units of the asset."""
TICKS: Final = {"BTCUSDT": ("0.5", 200), "ETHBTC": ("0.001", 100), "ETHUSDT": ("0.05", 200)}
"""symbol → (tick, reference price in ticks)"""
LOTS: Final = {"BTCUSDT": "0.01", "ETHBTC": "0.1", "ETHUSDT": "0.1"}
QUOTE_UNIT: Final = "0.0001"
SPREAD_TICKS: Final = 3
"""Orders stand at most so many ticks from the reference."""
assert {partition_of(user, PARTITIONS) for user in USERS} == {0, 1}, "cash comes by both partitions"


def listing(symbol: str) -> dict[str, Any]:
    """The body that lists a symbol. Quantities stay small, so that fees are rounded often."""
    tick, reference = TICKS[symbol]
    return {
        "symbol": symbol,
        "base": symbol[:3],
        "quote": symbol[3:],
        "base_decimals": 4,
        "quote_decimals": 4,
        "tick_size": tick,
        "lot_size": LOTS[symbol],
        "min_quantity": LOTS[symbol],
        "max_quantity": "1000",
        "min_notional": "0",
        "maker_fee_bps": 10,
        "taker_fee_bps": 25,
        "band_bps": 1_000,
        "reference_price": steps_text(tick, reference),
        "partition": PARTITION_OF[symbol],
        "max_open_orders": 12,
        "breaker_bps": 250 if symbol == "ETHUSDT" else 0,
        "breaker_window_ms": 5_000 if symbol == "ETHUSDT" else 0,
        "breaker_halt_ms": 2_000 if symbol == "ETHUSDT" else 0,
    }


def steps_text(step: str, count: int) -> str:
    """`count` steps as decimal text."""
    whole, _, decimals = step.partition(".")
    digits = str(int(whole + decimals) * count).rjust(len(decimals) + 1, "0")
    return f"{digits[: -len(decimals)]}.{digits[-len(decimals) :]}" if decimals else digits


def units_of(amount: Any) -> int:
    """The units in an amount of any asset, as a client is told of it."""
    return to_steps(Decimal(str(amount)), Decimal(QUOTE_UNIT))
