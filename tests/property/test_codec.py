"""Commands and slots come back as they went; other versions' fields do no harm; rubbish is a DecodeError."""

import os
from typing import Any

import orjson
import pytest
import zstandard
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from exchange_core.codec import Slot, decode_commands, decode_slot, encode_commands, encode_slot
from exchange_core.commands import CancelOrder, Command, ListInstrument
from exchange_core.events import OrderAccepted
from exchange_core.wire import MAX_INTEGER, DecodeError
from tests.property.messages import COMMANDS, SLOTS, messages
from tests.unit.core.room import BUY, SELL, Room, listed

EXAMPLES = int(os.environ.get("CROSSBOOK_EXAMPLES", "1"))
thorough = settings(
    max_examples=60 * EXAMPLES,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)


@thorough
@given(st.lists(COMMANDS, max_size=5))
def test_commands_come_back_as_they_went(commands: list[Command]) -> None:
    assert decode_commands(encode_commands(commands)) == commands


@thorough
@given(SLOTS)
def test_slots_come_back_as_they_went(slot: Slot) -> None:
    assert decode_slot(encode_slot(slot)) == slot


@thorough
@given(st.lists(messages(OrderAccepted), min_size=2, max_size=30))
def test_columns_of_many_rows_come_back(events: list[OrderAccepted]) -> None:
    slot = Slot(partition=0, n=1, at_ms=1, fed_through=0, writer="w", events=tuple(events * 2))
    assert decode_slot(encode_slot(slot)) == slot


def inflated(slot: Slot) -> dict[str, Any]:
    message: dict[str, Any] = orjson.loads(zstandard.ZstdDecompressor().decompress(encode_slot(slot)))
    return message


def deflated(message: Any) -> bytes:
    return zstandard.ZstdCompressor().compress(orjson.dumps(message))


def a_slot() -> Slot:
    room = Room()
    room.place("ann", BUY, 5, 100)
    room.place("ben", SELL, 2, 99)
    return Slot(partition=0, n=1, at_ms=1, fed_through=0, writer="w", events=tuple(room.log))


def test_a_field_that_a_later_version_added_is_passed_over() -> None:
    slot = a_slot()
    message = inflated(slot)
    for columns in message["c"].values():
        columns["invented_later"] = {"=": 5}
    assert decode_slot(deflated(message | {"also": 1})) == slot
    text = orjson.dumps({"v": 1, "more": 0, "commands": [["cancel", CANCEL | {"new": []}]]}).decode()
    cancel = CancelOrder(command_id=1, user_id="u", symbol="S", entered_at_ms=2, order_id=3)
    assert decode_commands(text) == [cancel]


def test_a_field_that_an_earlier_version_did_not_have_takes_its_default() -> None:
    slot = a_slot()
    message = inflated(slot)
    for columns in message["c"].values():
        columns.pop("trace_id", None)
        columns.pop("self_trade_prevention", None)
        columns.pop("post_only", None)
    assert decode_slot(deflated(message)) == slot


def test_a_field_that_must_be_there_is_missed() -> None:
    message = inflated(a_slot())
    del message["c"]["A"]["order_id"]
    with pytest.raises(DecodeError, match="order_id"):
        decode_slot(deflated(message))


RUBBISH_SLOTS: list[dict[str, Any]] = [
    {"v": 2},
    {"e": "AZ"},
    {"e": "AAAAAAAA"},
    {"e": 5},
    {"c": []},
    {"c": {"A": {"order_id": {"?": 1}}}},
    {"c": {"Z": {}}},
    {"p": None, "c": None},
]


@pytest.mark.parametrize("change", RUBBISH_SLOTS, ids=str)
def test_a_slot_that_makes_no_sense_is_refused(change: dict[str, Any]) -> None:
    with pytest.raises(DecodeError):
        decode_slot(deflated(inflated(a_slot()) | change))


@pytest.mark.parametrize(
    "data", [b"", b"rubbish", deflated([]), deflated("x"), zstandard.ZstdCompressor().compress(b"{")]
)
def test_bytes_that_are_no_slot_are_refused(data: bytes) -> None:
    with pytest.raises(DecodeError):
        decode_slot(data)


CANCEL = {"command_id": 1, "user_id": "u", "symbol": "S", "entered_at_ms": 2, "order_id": 3}
RUBBISH_COMMANDS: list[Any] = [
    [],
    "x",
    {"v": 2, "commands": []},
    {"v": 1},
    {"v": 1, "commands": [["cancel", CANCEL | {"order_id": "3"}]]},
    {"v": 1, "commands": [["cancel", CANCEL | {"order_id": True}]]},
    {"v": 1, "commands": [["cancel", CANCEL | {"order_id": 1.5}]]},
    {"v": 1, "commands": [["cancel", CANCEL | {"order_id": MAX_INTEGER + 1}]]},
    {"v": 1, "commands": [["cancel", {"order_id": 3}]]},
    {"v": 1, "commands": [["status", CANCEL | {"status": "open"}]]},
    {"v": 1, "commands": [["status", CANCEL | {"status": []}]]},
    {"v": 1, "commands": [["list", CANCEL | {"instrument": {}}]]},
    {"v": 1, "commands": [["list", CANCEL | {"instrument": 5}]]},
    {"v": 1, "commands": [["nosuch", CANCEL]]},
    {"v": 1, "commands": [["cancel"]]},
    {"v": 1, "commands": {"cancel": CANCEL}},
]


@pytest.mark.parametrize("message", RUBBISH_COMMANDS, ids=str)
def test_commands_that_make_no_sense_are_refused(message: Any) -> None:
    with pytest.raises(DecodeError):
        decode_commands(orjson.dumps(message).decode())


def listing_text(**changes: Any) -> str:
    listing = ListInstrument(command_id=1, user_id="op", symbol="S", entered_at_ms=0, instrument=listed())
    message = orjson.loads(encode_commands([listing]))
    message["commands"][0][1]["instrument"] |= changes
    return orjson.dumps(message).decode()


@pytest.mark.parametrize(
    "changes",
    [
        {"tick_size": "NaN"},
        {"tick_size": "sNaN"},
        {"tick_size": "Infinity"},
        {"tick_size": "0"},
        {"tick_size": "1e999999"},
        {"lot_size": "1e-999999"},
        {"lot_size": "0.123456789012345"},
        {"lot_size": "x"},
        {"lot_size": 1},
        {"base": "USD"},
        {"band_bps": 0},
        {"breaker_halt_ms": 10**15},
    ],
    ids=str,
)
def test_an_instrument_that_breaks_a_rule_is_refused_while_it_is_read(changes: dict[str, Any]) -> None:
    with pytest.raises(DecodeError):
        decode_commands(listing_text(**changes))
