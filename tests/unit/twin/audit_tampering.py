"""Ways to damage the evidence of a sound exchange, each with the check that must tell."""

from collections.abc import Callable
from dataclasses import replace

import orjson

from crossbook.audit.evidence import (
    CANDLE_COLUMNS,
    LEDGER_COLUMNS,
    OPERATOR_COMMAND_COLUMNS,
    ORDER_COLUMNS,
    OUTCOME_COLUMNS,
    Evidence,
    Row,
)
from exchange_core.codec import Slot, decode_slot
from exchange_core.events import Event, OrderAccepted, OrderDone, SymbolStatusChanged, TradeExecuted
from exchange_core.instruments import SymbolStatus
from exchange_core.orders import OrderStatus
from exchange_core.ports import Wallet
from exchange_core.topology import order_book_key, price_key
from tests.unit.matcher.support import order
from tests.unit.twin.audit_world import CASH_PARTITION, SYMBOL, intent_of, rewritten

Tamper = Callable[[Evidence], tuple[int, int] | None]
"""Damages the evidence; returns the slot that the audit must name first, or None when none can be named."""


def slots_of(evidence: Evidence, partition: int) -> list[Slot]:
    return [decode_slot(data) for _, data in evidence.journal[partition]]


def slot_with(evidence: Evidence, kind: type, which: int = 5) -> tuple[Slot, int]:
    """A slot of partition 0 with an event of this kind, and the event's place in it."""
    found = [
        (slot, place)
        for slot in slots_of(evidence, 0)
        for place, event in enumerate(slot.events)
        if isinstance(event, kind)
    ]
    return found[which]


def with_event(slot: Slot, place: int, event: Event) -> Slot:
    return replace(slot, events=(*slot.events[:place], event, *slot.events[place + 1 :]))


def changed(rows: list[Row], columns: tuple[str, ...], at: int, **values: object) -> Row:
    row = list(rows[at])
    for name, value in values.items():
        row[columns.index(name)] = value
    rows[at] = tuple(row)
    return rows[at]


def wallet_of(evidence: Evidence, user_id: str, asset: str) -> int:
    keys = [(wallet.user_id, wallet.asset) for wallet in evidence.wallets]
    return keys.index((user_id, asset))


def moved(evidence: Evidence, user_id: str, asset: str, available: int, held: int) -> Wallet:
    at = wallet_of(evidence, user_id, asset)
    wallet = evidence.wallets[at]
    evidence.wallets[at] = replace(wallet, available=wallet.available + available, held=wallet.held + held)
    return evidence.wallets[at]


def lost_slot(evidence: Evidence) -> tuple[int, int]:
    del evidence.journal[0][20]
    return 0, 21


def lost_tail(evidence: Evidence) -> tuple[int, int]:
    n, _ = evidence.journal[0].pop()
    return 0, n


def broken_slot(evidence: Evidence) -> tuple[int, int]:
    n, data = evidence.journal[0][30]
    evidence.journal[0][30] = (n, data[:-9])
    return 0, n


def slot_back_in_time(evidence: Evidence) -> tuple[int, int]:
    slot = slots_of(evidence, 0)[40]
    rewritten(evidence, 0, replace(slot, at_ms=slot.at_ms - 60_000))
    return 0, slot.n


def skipped_seq(evidence: Evidence) -> tuple[int, int]:
    slot, place = slot_with(evidence, OrderDone)
    rewritten(evidence, 0, with_event(slot, place, replace(slot.events[place], seq=slot.events[place].seq + 1)))
    return 0, slot.n


def skipped_trade_id(evidence: Evidence) -> tuple[int, int]:
    slot, place = slot_with(evidence, TradeExecuted)
    trade = slot.events[place]
    assert isinstance(trade, TradeExecuted)
    rewritten(evidence, 0, with_event(slot, place, replace(trade, trade_id=trade.trade_id + 1)))
    return 0, slot.n


def unknown_maker(evidence: Evidence) -> tuple[int, int]:
    slot, place = slot_with(evidence, TradeExecuted)
    trade = slot.events[place]
    assert isinstance(trade, TradeExecuted)
    rewritten(evidence, 0, with_event(slot, place, replace(trade, maker_order_id=999_999)))
    return 0, slot.n


def wrong_fee(evidence: Evidence) -> tuple[int, int]:
    slot, place = slot_with(evidence, TradeExecuted)
    trade = slot.events[place]
    assert isinstance(trade, TradeExecuted)
    rewritten(evidence, 0, with_event(slot, place, replace(trade, maker_fee=trade.maker_fee + 1)))
    return 0, slot.n


def residue_left_locked(evidence: Evidence) -> tuple[int, int]:
    for slot in slots_of(evidence, 0):
        for place, event in enumerate(slot.events):
            if isinstance(event, OrderDone) and event.released > 1:
                rewritten(evidence, 0, with_event(slot, place, replace(event, released=event.released - 1)))
                return 0, slot.n
    raise AssertionError("nothing was ever released")


