"""The JSON forms of public market data: exact decimals written as JSON numbers, as clients see them.

orjson cannot write a Decimal as a number, so the few number fields are spliced as text; every one of them comes from
`money.steps_text` or `money.units_text`, which write digits, one point and nothing else.
"""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Final

from exchange_core.events import TradeExecuted
from exchange_core.instruments import Instrument
from exchange_core.money import steps_text

BOOK_CACHE_LEVELS: Final = 100

Level = tuple[int, int]
"""Price in ticks, quantity in lots."""


def timestamp_text(at_ms: int) -> str:
    """ISO 8601 in UTC: without a fraction when the milliseconds are zero, else with three digits."""
    moment = datetime.fromtimestamp(at_ms // 1000, UTC).strftime("%Y-%m-%dT%H:%M:%S")
    rest_ms = at_ms % 1000
    return f"{moment}.{rest_ms:03d}Z" if rest_ms else f"{moment}Z"


def trade_message(trade: TradeExecuted, instrument: Instrument, at_ms: int) -> bytes:
    """The trade event of the WebSocket (DESIGN.md section 5)."""
    return (
        f'{{"event":"trade","symbol":"{trade.symbol}"'
        f',"price":{steps_text(trade.price, instrument.tick_size)}'
        f',"quantity":{steps_text(trade.quantity, instrument.lot_size)}'
        f',"timestamp":"{timestamp_text(at_ms)}"'
        f',"seq":{trade.seq},"trade_id":{trade.trade_id},"taker_side":"{trade.taker_side}"}}'
    ).encode()


def order_book_message(
    instrument: Instrument, seq: int, at_ms: int, bids: Sequence[Level], asks: Sequence[Level]
) -> bytes:
    """The cached book: best levels first, each `[price, quantity]`, as it stands after `seq`."""
    return (
        f'{{"symbol":"{instrument.symbol}","seq":{seq},"timestamp":"{timestamp_text(at_ms)}"'
        f',"bids":[{_levels_text(bids, instrument)}],"asks":[{_levels_text(asks, instrument)}]}}'
    ).encode()


def price_message(instrument: Instrument, seq: int, at_ms: int, last_price: int, last_quantity: int) -> bytes:
    """The cached last price."""
    return (
        f'{{"symbol":"{instrument.symbol}","price":{steps_text(last_price, instrument.tick_size)}'
        f',"quantity":{steps_text(last_quantity, instrument.lot_size)}'
        f',"seq":{seq},"timestamp":"{timestamp_text(at_ms)}"}}'
    ).encode()


def _levels_text(levels: Sequence[Level], instrument: Instrument) -> str:
    return ",".join(
        f"[{steps_text(price, instrument.tick_size)},{steps_text(quantity, instrument.lot_size)}]"
        for price, quantity in levels
    )
