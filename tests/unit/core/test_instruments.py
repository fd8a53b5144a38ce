"""Instruments: the arithmetic they promise, and what they may not be."""

from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest

from exchange_core.instruments import InvalidInstrumentError, SymbolStatus, partition_of
from tests.unit.core.room import listed


def test_lots_and_ticks_come_to_whole_units() -> None:
    instrument = listed()
    assert (instrument.lot_units, instrument.tick_lot_units) == (10, 3)
    halted = replace(instrument, status=SymbolStatus.HALTED)
    assert (halted.lot_units, halted.tick_lot_units) == (10, 3) and halted != instrument


@pytest.mark.parametrize(
    "changes",
    [
        {"symbol": "btcusd"},
        {"symbol": "BTC"},
        {"base": "B"},
        {"quote": "BTC"},
        {"base_decimals": 2},
        {"quote_decimals": 4},
        {"base_decimals": 13},
        {"tick_size": Decimal(0)},
        {"tick_size": Decimal(-1)},
        {"lot_size": Decimal("Infinity")},
        {"lot_size": Decimal("NaN")},
        {"min_quantity": 0},
        {"min_quantity": 10_001},
        {"max_quantity": 10**18},
        {"min_notional": -1},
        {"maker_fee_bps": 1_001},
        {"taker_fee_bps": -1},
        {"band_bps": 0},
        {"reference_price": 0},
        {"partition": -1},
        {"max_open_orders": 0},
        {"breaker_bps": -1},
    ],
    ids=str,
)
def test_an_instrument_that_would_break_the_arithmetic_is_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(InvalidInstrumentError):
        listed(**changes)


def test_a_symbol_belongs_to_one_partition_for_ever() -> None:
    assert [partition_of(symbol, 2) for symbol in ("BTCUSDT", "ETHUSDT", "BTCUSD")] == [1, 0, 1]
    assert {partition_of(f"SYM{number}", 4) for number in range(100)} == {0, 1, 2, 3}
