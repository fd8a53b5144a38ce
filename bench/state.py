"""How long a partition stands still while its state is taken, and in what steps it is encoded and restored."""

import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, TypeVar, cast

from bench.core import START_MS, SYMBOL, listing
from exchange_core.commands import PlaceOrder
from exchange_core.engine import PartitionEngine
from exchange_core.ids import IdGenerator
from exchange_core.orders import OrderType, Side, TimeInForce
from exchange_core.steps import Steps
from exchange_matcher.collector import collector_paused

SLOT_MS: Final = 40
USERS: Final = 1_000
GATEWAYS: Final = 4
PRICE: Final = 23_500

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class StateSize:
    """What a state holds: commands that are remembered, so many a slot, and orders that are open."""

    remembered: int
    slot_commands: int
    open_orders: int


SIZES: Final = (
    StateSize(remembered=500_000, slot_commands=20, open_orders=2_000),
    StateSize(remembered=500_000, slot_commands=20, open_orders=100_000),
    StateSize(remembered=5_000_000, slot_commands=200, open_orders=2_000),
)
"""A thousand seconds at the design's baseline of 500 commands a second, with few and many open orders, and at ten times
that rate."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StateResult:
    """Seconds of CPU. For `taking_s` the partition stands still. The others are in steps, and for the longest of these
    nothing else in the process has a turn, its leases' renewal included."""

    size: StateSize
    taking_s: float
    encoding_s: float
    encoding_step_s: float
    restoring_s: float
    restoring_step_s: float
    snapshot_bytes: int


def measure_states() -> Iterator[StateResult]:
    """Take, encode and restore a state of each size, as the matcher does."""
    for size in SIZES:
        yield measure_state(size)


def measure_state(size: StateSize) -> StateResult:
    """One size; what is restored is what was taken."""
    engine = engine_of(size)
    started_s = time.process_time()
    with collector_paused():
        image = engine.image()
    taking_s = time.process_time() - started_s
    data, encoding_s = _timed(image.encode())
    restored, restoring_s = _timed(PartitionEngine.restoring(data))
    assert restored.state_hash() == engine.state_hash()
    return StateResult(
        size=size,
        taking_s=taking_s,
        encoding_s=sum(encoding_s),
        encoding_step_s=max(encoding_s),
        restoring_s=sum(restoring_s),
        restoring_step_s=max(restoring_s),
        snapshot_bytes=len(data),
    )


def engine_of(size: StateSize) -> PartitionEngine:
    """It has ended `remembered` orders, and `open_orders` rest at five hundred prices."""
    engine = PartitionEngine(0)
    engine.begin_slot(START_MS)
    engine.execute(listing(), START_MS)
    gateways = [IdGenerator(node) for node in range(GATEWAYS)]
    for number in range(size.remembered + size.open_orders):
        if number % size.slot_commands == 0:
            engine.begin_slot(engine.at_ms + SLOT_MS)
        order_id = gateways[number % GATEWAYS].next_id(engine.at_ms)
        order = _order(number, order_id, engine.at_ms, is_lasting=number >= size.remembered)
        engine.execute(order, engine.at_ms)
    return engine


def _order(number: int, order_id: int, at_ms: int, *, is_lasting: bool) -> PlaceOrder:
    """A buy that meets nothing, and rests or ends at once."""
    price = PRICE - number % 500
    return PlaceOrder(
        order_id=order_id,
        user_id=f"user-{number % USERS}",
        client_order_id="",
        symbol=SYMBOL,
        side=Side.BUY,
        order_type=OrderType.LIMIT,
        time_in_force=TimeInForce.GTC if is_lasting else TimeInForce.IOC,
        price=price,
        quantity=1,
        hold=price,
        hold_asset="USD",
        entered_at_ms=at_ms,
    )


def _timed(steps: Steps[T]) -> tuple[T, list[float]]:
    """The result, and the CPU seconds of each step."""
    durations_s: list[float] = []
    while True:
        started_s = time.process_time()
        try:
            next(steps)
        except StopIteration as end:
            return cast("T", end.value), durations_s
        finally:
            durations_s.append(time.process_time() - started_s)
