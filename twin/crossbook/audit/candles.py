"""The check of the candles: each is what the journal's trades come to, one by one."""

from collections import defaultdict
from decimal import Decimal
from typing import Final

from crossbook.audit.checks import CheckResult, Judgement, compare
from crossbook.audit.evidence import CANDLE_COLUMNS, Row
from exchange_core.events import TradeExecuted

_LENGTHS_S: Final = (1, 60, 300, 900, 3600, 14400, 86400)
_DAY_MS: Final = 86_400_000
_Key = tuple[str, int, int]


def check_candles(judgement: Judgement) -> CheckResult:
    """Every candle of every length; of a second those of the last 24 hours before the symbol's newest trade."""
    database = judgement.evidence.database
    trades: dict[_Key, list[tuple[TradeExecuted, int]]] = defaultdict(list)
    slots: dict[_Key, tuple[int, int]] = {}
    newest_ms: dict[str, int] = {}
    for (symbol, _), (trade, slot) in judgement.fold.trades.items():
        instrument = judgement.fold.instruments.get(symbol)
        if instrument is None or slot.n > database.positions.get(slot.partition, 0):
            continue
        newest_ms[symbol] = slot.at_ms
        for length_s in _LENGTHS_S:
            key = (symbol, length_s, slot.at_ms - slot.at_ms % (length_s * 1000))
            trades[key].append((trade, trade.price * trade.quantity * instrument.tick_lot_units))
            slots[key] = (slot.partition, slot.n)
    kept_from_ms = {symbol: (at_ms - _DAY_MS) // 60_000 * 60_000 for symbol, at_ms in newest_ms.items()}
    expected = {
        key: _row(key, of_span) for key, of_span in trades.items() if key[1] > 1 or key[2] >= kept_from_ms[key[0]]
    }
    stored = {row[:3]: tuple(int(one) if isinstance(one, Decimal) else one for one in row) for row in database.candles}
    differences = compare(
        expected,
        stored,
        place=lambda key: f"candle {key[0]} of {key[1]} s at {key[2]}",
        where=slots.get,
        columns=CANDLE_COLUMNS,
    )
    return CheckResult(name="database: candles", scope=f"{len(stored):,} rows", differences=tuple(differences))


def _row(key: _Key, trades: list[tuple[TradeExecuted, int]]) -> Row:
    prices = [trade.price for trade, _ in trades]
    volumes = (sum(trade.quantity for trade, _ in trades), sum(quote for _, quote in trades))
    return (*key, prices[0], max(prices), min(prices), prices[-1], *volumes, len(trades), trades[-1][0].seq)
