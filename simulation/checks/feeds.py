"""What listeners were told, held against what the journal says in the end."""

from collections.abc import Iterator
from decimal import Decimal
from typing import Final

from crossbook.audit.fold import JournalFold
from simulation.checks.moments import books_by_moment, orders_by_moment, standing_of, totals_of, was_balance, was_trade
from simulation.checks.promises import ClientCheck
from simulation.clients.history import History
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
        elif not was_trade(message, found[0]):
            yield f"trade {symbol} {trade_id} was told as {message}"


def feed_is_whole_when_healthy(_: History, __: JournalFold, aftermath: Aftermath) -> Iterator[str]:
    """A listener of a healthy exchange is let in, and hears every trade."""
    yield from aftermath.feeds_missed.get("trades", ())


def depth_is_the_book(history: History, _: JournalFold, aftermath: Aftermath) -> Iterator[str]:
    """Every book that the documented client came to have is the engine's after the slot with that seq."""
    moments = books_by_moment(aftermath.cloud)
    if moments is None:
        return
    for heard in history.books:
        book = heard.message
        bids, asks = (tuple((Decimal(price), Decimal(size)) for price, size in book[side]) for side in ("bids", "asks"))
        moment = (book["symbol"], book["seq"])
        if (bids, asks) != moments.get(moment):
            yield f"the depth feed led to {book}, which was {moments.get(moment)}"


def depth_is_whole_when_healthy(_: History, __: JournalFold, aftermath: Aftermath) -> Iterator[str]:
    """A client of the depth feed of a healthy exchange comes to have the book that stands."""
    yield from aftermath.feeds_missed.get("books", ())


def notices_are_true(history: History, fold: JournalFold, aftermath: Aftermath) -> Iterator[str]:
    """Every order that a listener was told of is his, and stood so after a slot; of one moment he was told once. Every
    balance adds up, to what slots of both partitions had left in the wallet."""
    if not history.notices:
        return
    moments = orders_by_moment(aftermath.cloud)
    totals = {key: totals_of(fold, *key) for key in fold.entries}
    told: set[tuple[str, int, str, int]] = set()
    for heard in history.notices:
        message = heard.message
        if message["event"] == "balance":
            if not was_balance(message, totals.get((heard.listener, message["asset"]), set())):
                yield f"{heard.listener} was told of {message}"
            continue
        moment = (message["order_id"], message["seq"])
        if (heard.listener, heard.connection, *moment) in told:
            yield f"{heard.listener} was told twice that order {moment[0]} is as after seq {moment[1]}"
        told.add((heard.listener, heard.connection, *moment))
        if standing_of(message) != moments.get((heard.listener, *moment)):
            yield f"{heard.listener} was told of {message}"


def notices_are_whole_when_healthy(_: History, __: JournalFold, aftermath: Aftermath) -> Iterator[str]:
    """A user of a healthy exchange is let in, and told how each of his orders and balances ends."""
    yield from aftermath.feeds_missed.get("notices", ())


FEED_CHECKS: Final[dict[str, ClientCheck]] = {
    "feed: every trade true and told once": feed_is_true,
    "feed: whole when healthy": feed_is_whole_when_healthy,
    "depth feed: every book was so": depth_is_the_book,
    "depth feed: whole when healthy": depth_is_whole_when_healthy,
    "private feed: true, told once, and his own": notices_are_true,
    "private feed: whole when healthy": notices_are_whole_when_healthy,
}