def traded_while_halted(evidence: Evidence) -> tuple[int, int]:
    slot, place = slot_with(evidence, TradeExecuted)
    trade = slot.events[place]
    halt = SymbolStatusChanged(
        seq=trade.seq, symbol=SYMBOL, cause=trade.cause, status=SymbolStatus.HALTED, operator_id="op", until_ms=None
    )
    rewritten(evidence, 0, replace(slot, events=(*slot.events[:place], halt, *slot.events[place:])))
    return 0, slot.n


def money_from_nowhere(evidence: Evidence) -> None:
    moved(evidence, "alice", "USDT", 5, 0)


def negative_wallet(evidence: Evidence) -> None:
    wallet = evidence.wallets[wallet_of(evidence, "alice", "USDT")]
    moved(evidence, "alice", "USDT", -wallet.available - 1, wallet.available + 1)


def settled_twice(evidence: Evidence) -> tuple[int, int]:
    slot = slots_of(evidence, CASH_PARTITION)[2]
    (paid,) = slot.events
    moved(evidence, paid.user_id, paid.asset, paid.amount, 0)  # type: ignore[union-attr]
    return CASH_PARTITION, slot.n


def never_settled(evidence: Evidence) -> tuple[int, int]:
    slot = slots_of(evidence, CASH_PARTITION)[1]
    (paid,) = slot.events
    moved(evidence, paid.user_id, paid.asset, -paid.amount, 0)  # type: ignore[union-attr]
    return CASH_PARTITION, slot.n


def watermark_behind(evidence: Evidence) -> tuple[int, int]:
    slot = slots_of(evidence, CASH_PARTITION)[1]
    (paid,) = slot.events
    at = wallet_of(evidence, paid.user_id, paid.asset)  # type: ignore[union-attr]
    wallet = evidence.wallets[at]
    evidence.wallets[at] = replace(wallet, applied={**wallet.applied, CASH_PARTITION: slot.n - 1})
    return CASH_PARTITION, slot.n


def lost_hold(evidence: Evidence) -> tuple[int, int]:
    done = {event.order_id for slot in slots_of(evidence, 0) for event in slot.events if isinstance(event, OrderDone)}
    resting = [
        (slot, event)
        for slot in slots_of(evidence, 0)
        for event in slot.events
        if isinstance(event, OrderAccepted) and event.order_id not in done
    ]
    slot, accepted = resting[0]
    moved(evidence, accepted.user_id, accepted.hold_asset, accepted.hold, -accepted.hold)
    return 0, slot.n


def lost_order(evidence: Evidence) -> None:
    evidence.pending.clear()


def lost_pending_hold(evidence: Evidence) -> None:
    evidence.intents = [one for one in evidence.intents if one.order_id not in evidence.pending]
    evidence.pending.clear()


def phantom_order(evidence: Evidence) -> tuple[int, int]:
    first = min(evidence.intents, key=lambda intent: intent.order_id)
    evidence.intents.remove(first)
    return next((0, slot.n) for slot in slots_of(evidence, 0) for event in slot.events if event.cause == first.order_id)


def other_terms(evidence: Evidence) -> tuple[int, int]:
    slot = slots_of(evidence, 0)[10]
    accepted = slot.events[0]
    at = [intent.order_id for intent in evidence.intents].index(accepted.cause)
    forged = order(accepted.cause, user_id=evidence.intents[at].user_id, quantity=77_777, entered_at_ms=0)
    evidence.intents[at] = intent_of(forged)
    return 0, slot.n


def seen_mark_missing(evidence: Evidence) -> tuple[int, int]:
    slot = slots_of(evidence, 0)[10]
    waiting = next(iter(evidence.pending.values()))
    cause = slot.events[0].cause
    evidence.pending[cause] = replace(waiting, order_id=cause)
    return 0, slot.n


def database_behind(evidence: Evidence) -> tuple[int, int]:
    evidence.database.positions[0] -= 3
    return 0, evidence.database.positions[0] + 1


def order_status(evidence: Evidence) -> None:
    changed(evidence.database.orders, ORDER_COLUMNS, 3, status=str(OrderStatus.REJECTED))


def order_filled(evidence: Evidence) -> None:
    changed(evidence.database.orders, ORDER_COLUMNS, 3, filled_quantity=10**6)


def order_missing(evidence: Evidence) -> None:
    del evidence.database.orders[5]


def order_added(evidence: Evidence) -> None:
    evidence.database.orders.append((10**9, *evidence.database.orders[0][1:]))


def trade_missing(evidence: Evidence) -> tuple[int, int]:
    row = evidence.database.trades.pop(4)
    return 0, row[9]


def candle_close(evidence: Evidence) -> None:
    at = next(at for at, row in enumerate(evidence.database.candles) if row[1] == 300)
    changed(evidence.database.candles, CANDLE_COLUMNS, at, close=1)


def candle_missing(evidence: Evidence) -> None:
    evidence.database.candles.pop()


def outcome_missing(evidence: Evidence) -> tuple[int, int]:
    row = evidence.database.outcomes.pop(1)
    return row[3], row[4]


