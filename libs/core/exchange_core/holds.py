"""How much an order must set aside before it may enter: one rule for the gateway that takes it and the matcher that
checks it.

A buy holds quote: quantity × price, or its whole budget. A sell holds base: its quantity. Fees need no hold, since they
come out of what a side receives.
"""

from exchange_core.instruments import Instrument
from exchange_core.orders import OrderTerms, Side


def required_hold(terms: OrderTerms, instrument: Instrument) -> int:
    """The exact hold in units of `hold_asset`. A market order given by quantity carries its protection price."""
    if terms.side is Side.BUY:
        if terms.quote_quantity is not None:
            return terms.quote_quantity
        assert terms.price is not None and terms.quantity is not None, "checked by validation"
        return terms.price * terms.quantity * instrument.tick_lot_units
    assert terms.quantity is not None, "checked by validation"
    return terms.quantity * instrument.lot_units


def hold_asset(side: Side, instrument: Instrument) -> str:
    """Which asset an order of this side sets aside."""
    return instrument.quote if side is Side.BUY else instrument.base
