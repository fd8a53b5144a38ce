"""What the matcher checks again in every order, whoever says that it was checked before.

The gateway refuses the same before it takes a hold; here a refusal is an event that gives the hold back.
"""

from typing import Final

from exchange_core.holds import hold_asset, required_hold
from exchange_core.instruments import Instrument
from exchange_core.money import MAX_AMOUNT_UNITS
from exchange_core.open_order import MARKET_TYPES, RESTING_TIMES, TRIGGERED_TYPES
from exchange_core.orders import OrderTerms, OrderType, Reason, Side, TimeInForce

_BUY: Final = Side.BUY
_FOK: Final = TimeInForce.FOK
_GTD: Final = TimeInForce.GTD
_MARKET: Final = OrderType.MARKET


def order_fault(terms: OrderTerms, instrument: Instrument, at_ms: int) -> Reason | None:
    """Why an order makes no sense for this instrument, or None. Status and number of orders are not looked at."""
    if not _has_sound_amounts(terms, instrument) or not _has_sound_conditions(terms):
        return Reason.INVALID
    if terms.expires_at_ms is not None and terms.expires_at_ms <= at_ms:
        return Reason.DATE_REACHED
    if terms.hold != required_hold(terms, instrument) or terms.hold_asset != hold_asset(terms.side, instrument):
        return Reason.INSUFFICIENT_HOLD
    return None if 0 < terms.hold <= MAX_AMOUNT_UNITS else Reason.INVALID


def _has_sound_amounts(terms: OrderTerms, instrument: Instrument) -> bool:
    price, quantity = terms.price, terms.quantity
    if price is not None and not 0 < price <= MAX_AMOUNT_UNITS:
        return False
    if terms.quote_quantity is None:
        if price is None or quantity is None:
            return False
        return instrument.min_quantity <= quantity <= instrument.max_quantity
    if quantity is not None or terms.order_type is not _MARKET or terms.time_in_force is _FOK:
        return False
    return terms.quote_quantity > 0 and (price is not None or terms.side is _BUY)


def _has_sound_conditions(terms: OrderTerms) -> bool:
    order_type, time_in_force = terms.order_type, terms.time_in_force
    is_triggered = order_type in TRIGGERED_TYPES
    trigger_price = terms.trigger_price
    if is_triggered != (trigger_price is not None) or (trigger_price is not None and trigger_price <= 0):
        return False
    if (time_in_force is _GTD) != (terms.expires_at_ms is not None):
        return False
    if order_type in MARKET_TYPES:
        return time_in_force is not _GTD and not terms.post_only and terms.display_quantity is None
    if time_in_force not in RESTING_TIMES:
        return not terms.post_only and terms.display_quantity is None
    if terms.display_quantity is None:
        return True
    return terms.quantity is not None and 0 < terms.display_quantity <= terms.quantity


def band(reference_price: int, band_bps: int) -> tuple[int, int]:
    """The lowest and the highest price, in ticks, that is within the band around a reference price."""
    width = reference_price * band_bps // 10_000
    return max(1, reference_price - width), reference_price + width
