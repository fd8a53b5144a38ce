"""How much an order must set aside before it may enter: one rule for the gateway that takes it and the matcher that
checks it.

A buy holds quote: quantity × price, or its whole budget. A sell holds base: its quantity, or the whole lots that raise
its quote quantity at the worst price it takes (its protection price, which it must carry). Fees need no hold, since
they come out of what a side receives.
"""

from exchange_core.instruments import Instrument
from exchange_core.orders import OrderTerms, Side

_BUY = Side.BUY
"""Python 3.11 takes as long to look an enum's member up as to call a function: once is enough."""


def required_hold(terms: OrderTerms, instrument: Instrument) -> int:
    """The exact hold in units of `hold_asset`. A market order given by quantity carries its protection price."""
    if terms.side is _BUY:
        if terms.quote_quantity is not None:
            return terms.quote_quantity
        assert terms.price is not None and terms.quantity is not None, "checked by validation"
        return terms.price * terms.quantity * instrument.tick_lot_units
    if terms.quote_quantity is not None:
        assert terms.price is not None, "checked by validation"
        return terms.quote_quantity // (terms.price * instrument.tick_lot_units) * instrument.lot_units
    assert terms.quantity is not None, "checked by validation"
    return terms.quantity * instrument.lot_units


def hold_asset(side: Side, instrument: Instrument) -> str:
    """Which asset an order of this side sets aside."""
    return instrument.quote if side is _BUY else instrument.base
