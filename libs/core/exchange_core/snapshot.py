"""The state of a partition as bytes, and its hash. Fields go by name, so that versions can live beside each other.

Everything that decides what happens next is in it: books in their order of priority, what icebergs show, waiting
orders and which of them are reached, last trades, numbers, timers, breaker windows, finished commands. What follows
from that (heaps, indices) is built anew.

The bytes are zstd over lines of JSON: first all but the finished commands, then these, some thousands a line. They are
what makes a state large, so writing and reading go in steps: whoever takes them does other things between two.
"""

import hashlib
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import accumulate
from operator import attrgetter, sub
from typing import Any, Final

import orjson
import zstandard

from exchange_core.breaker import Breaker
from exchange_core.instruments import Instrument
from exchange_core.matching import OrderBook
from exchange_core.memory import Group
from exchange_core.open_order import OpenOrder
from exchange_core.orders import OrderTerms, OrderType, SelfTradePrevention, Side, TimeInForce
from exchange_core.partition_state import PartitionState
from exchange_core.steps import Steps
from exchange_core.symbol_state import SymbolState
from exchange_core.wire import DecodeError, from_plain, to_plain

SNAPSHOT_VERSION: Final = 2
"""Version 1 was one line, with the finished commands in it; it can still be read."""
COMMANDS_A_STEP: Final = 10_000
ORDERS_A_STEP: Final = 1_000
_READ_BYTES: Final = 2**14
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
_order_to_plain: Final[Callable[[OpenOrder], tuple[Any, ...]]] = attrgetter(*_ORDER_FIELDS)


class StateImage:
    """A state as it stood when this was made, whatever happens to the state afterwards.

    Making it takes as long as copying the open orders does: what is remembered is shared, for it does not change.
    """

    def __init__(self, state: PartitionState) -> None:
        self._head = _head_to_plain(state)
        self._groups = state.memory.groups()

    def encode(self) -> Steps[bytes]:
        """A snapshot; ends with the bytes."""
        zstd = zstandard.ZstdCompressor(level=3, write_checksum=True).compressobj()
        parts = [*_parts(self._groups)]
        head = {"v": SNAPSHOT_VERSION, **self._head, "parts": len(parts)}
        pieces = [zstd.compress(orjson.dumps(head, option=orjson.OPT_APPEND_NEWLINE))]
        for part in parts:
            yield
            plain = [_group_to_plain(group) for group in part]
            pieces.append(zstd.compress(orjson.dumps(plain, option=orjson.OPT_APPEND_NEWLINE)))
        return b"".join([*pieces, zstd.flush()])


def state_hash(state: PartitionState) -> str:
    """SHA-256 of the canonical state."""
    plain = {
        **_head_to_plain(state),
        "memory": [_group_to_plain(group) for group in state.memory.groups()],
    }
    return hashlib.sha256(orjson.dumps(plain, option=orjson.OPT_SORT_KEYS)).hexdigest()


def decode_state(data: bytes, new_book: Callable[[int], OrderBook]) -> Steps[PartitionState]:
    """The state in a snapshot; raises DecodeError if it is none, or of a version that is not known."""
    try:
        lines = _inflated_lines(data)
        head = orjson.loads(next(lines, b""))
        if not isinstance(head, dict) or head.get("v") not in (1, SNAPSHOT_VERSION):
            raise DecodeError("not a snapshot of a known version")
        state = PartitionState(head["partition"], new_book)
        _remember(state, head.get("memory", ()))
        for _ in range(head.get("parts", 0)):
            yield
            _remember(state, orjson.loads(next(lines, b"")))
        if next(lines, None) is not None:
            raise DecodeError("a snapshot with more than it says")
        state.move_to(head["at_ms"])
        state.cash_seq = head["cash_seq"]
        for values in head["symbols"]:
            yield from _add_symbol(state, values)
    except DecodeError:
        raise
    except (zstandard.ZstdError, orjson.JSONDecodeError) as error:
        raise DecodeError("not a snapshot") from error
    except (KeyError, TypeError, ValueError) as error:
        raise DecodeError("a snapshot with missing or foreign parts") from error
    return state


