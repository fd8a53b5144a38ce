"""What listeners were told, held against what the journal says in the end."""

from collections import defaultdict
from collections.abc import Iterator, Mapping
from decimal import Decimal
from itertools import product
from typing import Any, Final

from crossbook.audit.fold import JournalFold
from exchange_core.codec import Slot
from exchange_core.money import to_steps
from simulation.client_checks import ClientCheck
from simulation.history import History
from simulation.hosts import PARTITIONS
from simulation.market import LOTS, QUOTE_UNIT, TICKS
from simulation.world import Aftermath


def feed_is_true(history: History, fold: JournalFold, _: Aftermath) -> Iterator[str]:
    """Every trade that a listener heard is the journal's, and none was told twice on one connection."""
    told: set[tuple[int, str, int]] = set()
    for heard in history.trades:
        message = heard.message
        symbol, trade_id = message["symbol"], int(message["trade_id"])
        if (heard.connection, symbol, trade_id) in told:
            yield f"trade {symbol} {trade_id} was told twice"
        told.add((heard.connection, symbol, trade_id))
        found = fold.trades.get((symbol, trade_id))
        if found is None:
            yield f"trade {symbol} {trade_id} was told and never happened"
            continue
        trade = found[0]
        price = Decimal(str(message["price"])) / Decimal(TICKS[symbol][0])
        quantity = Decimal(str(message["quantity"])) / Decimal(LOTS[symbol])
        if price != trade.price or quantity != trade.quantity or message["seq"] != trade.seq:
            yield f"trade {symbol} {trade_id} was told as {message}"


def feed_is_whole_when_healthy(_: History, __: JournalFold, aftermath: Aftermath) -> Iterator[str]:
    """A listener of a healthy exchange is let in, and hears every trade."""
    yield from aftermath.feed_missed


def notices_are_true(history: History, fold: JournalFold, aftermath: Aftermath) -> Iterator[str]:
    """Every order that a listener was told of is his, and stood so after a slot; of one moment he was told once. Every
    balance adds up, to what slots of both partitions had left in the wallet."""
    if not history.notices:
        return
    moments = _orders_by_moment(aftermath)
    totals = {key: _totals(fold, *key) for key in fold.entries}
    told: set[tuple[str, int, str, int]] = set()
    for heard in history.notices:
        message = heard.message
        if message["event"] == "balance":
            available, held, total = (_units(message[name]) for name in ("available", "held", "total"))
            if min(available, held) < 0 or total not in totals.get((heard.listener, message["asset"]), ()):
                yield f"{heard.listener} was told of {message}"
            elif available + held != total:
                yield f"{heard.listener} was told of a balance that does not add up: {message}"
            continue
        moment = (message["order_id"], message["seq"])
        if (heard.listener, heard.connection, *moment) in told:
            yield f"{heard.listener} was told twice that order {moment[0]} is as after seq {moment[1]}"
        told.add((heard.listener, heard.connection, *moment))
        if _seen(message) != moments.get((heard.listener, *moment)):
            yield f"{heard.listener} was told of {message}"


def notices_are_whole_when_healthy(_: History, __: JournalFold, aftermath: Aftermath) -> Iterator[str]:
    """A user of a healthy exchange is let in, and told how each of his orders and balances ends."""
    yield from aftermath.notices_missed


FEED_CHECKS: Final[dict[str, ClientCheck]] = {
    "feed: every trade true and told once": feed_is_true,
    "feed: whole when healthy": feed_is_whole_when_healthy,
    "private feed: true, told once, and his own": notices_are_true,
    "private feed: whole when healthy": notices_are_whole_when_healthy,
}

_Seen = tuple[str, Decimal, Decimal, Decimal, str | None]
"""Status, filled quantity, filled quote, fee, reason."""


def _seen(message: Mapping[str, Any]) -> _Seen:
    quantity, quote, fee = (Decimal(str(message[name])) for name in ("filled_quantity", "filled_quote", "fee"))
    return (message["status"], quantity, quote, fee, message["reason"])


def _orders_by_moment(aftermath: Aftermath) -> dict[tuple[str, str, int], _Seen]:
    """(user, order id, seq) → the order as it was at the end of the slot with that seq, in human units."""
    moments: dict[tuple[str, str, int], _Seen] = {}
    fold = JournalFold()
    for partition in range(PARTITIONS):
        for slot in aftermath.cloud.projections.recorded(partition):
            fold.apply(slot)
            for order_id in _orders_of(slot):
                order = fold.orders.get(order_id)
                if order is None:
                    continue
                terms = order.terms
                moments[terms.user_id, str(order_id), order.seq] = (
                    str(order.status),
                    order.filled_quantity * Decimal(LOTS.get(terms.symbol, "1")),
                    order.filled_quote * Decimal(QUOTE_UNIT),
                    order.fee * Decimal(QUOTE_UNIT),
                    None if order.reason is None else str(order.reason),
                )
    return moments


def _orders_of(slot: Slot) -> set[int]:
    names = ("order_id", "maker_order_id", "taker_order_id")
    return {getattr(event, name) for event in slot.events for name in names if hasattr(event, name)}


def _totals(fold: JournalFold, user_id: str, asset: str) -> set[int]:
    """All that the wallet may have held in all, in units: each partition settles in its order, at its own pace."""
    sums: dict[int, list[int]] = defaultdict(lambda: [0])
    for entry in fold.entries[user_id, asset]:
        sums[entry.partition].append(sums[entry.partition][-1] + entry.available + entry.held)
    return {sum(parts) for parts in product(*sums.values())}


def _units(number: Any) -> int:
    return to_steps(Decimal(str(number)), Decimal(QUOTE_UNIT))
