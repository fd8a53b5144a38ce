"""The JSON forms of what only its owner sees on the WebSocket: exact decimals written as JSON numbers, ids as text.

An order has the fields that `GET /api/v1/orders` gives it. Each message begins with its event's name: by
that fanout tells the channels apart.
"""

from typing import Final

import orjson

from exchange_core.instruments import Instrument
from exchange_core.market_data import timestamp_text
from exchange_core.money import steps_text, units_text
from exchange_core.orders import OrderType, Side
from exchange_core.ports import OrderView, Wallet

ORDER_EVENT: Final = b'{"event":"order"'
BALANCE_EVENT: Final = b'{"event":"balance"'
_PRICED_TYPES: Final = frozenset({OrderType.LIMIT, OrderType.STOP_LIMIT, OrderType.TAKE_PROFIT_LIMIT})
"""The price of any other type is its protection price, which the client did not ask for."""


def order_message(order: OrderView, instrument: Instrument) -> bytes:
    """The order as it stands after `seq` of its symbol."""
    fee_asset, fee_decimals = (
        (instrument.base, instrument.base_decimals)
        if order.side is Side.BUY
        else (instrument.quote, instrument.quote_decimals)
    )
    fields = {
        "event": "order",
        "order_id": str(order.order_id),
        "client_order_id": order.client_order_id or str(order.order_id),
        "symbol": order.symbol,
        "side": order.side,
        "type": order.order_type,
        "time_in_force": order.time_in_force,
        "price": _price(order.price if order.order_type in _PRICED_TYPES else None, instrument),
        "quantity": _quantity(order.quantity, instrument),
        "quote_quantity": _amount(order.quote_quantity, instrument.quote_decimals),
        "trigger_price": _price(order.trigger_price, instrument),
        "display_quantity": _quantity(order.display_quantity, instrument),
        "expires_at": None if order.expires_at_ms is None else timestamp_text(order.expires_at_ms),
        "post_only": order.post_only,
        "self_trade_prevention": order.self_trade_prevention,
        "filled_quantity": _quantity(order.filled_quantity, instrument),
        "filled_quote": _amount(order.filled_quote, instrument.quote_decimals),
        "fee": _amount(order.fee, fee_decimals),
        "fee_asset": fee_asset,
        "status": order.status,
        "reason": order.reason,
        "seq": order.seq,
        "created_at": timestamp_text(order.created_at_ms),
        "updated_at": timestamp_text(order.updated_at_ms),
    }
    return orjson.dumps(fields)


def balance_message(wallet: Wallet, decimals: int) -> bytes:
    """The wallet as a settlement left it. `seq` grows with every settlement of this wallet, whatever partition it came
    from: of two messages about one asset the greater is the newer."""
    fields = {
        "event": "balance",
        "asset": wallet.asset,
        "available": _amount(wallet.available, decimals),
        "held": _amount(wallet.held, decimals),
        "total": _amount(wallet.available + wallet.held, decimals),
        "seq": sum(wallet.applied.values()),
    }
    return orjson.dumps(fields)


def _price(ticks: int | None, instrument: Instrument) -> orjson.Fragment | None:
    return None if ticks is None else orjson.Fragment(steps_text(ticks, instrument.tick_size))


def _quantity(lots: int | None, instrument: Instrument) -> orjson.Fragment | None:
    return None if lots is None else orjson.Fragment(steps_text(lots, instrument.lot_size))


def _amount(units: int | None, decimals: int) -> orjson.Fragment | None:
    return None if units is None else orjson.Fragment(units_text(units, decimals))
