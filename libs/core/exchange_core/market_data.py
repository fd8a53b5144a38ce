"""The JSON forms of public market data: exact decimals written as JSON numbers, as clients see them.

orjson cannot write a Decimal as a number, so the few number fields are spliced as text; every one of them comes from
`money.steps_text` or `money.units_text`, which write digits, one point and nothing else.
"""

import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Final

from exchange_core.events import TradeExecuted
from exchange_core.instruments import Instrument
from exchange_core.money import steps_text

BOOK_CACHE_LEVELS: Final = 100
"""As many levels a side are cached and followed by the depth feed; deeper ones are nobody's to see."""
CHECKSUM_LEVELS: Final = 10
"""As many levels a side go into the checksum."""

Level = tuple[int, int]
"""Price in ticks, quantity in lots."""
LevelText = tuple[str, str]
"""Price and quantity as messages write them: `("50000.01", "0.5")`."""


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


def written_levels(
    levels: Iterable[Level], instrument: Instrument, known: Mapping[Level, str] | None = None
) -> dict[Level, str]:
    """Each level as messages write it, `[50000.01,0.5]`: without an exponent, without trailing zeros.

    What is `known` is not written again: of two hundred levels in a book a slot changes a few.
    """
    known = known or {}
    return {level: known.get(level) or _level_text(level, instrument) for level in levels}


def order_book_message(
    instrument: Instrument,
    seq: int,
    at_ms: int,
    bids: Sequence[Level],
    asks: Sequence[Level],
    written: Mapping[Level, str] | None = None,
) -> bytes:
    """The cached book: best levels first, each `[price, quantity]`, as it stands after `seq`.

    `written` are the texts of all levels, if they are known already (see `written_levels`).
    """
    texts = written_levels([*bids, *asks], instrument) if written is None else written
    return (
        f'{{"symbol":"{instrument.symbol}","seq":{seq},"timestamp":"{timestamp_text(at_ms)}"'
        f',"bids":[{",".join(map(texts.__getitem__, bids))}],"asks":[{",".join(map(texts.__getitem__, asks))}]}}'
    ).encode()


def depth_message(
    instrument: Instrument,
    *,
    seq: int,
    prev_seq: int,
    at_ms: int,
    before: tuple[Sequence[Level], Sequence[Level]],
    after: tuple[Sequence[Level], Sequence[Level]],
    written: Mapping[Level, str] | None = None,
) -> bytes:
    """The depth diff that leads from the book (bids, asks) at `prev_seq` to the one at `seq`, both cut to their best
    BOOK_CACHE_LEVELS. It may change no level: `seq` moves on all the same, so that the chain has no gaps."""
    (bids_before, asks_before), (bids, asks) = before, after
    bid_changes, ask_changes = changed_levels(bids_before, bids), changed_levels(asks_before, asks)
    best_bids, best_asks = bids[:CHECKSUM_LEVELS], asks[:CHECKSUM_LEVELS]
    texts = written_levels([*bid_changes, *ask_changes, *best_bids, *best_asks], instrument, written)
    checksum = book_checksum(_pairs(best_bids, texts), _pairs(best_asks, texts))
    return (
        f'{{"event":"depth","symbol":"{instrument.symbol}","seq":{seq},"prev_seq":{prev_seq}'
        f',"timestamp":"{timestamp_text(at_ms)}"'
        f',"bids":[{",".join(map(texts.__getitem__, bid_changes))}]'
        f',"asks":[{",".join(map(texts.__getitem__, ask_changes))}]'
        f',"checksum":{checksum}}}'
    ).encode()


def changed_levels(before: Sequence[Level], after: Sequence[Level]) -> list[Level]:
    """The levels of one side that are new or have another quantity, then with quantity 0 those that are gone or were
    pushed out of the cut."""
    quantities = dict(before)
    changed = [level for level in after if quantities.pop(level[0], None) != level[1]]
    return changed + [(price, 0) for price in quantities]


def book_checksum(bids: Iterable[LevelText], asks: Iterable[LevelText]) -> int:
    """CRC32 over the best ten asks, low to high, then the best ten bids, high to low (Kraken's rule, which is that of
    docs/semantics.md): each price, then quantity, as decimal text without its point and its leading zeros. The caller
    gives the best ten, in that order."""
    text = "".join(
        price.replace(".", "").lstrip("0") + quantity.replace(".", "").lstrip("0")
        for side in (asks, bids)
        for price, quantity in side
    )
    return zlib.crc32(text.encode())


def price_message(instrument: Instrument, seq: int, at_ms: int, last_price: int, last_quantity: int) -> bytes:
    """The cached last price."""
    return (
        f'{{"symbol":"{instrument.symbol}","price":{steps_text(last_price, instrument.tick_size)}'
        f',"quantity":{steps_text(last_quantity, instrument.lot_size)}'
        f',"seq":{seq},"timestamp":"{timestamp_text(at_ms)}"}}'
    ).encode()


def _level_text(level: Level, instrument: Instrument) -> str:
    price, quantity = level
    return f"[{steps_text(price, instrument.tick_size)},{steps_text(quantity, instrument.lot_size)}]"


def _pairs(levels: Iterable[Level], written: Mapping[Level, str]) -> Iterator[LevelText]:
    for level in levels:
        price, _, quantity = written[level][1:-1].partition(",")
        yield price, quantity
