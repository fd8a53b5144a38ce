"""Operations a second of the matching core, all events made, against `bourse` (Rust) on the very same commands."""

import gc
import random
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal
from itertools import islice
from pathlib import Path
from statistics import median
from typing import Any, Final

from crossbook.replay.recording import Action, read_recording
from exchange_core.codec import Slot, encode_slot
from exchange_core.commands import CancelOrder, Command, ListInstrument, PlaceOrder
from exchange_core.engine import PartitionEngine
from exchange_core.events import Event, TradeExecuted
from exchange_core.instruments import Instrument
from exchange_core.orders import OrderType, Side, TimeInForce

SYNTHETIC_OPERATIONS: Final = 30_000
RUNS_MIN: Final = 3
RUNS_MAX: Final = 50
CPU_S: Final = 1.0
SLOT_COMMANDS: Final = 100
SLOT_MS: Final = 10
START_MS: Final = 1_771_322_400_000
VOLUME_LOT: Final = 10_000
"""Recorded volumes are counted in 10⁻⁴ here: bourse holds volumes in 32 bits."""
SYMBOL: Final = "BTCUSD"


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """A place of `quantity` at `price`, or the cancel of the `target`-th place before it."""

    is_buy: bool = False
    price: int = 0
    quantity: int = 0
    target: int = -1


@dataclass(frozen=True, slots=True, kw_only=True)
class CoreResult:
    """One engine on one flow: operations a second of CPU time on one core; bytes of the encoded slots an operation."""

    flow: str
    engine: str
    operations: int
    operations_per_s: float
    trades: int
    volume: int
    journal_bytes_per_operation: float | None = None


def synthetic_flow(count: int = SYNTHETIC_OPERATIONS) -> list[Operation]:
    """The first operations of the endless flow."""
    return [*islice(synthetic_operations(), count)]


def synthetic_operations() -> Iterator[Operation]:
    """For ever the same: orders around a wandering price; six in ten rest or cross a little, the others cancel one that
    may still be open."""
    chance = random.Random(20260217)
    open_places: list[int] = []
    places, middle = 0, 23_500
    while True:
        if open_places and chance.random() < 0.4:
            position = chance.randrange(len(open_places))
            open_places[position], open_places[-1] = open_places[-1], open_places[position]
            yield Operation(target=open_places.pop())
            continue
        middle += chance.choice((-1, 0, 0, 1))
        is_buy = chance.random() < 0.5
        away = int(chance.expovariate(0.1)) - 3
        price = middle - away if is_buy else middle + away
        yield Operation(is_buy=is_buy, price=price, quantity=chance.randint(1, 500))
        open_places.append(places)
        places += 1


