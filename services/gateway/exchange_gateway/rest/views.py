"""The JSON forms of what clients read: exact decimals written as JSON numbers, ids as text, times in ISO 8601."""

from collections.abc import Sequence
from typing import Any, Final

from orjson import Fragment

from exchange_core.candles import Candle, percent_text
from exchange_core.commands import CASH_DESK, PlaceOrder
from exchange_core.instruments import Instrument
from exchange_core.market_data import timestamp_text
from exchange_core.money import steps_text, units_text
from exchange_core.orders import OrderStatus, OrderTerms, OrderType, Side
from exchange_core.outcomes import CommandOutcome, OperatorCommand
from exchange_core.ports import FillView, LedgerEntry, OrderView, TradeView, Wallet
from exchange_core.wire import from_plain
from exchange_gateway.exact_json import number
from exchange_gateway.market.catalogue import InstrumentCatalogue
from exchange_gateway.market.tickers import SymbolNow
from exchange_gateway.trading.orders import OnItsWay, Placed

_PRICED_TYPES: Final = frozenset({OrderType.LIMIT, OrderType.STOP_LIMIT, OrderType.TAKE_PROFIT_LIMIT})
"""The price of any other type is its protection price, which the client did not ask for."""


def price_number(ticks: int | None, instrument: Instrument) -> Fragment | None:
    """A price in quote per base."""
    return None if ticks is None else number(steps_text(ticks, instrument.tick_size))


def quantity_number(lots: int | None, instrument: Instrument) -> Fragment | None:
    """A quantity of base."""
    return None if lots is None else number(steps_text(lots, instrument.lot_size))


def amount_number(units: int | None, decimals: int) -> Fragment | None:
    """An amount of an asset with that many decimals."""
    return None if units is None else number(units_text(units, decimals))


def order_json(found: OrderView | OnItsWay, instrument: Instrument) -> dict[str, Any]:
    """An order as its owner sees it; one that is on its way has the status `accepted`."""
    if isinstance(found, OnItsWay):
        return _accepted_json(found.order, instrument)
    fee_decimals = instrument.base_decimals if found.side is Side.BUY else instrument.quote_decimals
    return {
        **_terms_json(found, instrument),
        "filled_quantity": quantity_number(found.filled_quantity, instrument),
        "filled_quote": amount_number(found.filled_quote, instrument.quote_decimals),
        "fee": amount_number(found.fee, fee_decimals),
        "fee_asset": instrument.base if found.side is Side.BUY else instrument.quote,
        "status": found.status,
        "reason": found.reason,
        "seq": found.seq,
        "created_at": timestamp_text(found.created_at_ms),
        "updated_at": timestamp_text(found.updated_at_ms),
    }


def _accepted_json(order: PlaceOrder, instrument: Instrument) -> dict[str, Any]:
    return {
        **_terms_json(order, instrument),
        "filled_quantity": 0,
        "filled_quote": 0,
        "fee": 0,
        "fee_asset": instrument.base if order.side is Side.BUY else instrument.quote,
        "status": OrderStatus.ACCEPTED,
        "reason": None,
        "seq": None,
        "created_at": timestamp_text(order.entered_at_ms),
        "updated_at": timestamp_text(order.entered_at_ms),
    }


def _terms_json(order: OrderView | OrderTerms, instrument: Instrument) -> dict[str, Any]:
    is_priced = order.order_type in _PRICED_TYPES
    return {
        "order_id": str(order.order_id),
        "client_order_id": order.client_order_id or str(order.order_id),
        "symbol": order.symbol,
        "side": order.side,
        "type": order.order_type,
        "time_in_force": order.time_in_force,
        "price": price_number(order.price, instrument) if is_priced else None,
        "quantity": quantity_number(order.quantity, instrument),
        "quote_quantity": amount_number(order.quote_quantity, instrument.quote_decimals),
        "trigger_price": price_number(order.trigger_price, instrument),
        "display_quantity": quantity_number(order.display_quantity, instrument),
        "expires_at": None if order.expires_at_ms is None else timestamp_text(order.expires_at_ms),
        "post_only": order.post_only,
        "self_trade_prevention": order.self_trade_prevention,
    }


def ids_json(found: OrderView | OnItsWay) -> dict[str, str]:
    """Both ids of an order."""
    order = found.order if isinstance(found, OnItsWay) else found
    return {"order_id": str(order.order_id), "client_order_id": order.client_order_id or str(order.order_id)}


def placed_json(placed: Placed) -> dict[str, Any]:
    """The promise of an order."""
    return {
        "order_id": str(placed.order_id),
        "client_order_id": placed.client_order_text,
        "status": OrderStatus.ACCEPTED,
    }


def fill_json(fill: FillView, instrument: Instrument) -> dict[str, Any]:
    """One side of a trade, as its owner sees it."""
    decimals = instrument.base_decimals if fill.fee_asset == instrument.base else instrument.quote_decimals
    return {
        "trade_id": fill.trade_id,
        "order_id": str(fill.order_id),
        "symbol": fill.symbol,
        "side": fill.side,
        "is_maker": fill.is_maker,
        "price": price_number(fill.price, instrument),
        "quantity": quantity_number(fill.quantity, instrument),
        "fee": amount_number(fill.fee, decimals),
        "fee_asset": fill.fee_asset,
        "seq": fill.seq,
        "timestamp": timestamp_text(fill.at_ms),
    }


def trade_json(trade: TradeView, instrument: Instrument) -> dict[str, Any]:
    """A trade as everyone sees it."""
    return {
        "trade_id": trade.trade_id,
        "symbol": trade.symbol,
        "price": price_number(trade.price, instrument),
        "quantity": quantity_number(trade.quantity, instrument),
        "taker_side": trade.taker_side,
        "seq": trade.seq,
        "timestamp": timestamp_text(trade.at_ms),
    }


