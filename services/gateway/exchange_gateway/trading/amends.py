"""Changing an open order: what is refused before the matcher sees it, and what must be held in addition.

The hold is reckoned from the order as it is known here. The matcher reckons again: what was taken too much, because the
order traded or changed meanwhile, it gives back by the event that amends, refuses or finds the order closed; if it was
too little, it refuses with `insufficient_hold`, gives it back, and the order stays as it was.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

import structlog

from exchange_adapters.tokens import Principal
from exchange_core.checks import band
from exchange_core.codec import encode_commands
from exchange_core.commands import AmendOrder
from exchange_core.holds import hold_asset
from exchange_core.instruments import Instrument
from exchange_core.money import MAX_AMOUNT_UNITS
from exchange_core.open_order import MARKET_TYPES
from exchange_core.orders import OrderTerms, OrderType, Side
from exchange_core.ports import Clock, Intent, OrderView
from exchange_gateway.fields import decimal, invalid
from exchange_gateway.market.catalogue import InstrumentCatalogue
from exchange_gateway.market.prices import PriceBoard
from exchange_gateway.problems import Code, ProblemError
from exchange_gateway.stages import Stages
from exchange_gateway.trading.holds import HoldDesk, HoldRequest
from exchange_gateway.trading.nodes import NodeLease
from exchange_gateway.trading.order_form import digest
from exchange_gateway.trading.orders import OnItsWay, OrderDesk, raise_refusal
from exchange_gateway.trading.validation import (
    require_in_band,
    require_trading,
    require_worth,
    trading_centre,
    whole_price,
    whole_quantity,
)

AMEND_FIELDS: Final[tuple[str, ...]] = ("price", "quantity")

log = structlog.get_logger()


@dataclass(frozen=True, slots=True, kw_only=True)
class Amended:
    """A promised amendment: its own id, and the order as it was found."""

    amend_id: int
    found: OrderView | OnItsWay


class AmendDesk:
    """Promises amendments: the extra hold and the intent in one transaction, like those of orders."""

    def __init__(
        self,
        *,
        clock: Clock,
        node: NodeLease,
        catalogue: InstrumentCatalogue,
        prices: PriceBoard,
        holds: HoldDesk,
        orders: OrderDesk,
    ) -> None:
        self._clock = clock
        self._node = node
        self._catalogue = catalogue
        self._prices = prices
        self._holds = holds
        self._orders = orders

    async def amend(
        self, principal: Principal, order_id: int, body: Mapping[str, Any], stages: Stages, trace_id: str
    ) -> Amended:
        """Promise a new price, a new total quantity, or both; raises ProblemError when it is refused for certain, or
        when that is not known."""
        with stages.measure("book"):
            found = await self._orders.find(principal.user_id, order_id)
        order = found.order if isinstance(found, OnItsWay) else found
        instrument = self._catalogue.require(order.symbol)
        price, quantity, hold = await self._prices.judge(
            instrument, order.side, partial(_wanted, found, body, instrument), stages
        )
        command = AmendOrder(
            command_id=self._node.next_id(),
            user_id=principal.user_id,
            symbol=order.symbol,
            entered_at_ms=self._clock.now_ms(),
            trace_id=trace_id,
            order_id=order_id,
            price=price if "price" in body else None,
            quantity=quantity if "quantity" in body else None,
            hold=hold,
            hold_asset=hold_asset(order.side, instrument),
        )
        intent = Intent(
            user_id=principal.user_id,
            order_id=command.command_id,
            client_order_id=None,
            body_digest=digest(order_id, command.price, command.quantity),
            partition=instrument.partition,
            group=order.symbol,
            command=encode_commands([command]),
            created_at_ms=command.entered_at_ms,
        )
        asset = command.hold_asset if hold else None
        with stages.measure("wallet"):
            verdict = await self._holds.take(HoldRequest(intent=intent, asset=asset, amount=hold))
        raise_refusal(verdict, command.hold_asset, self._catalogue.decimals_of(command.hold_asset) or 0)
        with stages.measure("enqueue"):
            await self._orders.send_softly(intent, command, self._orders.to_go_ahead(found))
        log.info("amend_accepted", order_id=str(order_id), amend_id=str(command.command_id), symbol=order.symbol)
        return Amended(amend_id=command.command_id, found=found)


def _wanted(
    found: OrderView | OnItsWay, body: Mapping[str, Any], instrument: Instrument, reference_price: int
) -> tuple[int, int, int]:
    """The price (ticks) and the quantity (lots) wanted, and the units to hold in addition; raises ProblemError."""
    order, filled = (found.order, 0) if isinstance(found, OnItsWay) else (found, found.filled_quantity)
    if isinstance(found, OrderView) and found.status.is_final:
        raise ProblemError(Code.ORDER_CLOSED, f"the order is {found.status}", order_status=found.status)
    if order.order_type is OrderType.MARKET or order.price is None or order.quantity is None:
        raise invalid("quantity", "a market order cannot be changed")
    require_trading(instrument)
    price, quantity = order.price, order.quantity
    if "price" in body:
        if order.order_type in MARKET_TYPES:
            raise invalid("price", f"a {order.order_type} order has no price")
        price = whole_price("price", decimal(body, "price"), instrument)
        if price != order.price:
            _require_in_reach(price, order, reference_price, instrument)
    if "quantity" in body:
        quantity = whole_quantity(decimal(body, "quantity"), instrument)
        if quantity <= filled:
            raise ProblemError(
                Code.QUANTITY_NOT_ABOVE_FILLED, "quantity must be above what is filled", field="quantity"
            )
    worth_at = order.trigger_price or reference_price if order.order_type in MARKET_TYPES else price
    require_worth(worth_at * quantity * instrument.tick_lot_units, instrument)
    needed = _hold(order.side, price, quantity - filled, instrument)
    if needed > MAX_AMOUNT_UNITS:
        raise ProblemError(Code.AMOUNT_OUT_OF_RANGE, "the order is worth too much to be counted", field="quantity")
    present = _hold(order.side, order.price, order.quantity - filled, instrument)
    return price, quantity, max(0, needed - present)


def _hold(side: Side, price: int, remaining: int, instrument: Instrument) -> int:
    """What an order sets aside for `remaining` lots, in units (the rule of `holds.required_hold` for what is left)."""
    return remaining * (price * instrument.tick_lot_units if side is Side.BUY else instrument.lot_units)


def _require_in_reach(price: int, order: OrderView | OrderTerms, reference_price: int, instrument: Instrument) -> None:
    """The band around the market, or for an order that may still wait, around its trigger."""
    lowest, highest = band(reference_price, instrument.band_bps)
    if order.trigger_price is not None and not lowest <= price <= highest:
        centre = trading_centre(order.order_type, order.side, order.trigger_price, reference_price)
        lowest, highest = band(centre, instrument.band_bps)
    require_in_band(price, lowest, highest, instrument)