def recorded_flow(path: Path) -> list[Operation]:
    """The places and cancels of a recording, as `crossbook replay` sends them."""
    places: dict[int, int] = {}
    operations: list[Operation] = []
    for row in read_recording(path).rows:
        if row.action is Action.CREATED:
            places[row.recorded_id] = len(places)
            quantity = max(1, row.volume // VOLUME_LOT)
            operations.append(Operation(is_buy=row.side is Side.BUY, price=row.price, quantity=quantity))
        elif row.action is Action.DELETED and row.volume and row.recorded_id in places:
            operations.append(Operation(target=places[row.recorded_id]))
    return operations


def measure_core(flows: dict[str, list[Operation]]) -> Iterator[CoreResult]:
    """Every engine on every flow; each figure is the median of several runs, each on a fresh engine."""
    for name, flow in flows.items():
        commands = list(commands_of(flow))
        yield _crossbook(name, commands)
        if _bourse() is not None:
            yield _bourse_result(name, flow)


def commands_of(
    flow: Iterable[Operation], entered_at_ms: Callable[[int], int] = lambda _: START_MS
) -> Iterator[Command]:
    """What the operations are to the engine; `entered_at_ms` says when the one of a number, from 1, was entered."""
    placed: list[str] = []
    for number, operation in enumerate(flow, 1):
        if operation.target >= 0:
            yield CancelOrder(
                command_id=1_000_000_000 + number,
                user_id=placed[operation.target],
                symbol=SYMBOL,
                entered_at_ms=entered_at_ms(number),
                order_id=1 + operation.target,
            )
            continue
        user = "buyer" if operation.is_buy else "seller"
        placed.append(user)
        yield PlaceOrder(
            order_id=len(placed),
            user_id=user,
            client_order_id=str(number),
            symbol=SYMBOL,
            side=Side.BUY if operation.is_buy else Side.SELL,
            order_type=OrderType.LIMIT,
            time_in_force=TimeInForce.GTC,
            price=operation.price,
            quantity=operation.quantity,
            hold=operation.price * operation.quantity if operation.is_buy else operation.quantity,
            hold_asset="USD" if operation.is_buy else "BTC",
            entered_at_ms=entered_at_ms(number),
        )


def _crossbook(flow: str, commands: Sequence[Command]) -> CoreResult:
    runs = _repeat(_listed_engine, lambda engine: _run_engine(engine, commands))
    trades = [event for event in runs.last if isinstance(event, TradeExecuted)]
    return CoreResult(
        flow=flow,
        engine="crossbook",
        operations=len(commands),
        operations_per_s=len(commands) / runs.cpu_s,
        trades=len(trades),
        volume=sum(trade.quantity for trade in trades),
        journal_bytes_per_operation=_journal_bytes(commands) / len(commands),
    )


def listing() -> ListInstrument:
    """What lists SYMBOL in partition 0, before any other command."""
    instrument = Instrument(
        symbol=SYMBOL,
        base="BTC",
        quote="USD",
        base_decimals=4,
        quote_decimals=6,
        tick_size=Decimal("0.01"),
        lot_size=Decimal("0.0001"),
        min_quantity=1,
        max_quantity=10**12,
        min_notional=0,
        maker_fee_bps=10,
        taker_fee_bps=20,
        band_bps=100_000,
        reference_price=23_500,
        partition=0,
        max_open_orders=100_000,
    )
    return ListInstrument(
        command_id=2_000_000_000, user_id="operator", symbol=SYMBOL, entered_at_ms=START_MS, instrument=instrument
    )


def _listed_engine() -> PartitionEngine:
    engine = PartitionEngine(0)
    engine.begin_slot(START_MS)
    engine.execute(listing(), START_MS)
    return engine


def _run_engine(engine: PartitionEngine, commands: Sequence[Command]) -> list[Event]:
    """As the matcher does it: a slot's time, its commands, all their events."""
    events: list[Event] = []
    for start in range(0, len(commands), SLOT_COMMANDS):
        at_ms = START_MS + SLOT_MS * (1 + start // SLOT_COMMANDS)
        events += engine.begin_slot(at_ms)
        for command in commands[start : start + SLOT_COMMANDS]:
            events += engine.execute(command, at_ms)
    return events


def _journal_bytes(commands: Sequence[Command]) -> int:
    engine, total = _listed_engine(), 0
    for n, start in enumerate(range(0, len(commands), SLOT_COMMANDS), 1):
        at_ms = START_MS + SLOT_MS * n
        events = engine.begin_slot(at_ms)
        for command in commands[start : start + SLOT_COMMANDS]:
            events += engine.execute(command, at_ms)
        slot = Slot(partition=0, n=n, at_ms=at_ms, fed_through=n - 1, writer="bench", events=tuple(events))
        total += len(encode_slot(slot))
    return total


def _bourse() -> Any | None:
    """The module, or None where it has no build for this Python."""
    try:
        from bourse import core
    except ImportError:
        return None
    return core


def _bourse_result(flow: str, operations: Sequence[Operation]) -> CoreResult:
    module = _bourse()
    assert module is not None
    runs = _repeat(lambda: module.OrderBook(0, 1), lambda book: _run_bourse(book, operations))
    trades = runs.last.get_trades()
    return CoreResult(
        flow=flow,
        engine="bourse",
        operations=len(operations),
        operations_per_s=len(operations) / runs.cpu_s,
        trades=len(trades),
        volume=sum(trade[3] for trade in trades),
    )


def _run_bourse(book: Any, operations: Sequence[Operation]) -> Any:
    placed: list[int] = []
    for number, operation in enumerate(operations):
        book.set_time(number)  # it files orders by price and time: two of one time would be one
        if operation.target >= 0:
            book.cancel_order(placed[operation.target])
        else:
            trader = 1 if operation.is_buy else 2
            placed.append(book.place_order(operation.is_buy, operation.quantity, trader, price=operation.price))
    return book


@dataclass(frozen=True, slots=True, kw_only=True)
class _Runs:
    """The median CPU time of one run, in seconds, and what the last one returned."""

    cpu_s: float
    last: Any


def _repeat(make: Callable[[], Any], run: Callable[[Any], Any]) -> _Runs:
    """Run on fresh engines for CPU_S, at least RUNS_MIN and at most RUNS_MAX times.

    CPU time, not the wall's: this is one thread that never waits, and by the wall it is charged for whatever else runs
    (on a busy machine bourse's own figure moved by four to nine times from run to run).
    """
    durations_s: list[float] = []
    while len(durations_s) < RUNS_MIN or (sum(durations_s) < CPU_S and len(durations_s) < RUNS_MAX):
        engine = make()
        gc.collect()
        started_s = time.process_time()
        last = run(engine)
        durations_s.append(time.process_time() - started_s)
    return _Runs(cpu_s=median(durations_s), last=last)
