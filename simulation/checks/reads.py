"""What clients were shown, held against what the journal says in the end.

A list is asked for with a limit that the world does not reach, so what is missing in it is lost.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping
from decimal import Decimal
from typing import Any, Final

from crossbook.audit.fold import JournalFold
from exchange_adapters.sim import START_MS
from exchange_core.events import CommandRefused, OrderRejected, TradeExecuted
from simulation.checks.moments import orders_by_moment, standing_of, totals_of, was_balance, was_trade
from simulation.checks.promises import ClientCheck
from simulation.clients.history import Call, Fate, History
from simulation.clients.readers import LIMIT
from simulation.machines.hosts import PARTITIONS
from simulation.world import Aftermath

_OPEN: Final = ("open", "partially_filled")


def orders_stood_so(history: History, _: JournalFold, aftermath: Aftermath) -> Iterator[str]:
    """Every order that was shown is the asker's, and stood so after the slot that it names."""
    moments = orders_by_moment(aftermath.cloud)
    for call, order in _orders_shown(history):
        moment = (call.user_id, order["order_id"], order["seq"])
        if order["seq"] is not None and standing_of(order) != moments.get(moment):
            yield f"{call.user_id} was shown {order}, which was {moments.get(moment)}"


def lists_are_whole(history: History, fold: JournalFold, aftermath: Aftermath) -> Iterator[str]:
    """What was settled before a list was asked for is in it: orders, those that ended later among the open ones too;
    fills that were listed before, and those of orders that were shown as filled. What has ended is not open."""
    yield from _orders_are_listed(history, _ends(fold, aftermath))
    yield from _fills_are_listed(history)


def _orders_are_listed(history: History, ended: Mapping[str, int]) -> Iterator[str]:
    shown: dict[tuple[str, str], int] = {}
    for call, order in _orders_shown(history):
        if order["seq"] is not None:
            key = (call.user_id, order["order_id"])
            shown[key] = min(call.ended_ms, shown.get(key, call.ended_ms))
    for call in _answered(history, "orders", "open_orders"):
        listed = {order["order_id"] for order in call.answer["orders"]}
        assert len(listed) < LIMIT, "the world fits into a page"
        for (user_id, order_id), since_ms in shown.items():
            is_due = call.kind == "orders" or ended.get(order_id, call.ended_ms + 1) > call.ended_ms
            if user_id == call.user_id and since_ms < call.at_ms and is_due and order_id not in listed:
                yield f"order {order_id} of {user_id} was settled at {since_ms} ms, and is not among his {call.kind}"
        for order in call.answer["orders"]:
            if call.kind == "open_orders" and order["status"] not in _OPEN:
                yield f"order {order['order_id']} is among the open ones, and {order['status']}"


def _fills_are_listed(history: History) -> Iterator[str]:
    filled = [
        (call.ended_ms, call.user_id, order["order_id"], Decimal(str(order["filled_quantity"])))
        for call, order in _orders_shown(history)
    ]
    for call in _answered(history, "fills"):
        filled += [(call.ended_ms, call.user_id, order_id, total) for order_id, total in _totals(call).items()]
    for call in _answered(history, "fills"):
        assert len(call.answer["fills"]) < LIMIT, "the world fits into a page"
        totals = _totals(call)
        for at_ms, user_id, order_id, quantity in filled:
            if user_id == call.user_id and at_ms < call.at_ms and totals[order_id] < quantity:
                yield f"{quantity} of order {order_id} were filled, and {totals[order_id]} are among his fills"


def _totals(call: Call) -> dict[str, Decimal]:
    """What a list of fills comes to, by order."""
    totals: dict[str, Decimal] = defaultdict(Decimal)
    for fill in call.answer["fills"]:
        totals[fill["order_id"]] += Decimal(str(fill["quantity"]))
    return totals


