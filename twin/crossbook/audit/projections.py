"""The checks of what is derived from the journal and may be built again: database, history, caches."""

from collections import defaultdict
from collections.abc import Callable, Iterator
from decimal import Decimal
from typing import Any

import orjson

from crossbook.audit.checks import CheckResult, Judgement, compare
from crossbook.audit.evidence import FILL_COLUMNS, LEDGER_COLUMNS, ORDER_COLUMNS, TRADE_COLUMNS, Row
from crossbook.audit.fold import Difference
from crossbook.audit.folded_orders import FoldedOrder
from exchange_core.codec import Slot
from exchange_core.events import Event
from exchange_core.market_data import BOOK_CACHE_LEVELS, order_book_message, price_message
from exchange_core.orders import OrderStatus, Side
from exchange_core.topology import order_book_key, price_key
from exchange_core.wire import message_fields, to_plain

_REFUSED_COLUMNS = frozenset({"price", "quantity", "quote_quantity"})
"""What a rejected order asked for may be beyond any column, and is then not stored."""


def check_position(judgement: Judgement) -> CheckResult:
    """The database has come to the end of the journal."""
    positions = judgement.evidence.database.positions
    differences = []
    for partition in range(judgement.evidence.partitions):
        position, head = positions.get(partition, 0), judgement.evidence.head(partition)
        if position < head:
            text = f"is at slot {position}, the journal at {head}"
            differences.append(_at(partition, position + 1, "PostgreSQL", text))
    scope = ", ".join(f"{partition}:{slot}" for partition, slot in sorted(positions.items()))
    return CheckResult(name="database: at the journal's head", scope=scope, differences=tuple(differences))


def check_orders(judgement: Judgement) -> CheckResult:
    """Orders with status, fills, fees and reasons."""
    orders = {order_id: order for order_id, order in judgement.fold.orders.items() if _is_in(judgement, order)}
    stored = {row[0]: _plain(row) for row in judgement.evidence.database.orders}
    expected = {}
    for order_id, order in orders.items():
        row = _order_row(order)
        if order.status is OrderStatus.REJECTED and order_id in stored:
            row = tuple(
                has if name in _REFUSED_COLUMNS and has is None else due
                for name, due, has in zip(ORDER_COLUMNS, row, stored[order_id], strict=True)
            )
        expected[order_id] = row
    differences = compare(
        expected,
        stored,
        place=lambda order_id: f"order {order_id}",
        where=lambda order_id: (
            (orders[order_id].partition, orders[order_id].changed_slot) if order_id in orders else None
        ),
        columns=ORDER_COLUMNS,
    )
    return CheckResult(name="database: orders", scope=f"{len(stored):,} rows", differences=tuple(differences))


def check_trades(judgement: Judgement) -> CheckResult:
    """Trades and both fills of each."""
    database = judgement.evidence.database
    trades: dict[Any, Row] = {}
    fills: dict[Any, Row] = {}
    slots: dict[tuple[str, int], tuple[int, int]] = {}
    for key, (trade, slot) in judgement.fold.trades.items():
        if slot.n > database.positions.get(slot.partition, 0) or trade.symbol not in judgement.fold.instruments:
            continue
        slots[key] = (slot.partition, slot.n)
        instrument = judgement.fold.instruments[trade.symbol]
        quote = trade.price * trade.quantity * instrument.tick_lot_units
        trades[key] = (
            *key, trade.price, trade.quantity, quote, str(trade.taker_side), trade.maker_order_id,
            trade.taker_order_id, slot.partition, slot.n, trade.seq, slot.at_ms,
        )  # fmt: skip
        for is_maker, user_id, order_id, side, fee in (
            (True, trade.maker_user_id, trade.maker_order_id, trade.taker_side.opposite, trade.maker_fee),
            (False, trade.taker_user_id, trade.taker_order_id, trade.taker_side, trade.taker_fee),
        ):
            asset = instrument.base if side is Side.BUY else instrument.quote
            fills[*key, is_maker] = (
                *key, is_maker, user_id, order_id, str(side), trade.price, trade.quantity, fee, asset, trade.seq,
                slot.at_ms,
            )  # fmt: skip
    differences = [
        *compare(
            trades,
            {row[:2]: _plain(row) for row in database.trades},
            place=lambda key: f"trade {key[0]} {key[1]}",
            where=slots.get,
            columns=TRADE_COLUMNS,
        ),
        *compare(
            fills,
            {row[:3]: _plain(row) for row in database.fills},
            place=lambda key: f"fill {key[0]} {key[1]} of the {'maker' if key[2] else 'taker'}",
            where=lambda key: slots.get(key[:2]),
            columns=FILL_COLUMNS,
        ),
    ]
    scope = f"{len(database.trades):,} trades, {len(database.fills):,} fills"
    return CheckResult(name="database: trades and fills", scope=scope, differences=tuple(differences))


