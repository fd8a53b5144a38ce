"""Snapshots as bytes: what they hold, in what steps, and what is no snapshot. `Room` checks them after every slot."""

from collections.abc import Iterator

import orjson
import pytest
import zstandard

from exchange_core.commands import CancelOrder
from exchange_core.engine import PartitionEngine
from exchange_core.snapshot import COMMANDS_A_STEP, ORDERS_A_STEP
from exchange_core.steps import Steps, at_once
from exchange_core.topology import DEDUP_WINDOW_MS
from exchange_core.wire import DecodeError
from tests.unit.core.room import BUY, SELL, START_MS, SYMBOL, Room


def cancel(command_id: int) -> CancelOrder:
    return CancelOrder(command_id=command_id, user_id="ann", symbol=SYMBOL, entered_at_ms=0, order_id=1)


def engine_with(commands: int, *, a_slot: int = 100) -> PartitionEngine:
    """It has executed so many commands, and remembers them."""
    engine = PartitionEngine(0)
    for number in range(commands):
        if number % a_slot == 0:
            engine.begin_slot(START_MS + number)
        engine.execute(cancel(number + 1), engine.at_ms)
    return engine


def count(steps: Steps[object]) -> int:
    return sum(1 for _ in steps) + 1


def inflated(data: bytes) -> bytes:
    return zstandard.ZstdDecompressor().stream_reader(data).readall()


def compressed(text: bytes) -> bytes:
    return zstandard.ZstdCompressor().compress(text)


def test_a_snapshot_says_which_partition_it_is_of() -> None:
    assert PartitionEngine.restore(PartitionEngine(3).snapshot()).partition == 3


def test_an_image_stays_as_it_was_while_its_engine_goes_on() -> None:
    room = Room()
    partly = room.place("ann", SELL, 5, 100)[0].cause
    room.place("ann", SELL, 4, 102, display_quantity=1)
    room.place("cas", BUY, 2, 90)
    # GIVEN an image amid a slot, and the snapshot of that moment
    image, snapshot = room.engine.image(), room.engine.snapshot()
    # WHEN orders trade, end and come in the same slot, and all that was remembered is forgotten
    room.place("ben", BUY, 6, 102)
    room.amend("ann", partly, quantity=6)
    room.cancel_all("cas")
    assert at_once(image.encode()) == snapshot
    room.pass_time(DEDUP_WINDOW_MS + 1)
    room.pass_time(1)
    # THEN it is still that moment
    assert at_once(image.encode()) == snapshot != room.engine.snapshot()


def test_what_is_remembered_is_written_and_read_in_steps() -> None:
    engine = engine_with(5 * COMMANDS_A_STEP)
    data = engine.snapshot()
    assert count(engine.image().encode()) == count(PartitionEngine.restoring(data)) == 6
    restored = PartitionEngine.restore(data)
    assert restored.state_hash() == engine.state_hash()
    assert not restored.execute(cancel(1), engine.at_ms), "the oldest is known"


def test_no_step_takes_much_more_than_its_share() -> None:
    lines = (
        zstandard.ZstdDecompressor().stream_reader(engine_with(3 * COMMANDS_A_STEP, a_slot=999).snapshot()).readall()
    )
    _, *parts = map(orjson.loads, lines.splitlines())
    sizes = [sum(len(group["ids"]) for group in part) for part in parts]
    assert sum(sizes) == 3 * COMMANDS_A_STEP
    assert max(sizes) < COMMANDS_A_STEP + 999


def test_open_orders_are_read_in_steps() -> None:
    room = Room(max_open_orders=10 * ORDERS_A_STEP)
    for _ in range(2 * ORDERS_A_STEP):
        room.place("ann", BUY, 1, 90)
    # two for what is remembered, two into the book, two in the order of their coming
    assert count(PartitionEngine.restoring(room.engine.snapshot())) == 6


def altered() -> Iterator[bytes]:
    data = engine_with(50, a_slot=7).snapshot()
    for position in range(len(data)):
        yield data[:position] + bytes([data[position] ^ 0x10]) + data[position + 1 :]


def test_an_altered_snapshot_is_told_or_the_same_state() -> None:
    state, told = engine_with(50, a_slot=7).state_hash(), 0
    for data in altered():
        try:
            assert PartitionEngine.restore(data).state_hash() == state
        except DecodeError:
            told += 1
    assert told > 50


def test_a_snapshot_that_was_cut_off_is_refused() -> None:
    data = engine_with(50, a_slot=7).snapshot()
    for length in range(len(data)):
        with pytest.raises(DecodeError):
            PartitionEngine.restore(data[:length])


EMPTY = orjson.loads(inflated(PartitionEngine(0).snapshot()))


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"nonsense", "not a snapshot"),
        (compressed(b""), "not a snapshot"),
        (compressed(b"[]"), "not a snapshot of a known version"),
        (compressed(orjson.dumps(EMPTY | {"v": 3})), "not a snapshot of a known version"),
        (compressed(orjson.dumps(EMPTY | {"parts": 1})), "not a snapshot"),
        (compressed(orjson.dumps(EMPTY) + b"\n[]\n"), "a snapshot with more than it says"),
        (compressed(orjson.dumps(EMPTY | {"symbols": [{}]})), "a snapshot with missing or foreign parts"),
        (PartitionEngine(0).snapshot() * 2, "a snapshot that was cut off, or more than one"),
    ],
)
def test_bytes_that_are_no_snapshot_are_refused(data: bytes, message: str) -> None:
    with pytest.raises(DecodeError, match=f"^{message}$"):
        PartitionEngine.restore(data)