def fills_and_trades_happened(history: History, fold: JournalFold, _: Aftermath) -> Iterator[str]:
    """Every fill is one side of a trade, the asker's; trades are all there, newest first."""
    for call in _answered(history, "fills"):
        for fill in call.answer["fills"]:
            trade = _trade(fold, fill)
            order = fold.orders.get(int(fill["order_id"]))
            traded = None if trade is None else trade.maker_order_id if fill["is_maker"] else trade.taker_order_id
            if order is None or (order.terms.user_id, order.terms.order_id) != (call.user_id, traded):
                yield f"{call.user_id} was shown the fill {fill}"
    for call in _answered(history, "trades"):
        for place, shown in enumerate(call.answer["trades"]):
            trade = _trade(fold, shown)
            if trade is None or trade.trade_id != call.answer["trades"][0]["trade_id"] - place:
                yield f"{shown} is at place {place} of the trades of {call.target}"


def balances_stood_so(history: History, fold: JournalFold, _: Aftermath) -> Iterator[str]:
    """Every balance adds up, to what slots of both partitions had left in the wallet."""
    totals = {key: totals_of(fold, *key) for key in fold.entries}
    for call in _answered(history, "balances"):
        for balance in call.answer["balances"]:
            if not was_balance(balance, totals.get((call.user_id, balance["asset"]), set())):
                yield f"{call.user_id} was shown {balance}"


def verdicts_are_true(history: History, fold: JournalFold, aftermath: Aftermath) -> Iterator[str]:
    """A command that was promised is never unknown; done or refused is what the journal says, and stays."""
    refused: dict[int, str] = {}
    for partition in range(PARTITIONS):
        for slot in aftermath.cloud.projections.recorded(partition):
            for event in slot.events:
                if isinstance(event, CommandRefused | OrderRejected):
                    refused.setdefault(event.cause, str(event.reason))
    known: dict[int, int] = {}
    for call in sorted(_answered(history, "verdict", status=None), key=lambda call: (call.ended_ms, call.number)):
        command_id = int(call.target or 0)
        if call.status == 404:
            yield f"command {command_id} of {call.user_id} was promised, and is not known"
        elif call.status != 200:
            continue
        elif call.answer["status"] == "pending":
            if known.get(command_id, call.at_ms) < call.at_ms:
                yield f"command {command_id} had its verdict at {known[command_id]} ms, and is pending again"
        else:
            known.setdefault(command_id, call.ended_ms)
            due = ("refused", refused[command_id]) if command_id in refused else ("done", None)
            if command_id not in fold.causes or (call.answer["status"], call.answer["reason"]) != due:
                yield f"command {command_id} was told to be {call.answer['status']}, and is {due}: {call.answer}"


READ_CHECKS: Final[dict[str, ClientCheck]] = {
    "reads: orders stood so": orders_stood_so,
    "reads: lists are whole": lists_are_whole,
    "reads: fills and trades happened": fills_and_trades_happened,
    "reads: balances stood so": balances_stood_so,
    "reads: verdicts are true": verdicts_are_true,
}


def _answered(history: History, *kinds: str, status: int | None = 200) -> Iterator[Call]:
    """The calls of these kinds that were answered, with this status or any."""
    for call in history.calls:
        if call.kind in kinds and call.fate is Fate.ANSWERED and call.status == (status or call.status):
            yield call


def _orders_shown(history: History) -> Iterator[tuple[Call, Mapping[str, Any]]]:
    """In lists, to who asked for one, and to who waited for what became of his command."""
    for call in _answered(history, "orders", "open_orders"):
        for order in call.answer["orders"]:
            yield call, order
    for call in _answered(history, "look", "place", "cancel", "amend"):
        yield call, call.answer


def _ends(fold: JournalFold, aftermath: Aftermath) -> dict[str, int]:
    """Order id → the virtual ms at which the slot that ended it was in the journal; not of those that are open."""
    written = {(partition, n): at_ms - START_MS for at_ms, partition, n, _ in aftermath.taps.journal.puts}
    return {
        str(order_id): written[order.partition, order.changed_slot]
        for order_id, order in fold.orders.items()
        if order.status.is_final
    }


def _trade(fold: JournalFold, shown: Mapping[str, Any]) -> TradeExecuted | None:
    """The trade that a client was shown, if it is as he was shown it."""
    found = fold.trades.get((shown["symbol"], shown["trade_id"]))
    return found[0] if found is not None and was_trade(shown, found[0]) else None