def check_ledger(judgement: Judgement) -> CheckResult:
    """Every line of the double-entry ledger, and its sums against the wallets' totals."""
    database = judgement.evidence.database
    expected = {
        (*where, line): (*where, line, *row)
        for where, rows in judgement.fold.ledger.items()
        if where[1] <= database.positions.get(where[0], 0)
        for line, row in enumerate(rows)
    }
    stored = {row[:3]: _plain(row) for row in database.ledger}
    differences = compare(
        expected,
        stored,
        place=lambda key: f"ledger line {key[2]}",
        where=lambda key: (key[0], key[1]),
        columns=LEDGER_COLUMNS,
    )
    return CheckResult(
        name="database: ledger",
        scope=f"{len(stored):,} lines",
        differences=(*differences, *_ledger_sums(judgement)),
    )


def _ledger_sums(judgement: Judgement) -> Iterator[Difference]:
    """Each wallet's available + held is what the ledger moved there: true at any time, whatever is on hold."""
    columns = {name: place for place, name in enumerate(LEDGER_COLUMNS)}
    database = judgement.evidence.database
    sums: dict[tuple[str, str], int] = defaultdict(int)
    for row in database.ledger:
        asset, amount = row[columns["asset"]], int(row[columns["amount"]])
        sums[row[columns["from_account"]], asset] -= amount
        sums[row[columns["to_account"]], asset] += amount
    for wallet in judgement.evidence.wallets:
        if any(slot > database.positions.get(partition, 0) for partition, slot in wallet.applied.items()):
            continue
        total = wallet.available + wallet.held
        if total != sums[wallet.user_id, wallet.asset]:
            text = f"holds {total}, the ledger says {sums[wallet.user_id, wallet.asset]}"
            yield Difference(place=f"wallet {wallet.user_id} {wallet.asset}", text=text)


def check_instruments(judgement: Judgement) -> CheckResult:
    """Listed instruments and their status."""
    fold, stored = judgement.fold, {row[0]: _plain(row) for row in judgement.evidence.database.instruments}
    expected = {}
    slots: dict[str, tuple[int, int]] = {}
    for symbol, instrument in fold.instruments.items():
        seq = fold.status_seqs[symbol]
        slots[symbol] = fold.seq_slots[symbol, seq]
        if slots[symbol][1] <= judgement.evidence.database.positions.get(slots[symbol][0], 0):
            expected[symbol] = (symbol, instrument.partition, str(instrument.status), seq)
    differences = compare(
        expected,
        stored,
        place=lambda symbol: f"instrument {symbol}",
        where=slots.get,
        columns=("symbol", "partition", "status", "seq"),
    )
    return CheckResult(name="database: instruments", scope=f"{len(stored)} rows", differences=tuple(differences))


def check_history(judgement: Judgement) -> CheckResult:
    """The objects in S3 cover every settled slot and say what the journal says."""
    evidence = judgement.evidence
    slots = {(slot.partition, slot.n): slot for slots in judgement.slots.values() for slot in slots}
    covered: set[tuple[int, int]] = set()
    differences: list[Difference] = []
    for (partition, first, last), text in evidence.history.items():
        span = [(partition, n) for n in range(first, last + 1)]
        covered.update(span)
        expected = [line for key in span if key in slots for line in _history_lines(slots[key])]
        place = f"object {partition}/{first}-{last}"
        differences.extend(_line_differences(place, expected, text.splitlines(), (partition, first)))
    for partition, n in slots.keys() - covered:
        if n <= evidence.database.positions.get(partition, 0):
            differences.append(_at(partition, n, "history", "no object holds this slot"))
    scope = f"{len(evidence.history):,} objects, {len(covered):,} slots"
    return CheckResult(name="history in S3: covers and agrees", scope=scope, differences=tuple(differences))


def _history_lines(slot: Slot) -> Iterator[tuple[tuple[int, int], Callable[[], dict[str, Any]]]]:
    for line, event in enumerate(slot.events):
        yield (slot.partition, slot.n), lambda line=line, event=event: _history_line(slot, line, event)  # type: ignore[misc]