def candle_json(candle: Candle, instrument: Instrument) -> dict[str, Any]:
    """A candle of a row that says symbol and interval."""
    return {
        "open_at": timestamp_text(candle.open_at_ms),
        "open": price_number(candle.open, instrument),
        "high": price_number(candle.high, instrument),
        "low": price_number(candle.low, instrument),
        "close": price_number(candle.close, instrument),
        "base_volume": quantity_number(candle.base_volume, instrument),
        "quote_volume": amount_number(candle.quote_volume, instrument.quote_decimals),
        "trade_count": candle.trade_count,
        "seq": candle.seq,
    }


def ticker_json(found: SymbolNow, instrument: Instrument) -> dict[str, Any]:
    """The last trade, the best prices, and the last 24 hours; null for what is not there."""
    last, day = found.last, found.day
    return {
        "symbol": instrument.symbol,
        "price": price_number(last.price, instrument) if last else None,
        "quantity": quantity_number(last.quantity, instrument) if last else None,
        "bid": price_number(found.bid, instrument),
        "ask": price_number(found.ask, instrument),
        "open": price_number(day.open, instrument) if day else None,
        "high": price_number(day.high, instrument) if day else None,
        "low": price_number(day.low, instrument) if day else None,
        "change": price_number(day.change, instrument) if day else None,
        "change_percent": number(percent_text(day.change_percent)) if day else None,
        "base_volume": quantity_number(day.base_volume, instrument) if day else None,
        "quote_volume": amount_number(day.quote_volume, instrument.quote_decimals) if day else None,
        "trade_count": day.trade_count if day else None,
        "seq": last.seq if last else None,
        "timestamp": timestamp_text(last.at_ms) if last else None,
    }


def balances_json(wallets: Sequence[Wallet], decimals_of: dict[str, int]) -> list[dict[str, Any]]:
    """The balances of one user, by asset."""
    return [
        {
            "asset": wallet.asset,
            "available": amount_number(wallet.available, decimals_of[wallet.asset]),
            "held": amount_number(wallet.held, decimals_of[wallet.asset]),
            "total": amount_number(wallet.available + wallet.held, decimals_of[wallet.asset]),
        }
        for wallet in wallets
    ]


def instrument_json(instrument: Instrument) -> dict[str, Any]:
    """An instrument in human units."""
    return {
        "symbol": instrument.symbol,
        "base": instrument.base,
        "quote": instrument.quote,
        "base_decimals": instrument.base_decimals,
        "quote_decimals": instrument.quote_decimals,
        "tick_size": number(format(instrument.tick_size, "f")),
        "lot_size": number(format(instrument.lot_size, "f")),
        "min_quantity": quantity_number(instrument.min_quantity, instrument),
        "max_quantity": quantity_number(instrument.max_quantity, instrument),
        "min_notional": amount_number(instrument.min_notional, instrument.quote_decimals),
        "maker_fee_bps": instrument.maker_fee_bps,
        "taker_fee_bps": instrument.taker_fee_bps,
        "band_bps": instrument.band_bps,
        "reference_price": price_number(instrument.reference_price, instrument),
        "max_open_orders": instrument.max_open_orders,
        "breaker_bps": instrument.breaker_bps,
        "breaker_window_ms": instrument.breaker_window_ms,
        "breaker_halt_ms": instrument.breaker_halt_ms,
        "partition": instrument.partition,
        "status": instrument.status,
    }


def outcome_json(outcome: CommandOutcome) -> dict[str, Any]:
    """What became of a command, for who sent it."""
    return {
        "command_id": str(outcome.command_id),
        "status": "done" if outcome.reason is None else "refused",
        "reason": outcome.reason,
        "command": outcome.command or None,
        "symbol": _symbol_text(outcome.symbol),
        "order_id": _id_text(outcome.order_id),
        "canceled": outcome.order_count if outcome.command.startswith("cancel") else None,
        "seq": outcome.seq,
        "timestamp": timestamp_text(outcome.at_ms),
    }


def operator_command_json(command: OperatorCommand, catalogue: InstrumentCatalogue) -> dict[str, Any]:
    """A line of the operators' audit log; an amount whose asset has no listed instrument is null."""
    detail = dict(command.detail)
    if "amount" in detail:
        decimals = catalogue.decimals_of(detail["asset"])
        detail["amount"] = None if decimals is None else amount_number(detail["amount"], decimals)
    if "instrument" in detail:
        detail["instrument"] = instrument_json(from_plain(Instrument, detail["instrument"]))
    return {
        "command_id": str(command.command_id),
        "operator_id": command.operator_id,
        "command": command.command,
        "symbol": _symbol_text(command.symbol),
        "detail": detail,
        "status": "done" if command.reason is None else "refused",
        "reason": command.reason,
        "seq": command.seq,
        "timestamp": timestamp_text(command.at_ms),
    }


def ledger_entry_json(entry: LedgerEntry, decimals: int) -> dict[str, Any]:
    """A line of the ledger as the one whose wallet it changes sees it."""
    return {
        "kind": entry.kind,
        "asset": entry.asset,
        "available": amount_number(entry.available, decimals),
        "held": amount_number(entry.held, decimals),
        "symbol": _symbol_text(entry.symbol),
        "seq": entry.seq,
        "order_id": _id_text(entry.order_id),
        "trade_id": entry.trade_id or None,
        "transfer_id": entry.transfer_id or None,
        "timestamp": timestamp_text(entry.at_ms),
    }


def _symbol_text(symbol: str) -> str | None:
    """None for what happens at the cash desk."""
    return None if symbol == CASH_DESK else symbol


def _id_text(identifier: int) -> str | None:
    return str(identifier) if identifier else None