def _inflated_lines(data: bytes) -> Iterator[bytes]:
    """The lines without their ends, inflated as they are asked for."""
    zstd = zstandard.ZstdDecompressor().decompressobj()
    pieces: list[bytes] = []
    size = 0
    for start in range(0, len(data), _READ_BYTES):
        inflated = zstd.decompress(data[start : start + _READ_BYTES])
        size += len(inflated)
        if size > _MAX_INFLATED_BYTES:
            raise DecodeError("a snapshot larger than any of ours")
        piece, *others = inflated.split(b"\n")
        pieces.append(piece)
        for other in others:
            yield b"".join(pieces)
            pieces = [other]
    if not zstd.eof or zstd.unused_data:
        raise DecodeError("a snapshot that was cut off, or more than one")
    if last := b"".join(pieces):
        yield last


def _head_to_plain(state: PartitionState) -> dict[str, Any]:
    """All but what is remembered."""
    return {
        "partition": state.partition,
        "at_ms": state.at_ms,
        "cash_seq": state.cash_seq,
        "symbols": [_symbol_to_plain(state.symbols[symbol]) for symbol in sorted(state.symbols)],
    }


def _parts(groups: Iterable[Group]) -> Iterator[Sequence[Group]]:
    """Groups that together hold about as much as one step takes."""
    part: list[Group] = []
    size = 0
    for group in groups:
        part.append(group)
        size += len(group[1])
        if size >= COMMANDS_A_STEP:
            yield part
            part, size = [], 0
    if part:
        yield part


def _group_to_plain(group: Group) -> dict[str, Any]:
    """In ascending order, so that it is the same whoever built it; ids as differences, which are short."""
    at_ms, unsorted_ids, unsorted_owners = group
    ids, owners = zip(*sorted(zip(unsorted_ids, unsorted_owners, strict=True)), strict=True)
    return {"at_ms": at_ms, "ids": [*map(sub, ids, (0, *ids))], "owners": owners}


def _remember(state: PartitionState, groups: Iterable[Mapping[str, Any]]) -> None:
    for group in groups:
        state.move_to(group["at_ms"])
        state.memory.remember_all([*accumulate(group["ids"])], group["owners"])


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


def _add_symbol(partition: PartitionState, plain: dict[str, Any]) -> Steps[None]:
    state = partition.add_symbol(from_plain(Instrument, plain["instrument"]))
    state.seq = plain["seq"]
    state.trade_id = plain["trade_id"]
    state.last_trade = None if plain["last_trade"] is None else tuple(plain["last_trade"])
    fields = plain["order_fields"]
    standing: list[OpenOrder] = []
    for row in plain["bids"] + plain["asks"]:
        if len(standing) % ORDERS_A_STEP == 0:
            yield
        values = dict(zip(fields, row, strict=True))
        order = _order_from_plain(state, values)
        state.book.add(order, values["visible"])
        standing.append(order)
    reached = set(plain["reached"])
    for row in plain["waiting"]:
        if len(standing) % ORDERS_A_STEP == 0:
            yield
        order = _order_from_plain(state, dict(zip(fields, row, strict=True)))
        state.triggers.add(order, is_reached=order.order_id in reached)
        standing.append(order)
    for number, order in enumerate(sorted(standing, key=lambda order: order.seq)):
        if number % ORDERS_A_STEP == 0:
            yield
        state.enter(order)
    for user_id, deadline_ms in plain["timers"].items():
        state.set_timer(user_id, deadline_ms)
    if plain["breaker_until_ms"] is not None:
        state.set_status(state.instrument.status, plain["breaker_until_ms"])
    _fill_breaker(state.breaker, plain["breaker_lows"], plain["breaker_highs"])


def _fill_breaker(breaker: Breaker, lows: Iterable[list[int]], highs: Iterable[list[int]]) -> None:
    breaker.lows = deque((at_ms, price) for at_ms, price in lows)
    breaker.highs = deque((at_ms, price) for at_ms, price in highs)


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
