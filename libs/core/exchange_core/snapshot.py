"""The state of a partition as bytes, and its hash. Fields go by name, so that versions can live beside each other.

Everything that decides what happens next is in it: books in their order of priority, what icebergs show, waiting
orders and which of them are reached, last trades, numbers, timers, breaker windows, finished commands. What follows
from that (heaps, indices) is built anew.
"""

import hashlib
from collections import deque
from collections.abc import Callable, Iterable
from itertools import accumulate
from operator import sub
from typing import Any, Final

import orjson
import zstandard

from exchange_core.breaker import Breaker
from exchange_core.instruments import Instrument
from exchange_core.matching import OrderBook
from exchange_core.open_order import OpenOrder
from exchange_core.orders import OrderTerms, OrderType, SelfTradePrevention, Side, TimeInForce
from exchange_core.partition_state import PartitionState
from exchange_core.symbol_state import SymbolState
from exchange_core.wire import DecodeError, from_plain, to_plain

SNAPSHOT_VERSION: Final = 1
_MAX_INFLATED_BYTES: Final = 2 * 1024**3
_ORDER_FIELDS: Final = (
    "order_id",
    "user_id",
    "side",
    "order_type",
    "time_in_force",
    "price",
    "remaining",
    "filled",
    "visible",
    "display_quantity",
    "trigger_price",
    "expires_at_ms",
    "post_only",
    "self_trade_prevention",
    "seq",
)


def encode_state(state: PartitionState) -> bytes:
    """A snapshot: zstd over JSON."""
    plain = {"v": SNAPSHOT_VERSION, **_partition_to_plain(state)}
    return zstandard.ZstdCompressor(level=3).compress(orjson.dumps(plain))


def state_hash(state: PartitionState) -> str:
    """SHA-256 of the canonical state."""
    return hashlib.sha256(orjson.dumps(_partition_to_plain(state), option=orjson.OPT_SORT_KEYS)).hexdigest()


def decode_state(data: bytes, new_book: Callable[[int], OrderBook]) -> PartitionState:
    """The state in a snapshot; raises DecodeError if it is none, or of a version that is not known."""
    try:
        inflated = zstandard.ZstdDecompressor().decompress(data, max_output_size=_MAX_INFLATED_BYTES)
        plain = orjson.loads(inflated)
    except (zstandard.ZstdError, orjson.JSONDecodeError) as error:
        raise DecodeError("not a snapshot") from error
    if not isinstance(plain, dict) or plain.get("v") != SNAPSHOT_VERSION:
        raise DecodeError("not a snapshot of a known version")
    try:
        return _partition_from_plain(plain, new_book)
    except (KeyError, TypeError, ValueError) as error:
        raise DecodeError("a snapshot with missing or foreign parts") from error


def _partition_to_plain(state: PartitionState) -> dict[str, Any]:
    return {
        "partition": state.partition,
        "at_ms": state.at_ms,
        "cash_seq": state.cash_seq,
        "symbols": [_symbol_to_plain(state.symbols[symbol]) for symbol in sorted(state.symbols)],
        "memory": [
            {"at_ms": at_ms, "ids": [*map(sub, ids, [0, *ids])], "owners": owners}
            for at_ms, ids, owners in state.memory
        ],
    }


def _partition_from_plain(plain: dict[str, Any], new_book: Callable[[int], OrderBook]) -> PartitionState:
    state = PartitionState(plain["partition"], new_book)
    for group in plain["memory"]:
        state.move_to(group["at_ms"])
        state.memory.remember_all([*accumulate(group["ids"])], group["owners"])
    state.move_to(plain["at_ms"])
    state.cash_seq = plain["cash_seq"]
    for values in plain["symbols"]:
        _add_symbol(state, values)
    return state


def _symbol_to_plain(state: SymbolState) -> dict[str, Any]:
    waiting = list(state.triggers)
    return {
        "instrument": to_plain(state.instrument),
        "seq": state.seq,
        "trade_id": state.trade_id,
        "last_trade": state.last_trade,
        "order_fields": _ORDER_FIELDS,
        "bids": [_order_to_plain(order) for order in state.book.in_priority(True)],
        "asks": [_order_to_plain(order) for order in state.book.in_priority(False)],
        "waiting": [_order_to_plain(order) for order, _ in waiting],
        "reached": [order.order_id for order, is_reached in waiting if is_reached],
        "timers": dict(sorted(state.timers.items())),
        "breaker_until_ms": state.breaker_until_ms,
        "breaker_lows": list(state.breaker.lows),
        "breaker_highs": list(state.breaker.highs),
    }


def _add_symbol(partition: PartitionState, plain: dict[str, Any]) -> None:
    state = partition.add_symbol(from_plain(Instrument, plain["instrument"]))
    state.seq = plain["seq"]
    state.trade_id = plain["trade_id"]
    state.last_trade = None if plain["last_trade"] is None else tuple(plain["last_trade"])
    fields = plain["order_fields"]
    standing = []
    for row in plain["bids"] + plain["asks"]:
        values = dict(zip(fields, row, strict=True))
        order = _order_from_plain(state, values)
        state.book.add(order, values["visible"])
        standing.append(order)
    reached = set(plain["reached"])
    for row in plain["waiting"]:
        order = _order_from_plain(state, dict(zip(fields, row, strict=True)))
        state.triggers.add(order, is_reached=order.order_id in reached)
        standing.append(order)
    for order in sorted(standing, key=lambda order: order.seq):
        state.enter(order)
    for user_id, deadline_ms in plain["timers"].items():
        state.set_timer(user_id, deadline_ms)
    if plain["breaker_until_ms"] is not None:
        state.set_status(state.instrument.status, plain["breaker_until_ms"])
    _fill_breaker(state.breaker, plain["breaker_lows"], plain["breaker_highs"])


def _fill_breaker(breaker: Breaker, lows: Iterable[list[int]], highs: Iterable[list[int]]) -> None:
    breaker.lows = deque((at_ms, price) for at_ms, price in lows)
    breaker.highs = deque((at_ms, price) for at_ms, price in highs)


def _order_to_plain(order: OpenOrder) -> list[Any]:
    return [getattr(order, name) for name in _ORDER_FIELDS]


def _order_from_plain(state: SymbolState, values: dict[str, Any]) -> OpenOrder:
    terms = OrderTerms(
        order_id=values["order_id"],
        user_id=values["user_id"],
        client_order_id="",
        symbol=state.symbol,
        side=Side(values["side"]),
        order_type=OrderType(values["order_type"]),
        time_in_force=TimeInForce(values["time_in_force"]),
        price=values["price"],
        quantity=values["remaining"],
        trigger_price=values["trigger_price"],
        display_quantity=values["display_quantity"],
        expires_at_ms=values["expires_at_ms"],
        post_only=values["post_only"],
        self_trade_prevention=SelfTradePrevention(values["self_trade_prevention"]),
        hold=0,
        hold_asset="",
        entered_at_ms=0,
    )
    order = OpenOrder(terms, values["seq"], state.lot_units)
    order.filled = values["filled"]
    return order
