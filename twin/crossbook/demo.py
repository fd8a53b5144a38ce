"""Who and what is on a twin that was just started, as plain data."""

from decimal import Decimal
from typing import Any, Final

PASSWORD: Final = "Crossbook-demo-1"  # noqa: S105 - printed at every start, valid in twins only
USERS: Final = ("alice", "bob", "carol")
OPERATOR: Final = "operator"
FUNDS: Final = {
    "BTC": Decimal(1_000),
    "ETH": Decimal(10_000),
    "USDT": Decimal(50_000_000),
    "USD": Decimal(50_000_000),
}
"""What each of the users starts with."""
_SPOT: Final = {
    "base_decimals": 8,
    "quote_decimals": 8,
    "tick_size": "0.01",
    "min_notional": "1",
    "maker_fee_bps": 10,
    "taker_fee_bps": 20,
    "band_bps": 2_000,
}
INSTRUMENTS: Final[tuple[dict[str, Any], ...]] = (
    _SPOT
    | {
        "symbol": "BTCUSDT",
        "base": "BTC",
        "quote": "USDT",
        "lot_size": "0.00001",
        "min_quantity": "0.00001",
        "max_quantity": "1000",
        "reference_price": "50000",
    },
    _SPOT
    | {
        "symbol": "ETHUSDT",
        "base": "ETH",
        "quote": "USDT",
        "lot_size": "0.0001",
        "min_quantity": "0.0001",
        "max_quantity": "10000",
        "reference_price": "3000",
    },
    # For the recorded flow of 2015: its finest lot, its price, and no limits that the venue did not have.
    _SPOT
    | {
        "symbol": "BTCUSD",
        "base": "BTC",
        "quote": "USD",
        "quote_decimals": 10,
        "lot_size": "0.00000001",
        "min_quantity": "0.00000001",
        "max_quantity": "100000",
        "min_notional": "0",
        "reference_price": "235",
        "band_bps": 100_000,
        "max_open_orders": 100_000,
    },
)
"""As the operator posts them, in human units."""
