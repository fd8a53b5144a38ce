"""How orders and wallets stood after each slot, by the audit's own fold of the journal."""

from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from itertools import product
from typing import Any, Final

from crossbook.audit.fold import JournalFold
from crossbook.audit.folded_orders import FoldedOrder
from exchange_adapters.sim import SimCloud
from exchange_core.codec import Slot
from exchange_core.engine import PartitionEngine
from exchange_core.events import TradeExecuted
from exchange_core.market_data import BOOK_CACHE_LEVELS
from simulation.machines.hosts import PARTITIONS
from simulation.market import LOTS, QUOTE_UNIT, SYMBOLS, TICKS, units_of

_PRICED_TYPES: Final = ("limit", "stop_limit", "take_profit_limit")


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """What changes of an order while it lives, in human units."""

    status: str
    reason: str | None
    price: Decimal | None
    quantity: Decimal | None
    filled_quantity: Decimal
    filled_quote: Decimal
    fee: Decimal


def standing_of(told: Mapping[str, Any]) -> Standing:
    """Of an order as clients are told of it."""

    def number(name: str) -> Any:
        return None if told[name] is None else Decimal(str(told[name]))

    numbers = {name: number(name) for name in ("price", "quantity", "filled_quantity", "filled_quote", "fee")}
    return Standing(status=told["status"], reason=told["reason"], **numbers)


def orders_by_moment(cloud: SimCloud) -> dict[tuple[str, str, int], Standing]:
    """(user, order id, seq) → the order as it stood at the end of the slot with that seq."""
    moments: dict[tuple[str, str, int], Standing] = {}
    fold = JournalFold()
    for slot in _slots(cloud):
        fold.apply(slot)
        for order_id in _orders_of(slot):
            order = fold.orders.get(order_id)
            if order is None or order.terms.symbol not in SYMBOLS:
                continue
            moments[order.terms.user_id, str(order_id), order.seq] = _standing(order)
    return moments


def _standing(order: FoldedOrder) -> Standing:
    tick, lot = Decimal(TICKS[order.terms.symbol][0]), Decimal(LOTS[order.terms.symbol])
    is_priced = str(order.terms.order_type) in _PRICED_TYPES
    return Standing(
        status=str(order.status),
        reason=None if order.reason is None else str(order.reason),
        price=None if order.price is None or not is_priced else order.price * tick,
        quantity=None if order.quantity is None else order.quantity * lot,
        filled_quantity=order.filled_quantity * lot,
        filled_quote=order.filled_quote * Decimal(QUOTE_UNIT),
        fee=order.fee * Decimal(QUOTE_UNIT),
    )


Levels = tuple[tuple[Decimal, Decimal], ...]
"""(price, quantity), best first; in human units."""


def books_by_moment(cloud: SimCloud) -> dict[tuple[str, int], tuple[Levels, Levels]] | None:
    """(symbol, seq) → bids and asks as they were shown at the end of the slot with that seq; None where the engine
    cannot follow the journal, of which the audit tells."""
    moments: dict[tuple[str, int], tuple[Levels, Levels]] = {}
    for partition in range(PARTITIONS):
        engine = PartitionEngine(partition)
        try:
            for slot in cloud.projections.recorded(partition):
                engine.apply_slot(slot)
                for symbol in {event.symbol for event in slot.events} & engine.instruments.keys() & TICKS.keys():
                    tick, lot = Decimal(TICKS[symbol][0]), Decimal(LOTS[symbol])
                    bids, asks = (
                        tuple((price * tick, quantity * lot) for price, quantity in levels)
                        for levels in engine.depth(symbol, BOOK_CACHE_LEVELS)
                    )
                    moments[symbol, engine.seq(symbol)] = (bids, asks)
        except (AssertionError, KeyError, AttributeError, TypeError, ValueError):
            return None
    return moments


def totals_of(fold: JournalFold, user_id: str, asset: str) -> set[int]:
    """All that the wallet may have held in all, in units: each partition settles in its order, at its own pace."""
    sums: dict[int, list[int]] = defaultdict(lambda: [0])
    for entry in fold.entries[user_id, asset]:
        sums[entry.partition].append(sums[entry.partition][-1] + entry.available + entry.held)
    return {sum(parts) for parts in product(*sums.values())}


def was_trade(told: Mapping[str, Any], trade: TradeExecuted) -> bool:
    """Whether a trade, or one side of it, is as a client was told of it."""
    price, quantity = trade.price * Decimal(TICKS[trade.symbol][0]), trade.quantity * Decimal(LOTS[trade.symbol])
    numbers = (Decimal(str(told["price"])), Decimal(str(told["quantity"])), told["seq"])
    return numbers == (price, quantity, trade.seq)


def was_balance(told: Mapping[str, Any], totals: set[int]) -> bool:
    """Whether a balance that a client was told of adds up, to one of these totals. What of it is held depends on
    orders that may be on their way."""
    available, held, total = (units_of(told[name]) for name in ("available", "held", "total"))
    return min(available, held) >= 0 and available + held == total and total in totals


def _slots(cloud: SimCloud) -> Iterator[Slot]:
    for partition in range(PARTITIONS):
        yield from cloud.projections.recorded(partition)


def _orders_of(slot: Slot) -> set[int]:
    names = ("order_id", "maker_order_id", "taker_order_id")
    return {getattr(event, name) for event in slot.events for name in names if hasattr(event, name)}