def outcome_turned(evidence: Evidence) -> tuple[int, int]:
    at = next(at for at, row in enumerate(evidence.database.outcomes) if row[2] is not None)
    row = changed(evidence.database.outcomes, OUTCOME_COLUMNS, at, reason=None)
    return row[3], row[4]


def operator_hidden(evidence: Evidence) -> tuple[int, int]:
    row = changed(evidence.database.operator_commands, OPERATOR_COMMAND_COLUMNS, 2, operator_id="mallory")
    return row[3], row[4]


def fill_fee(evidence: Evidence) -> None:
    row = list(evidence.database.fills[4])
    row[8] += 1
    evidence.database.fills[4] = tuple(row)


def ledger_amount(evidence: Evidence) -> tuple[int, int]:
    row = evidence.database.ledger[12]
    changed(evidence.database.ledger, LEDGER_COLUMNS, 12, amount=row[5] + 1)
    return row[0], row[1]


def ledger_missing(evidence: Evidence) -> tuple[int, int]:
    row = evidence.database.ledger.pop(12)
    return row[0], row[1]


def instrument_status(evidence: Evidence) -> tuple[int, int]:
    evidence.database.instruments = [(SYMBOL, 0, "halted", 1)]
    return 0, 1


def object_missing(evidence: Evidence) -> tuple[int, int]:
    del evidence.history[0, 15, 15]
    return 0, 15


def object_changed(evidence: Evidence) -> tuple[int, int]:
    lines = evidence.history[0, 15, 15].splitlines(keepends=True)
    first = orjson.loads(lines[0])
    first["user_id"] = "mallory"
    evidence.history[0, 15, 15] = orjson.dumps(first, option=orjson.OPT_APPEND_NEWLINE) + b"".join(lines[1:])
    return 0, 15


def object_cut(evidence: Evidence) -> tuple[int, int]:
    lines = evidence.history[0, 15, 15].splitlines(keepends=True)
    evidence.history[0, 15, 15] = b"".join(lines[:-1])
    return 0, 15


def book_missing(evidence: Evidence) -> None:
    evidence.cache[order_book_key(SYMBOL)] = None


def book_changed(evidence: Evidence) -> None:
    book = orjson.loads(evidence.cache[order_book_key(SYMBOL)] or b"")
    book["bids"][0][1] += 1
    evidence.cache[order_book_key(SYMBOL)] = orjson.dumps(book)


def price_changed(evidence: Evidence) -> None:
    price = orjson.loads(evidence.cache[price_key(SYMBOL)] or b"")
    evidence.cache[price_key(SYMBOL)] = orjson.dumps(price | {"price": 1})


TAMPERINGS: list[tuple[Tamper, str]] = [
    (lost_slot, "journal: slots gapless and readable"),
    (lost_tail, "journal: slots gapless and readable"),
    (broken_slot, "journal: slots gapless and readable"),
    (slot_back_in_time, "journal: slots gapless and readable"),
    (skipped_seq, "journal: seq and trade ids gapless"),
    (skipped_trade_id, "journal: seq and trade ids gapless"),
    (unknown_maker, "journal: engine rebuilds, books agree"),
    (unknown_maker, "holds: equal open exposure"),
    (residue_left_locked, "holds: equal open exposure"),
    (traded_while_halted, "symbols: trade only while open"),
    (wrong_fee, "money: conserved per asset at every slot"),
    (money_from_nowhere, "money: conserved per asset at every slot"),
    (money_from_nowhere, "wallets: equal the journal's fold"),
    (negative_wallet, "wallets: equal the journal's fold"),
    (settled_twice, "wallets: equal the journal's fold"),
    (never_settled, "wallets: equal the journal's fold"),
    (watermark_behind, "wallets: equal the journal's fold"),
    (lost_hold, "wallets: equal the journal's fold"),
    (lost_pending_hold, "wallets: equal the journal's fold"),
    (lost_order, "intents: journaled as sent, or pending"),
    (phantom_order, "intents: journaled as sent, or pending"),
    (other_terms, "intents: journaled as sent, or pending"),
    (seen_mark_missing, "intents: journaled as sent, or pending"),
    (database_behind, "database: at the journal's head"),
    (order_status, "database: orders"),
    (order_filled, "database: orders"),
    (order_missing, "database: orders"),
    (order_added, "database: orders"),
    (trade_missing, "database: trades and fills"),
    (outcome_missing, "database: outcomes of commands"),
    (outcome_turned, "database: outcomes of commands"),
    (operator_hidden, "database: operators' commands"),
    (candle_close, "database: candles"),
    (candle_missing, "database: candles"),
    (fill_fee, "database: trades and fills"),
    (ledger_amount, "database: ledger"),
    (ledger_missing, "database: ledger"),
    (instrument_status, "database: instruments"),
    (object_missing, "history in S3: covers and agrees"),
    (object_changed, "history in S3: covers and agrees"),
    (object_cut, "history in S3: covers and agrees"),
    (book_missing, "Redis: orderbook and price"),
    (book_changed, "Redis: orderbook and price"),
    (price_changed, "Redis: orderbook and price"),
]