def _history_line(slot: Slot, line: int, event: Event) -> dict[str, Any]:
    kind: type = type(event)
    return {
        "partition": slot.partition,
        "slot": slot.n,
        "line": line,
        "at_ms": slot.at_ms,
        "type": kind.__name__,
        **{field.name: to_plain(getattr(event, field.name)) for field in message_fields(kind)},
    }


def _line_differences(
    place: str,
    expected: list[tuple[tuple[int, int], Callable[[], dict[str, Any]]]],
    lines: list[bytes],
    first: tuple[int, int],
) -> Iterator[Difference]:
    """The first line that differs; those behind it would differ because of it."""
    where = first
    for (where, build), line in zip(expected, lines, strict=False):
        due = build()
        if orjson.dumps(due) == line:
            continue
        try:
            is_equal = orjson.loads(line) == due
        except orjson.JSONDecodeError:
            is_equal = False
        if not is_equal:
            yield _at(*where, place, f"line {due['line']} is not the journal's event")
            return
    if len(expected) > len(lines):
        yield _at(*expected[len(lines)][0], place, f"ends after {len(lines)} of {len(expected)} lines")
    elif len(expected) < len(lines):
        yield _at(*where, place, f"has {len(lines)} lines where {len(expected)} are due")


def check_caches(judgement: Judgement) -> CheckResult:
    """`orderbook:SYM` and `price:SYM` are what the engine would write now."""
    differences: list[Difference] = []
    keys = 0
    symbols = [(symbol, engine) for engine in judgement.engines.values() for symbol in engine.instruments]
    for symbol, engine in symbols if not judgement.engine else ():
        instrument, seq = engine.instruments[symbol], engine.seq(symbol)
        bids, asks = engine.depth(symbol, BOOK_CACHE_LEVELS)
        due = {order_book_key(symbol): order_book_message(instrument, seq, 0, bids, asks)}
        last = engine.last_trade(symbol)
        if last is not None:
            price, quantity, at_ms = last
            due[price_key(symbol)] = price_message(instrument, seq, at_ms, price, quantity)
        keys += len(due)
        for key, message in due.items():
            differences.extend(_cache_difference(judgement, symbol, key, message))
    scope = f"{len(symbols)} books, {keys - len(symbols)} prices" if keys else "not compared: there is no engine"
    return CheckResult(name="Redis: orderbook and price", scope=scope, differences=tuple(differences))


def _cache_difference(judgement: Judgement, symbol: str, key: str, message: bytes) -> Iterator[Difference]:
    due, cached = orjson.loads(message), judgement.evidence.cache.get(key)
    if cached is None:
        yield Difference(place=key, text="is not there")
        return
    try:
        has = orjson.loads(cached)
        behind = due["seq"] - has["seq"]
    except (orjson.JSONDecodeError, TypeError, KeyError):
        yield Difference(place=key, text="cannot be read")
        return
    partition, slot = judgement.fold.seq_slots.get((symbol, has["seq"] + 1), (None, None))
    if key.startswith("orderbook:") and behind:
        yield Difference(place=key, text=f"is at seq {has['seq']}, not {due['seq']}", partition=partition, slot=slot)
    for name in ("bids", "asks") if "bids" in due else ("price", "quantity", "timestamp"):
        if has.get(name) != due[name]:
            partition, slot = judgement.fold.seq_slots.get((symbol, due["seq"]), (None, None))
            yield Difference(place=key, text=f"{name} differ from the engine's", partition=partition, slot=slot)
            return


def _is_in(judgement: Judgement, order: FoldedOrder) -> bool:
    return order.slot <= judgement.evidence.database.positions.get(order.partition, 0)


def _order_row(order: FoldedOrder) -> Row:
    terms = order.terms
    return (
        terms.order_id, terms.user_id, terms.client_order_id, terms.symbol, str(terms.side), str(terms.order_type),
        str(terms.time_in_force), order.price, order.quantity, terms.quote_quantity, order.hold, terms.hold_asset,
        order.filled_quantity, order.filled_quote, order.fee, str(order.status),
        None if order.reason is None else str(order.reason), order.partition, order.slot, order.seq,
        terms.entered_at_ms, order.updated_at_ms,
    )  # fmt: skip


def _plain(row: Row) -> Row:
    """Database rows with `numeric` as the integers they are."""
    return tuple(int(value) if isinstance(value, Decimal) else value for value in row)


def _at(partition: int, slot: int, place: str, text: str) -> Difference:
    return Difference(place=place, text=text, partition=partition, slot=slot)
