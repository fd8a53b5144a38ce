"""Messages between versions N−1, N and N+1, whatever stands in them: fields come and go, and do no harm.

What N+1 writes is today's message with more in it; what N−1 wrote is today's without a field that has a default. What
no version that runs beside this one may write is refused as a whole.
"""

from dataclasses import fields, replace
from typing import Any, get_args

import orjson
import pytest
import zstandard
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from exchange_core.codec import Slot, decode_commands, decode_slot, encode_commands, encode_slot
from exchange_core.commands import Command
from exchange_core.events import Event
from exchange_core.wire import DecodeError, message_fields
from tests.property.messages import COMMANDS, SLOTS, messages

varied = settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**60), 2**60) | st.text(st.characters(codec="utf-8"), max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["x", "y"]), inner, max_size=2),
    max_leaves=5,
)
UNKNOWN_VERSIONS = st.one_of(st.none(), st.integers(-5, 0), st.integers(2, 2**53), st.text(max_size=3))
NEW_KEYS = st.sampled_from(["new_in_next", "zz", "seq_2", "="])
KINDS = [*get_args(Event), *get_args(Command)]
OPTIONAL = [(kind, field.name) for kind in KINDS for field in message_fields(kind) if not field.is_required]


def read_slot(message: dict[str, Any]) -> Slot:
    return decode_slot(zstandard.ZstdCompressor().compress(orjson.dumps(message)))


def written(slot: Slot) -> dict[str, Any]:
    message: dict[str, Any] = orjson.loads(zstandard.ZstdDecompressor().decompress(encode_slot(slot)))
    return message


def read_commands(message: dict[str, Any]) -> list[Command]:
    return decode_commands(orjson.dumps(message).decode())


def a_slot(event: Event) -> Slot:
    return Slot(partition=0, n=1, at_ms=1, fed_through=0, writer="w", events=(event,))


@varied
@given(SLOTS, NEW_KEYS, JSON)
def test_a_slot_of_the_next_version_is_read(slot: Slot, key: str, value: Any) -> None:
    message = written(slot)
    for columns in message["c"].values():
        columns[key] = value
        for column in columns.values():
            for instrument in column if isinstance(column, list) else []:
                if isinstance(instrument, dict) and "tick_size" in instrument:
                    instrument[key] = value
    assert read_slot(message | {f"top_{key}": value}) == slot


@varied
@given(st.lists(COMMANDS, max_size=5), NEW_KEYS, JSON)
def test_commands_of_the_next_version_are_read(commands: list[Command], key: str, value: Any) -> None:
    message = orjson.loads(encode_commands(commands))
    for _, values in message["commands"]:
        values[key] = value
        if "instrument" in values:
            values["instrument"][key] = value
    assert read_commands(message | {f"top_{key}": value}) == commands


@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@pytest.mark.parametrize(("kind", "name"), OPTIONAL, ids=lambda part: getattr(part, "__name__", part))
@given(data=st.data())
def test_a_message_of_the_version_before_a_field_is_read_with_its_default(
    kind: Any, name: str, data: st.DataObject
) -> None:
    message = data.draw(messages(kind))
    default = next(field.default for field in fields(kind) if field.name == name)
    expected = replace(message, **{name: default})
    if kind in get_args(Event):
        slot = written(a_slot(message))
        for columns in slot["c"].values():
            columns.pop(name, None)
        assert read_slot(slot).events == (expected,)
    else:
        sent = orjson.loads(encode_commands([message]))
        sent["commands"][0][1].pop(name, None)
        assert read_commands(sent) == [expected]


def test_fields_with_defaults_are_what_versions_differ_in() -> None:
    assert len(OPTIONAL) > 20 and {kind for kind, _ in OPTIONAL} >= set(get_args(Command))


@varied
@given(SLOTS, UNKNOWN_VERSIONS)
def test_a_slot_of_an_unknown_version_is_refused(slot: Slot, version: Any) -> None:
    with pytest.raises(DecodeError, match="version"):
        read_slot(written(slot) | {"v": version})


@varied
@given(st.lists(COMMANDS, max_size=3), UNKNOWN_VERSIONS)
def test_commands_of_an_unknown_version_are_refused(commands: list[Command], version: Any) -> None:
    with pytest.raises(DecodeError, match="version"):
        read_commands(orjson.loads(encode_commands(commands)) | {"v": version})


@varied
@given(SLOTS, st.sampled_from("BXZ$é"), st.data())
def test_a_slot_with_a_kind_of_event_that_is_not_known_is_refused(slot: Slot, letter: str, data: st.DataObject) -> None:
    message = written(slot)
    at = data.draw(st.integers(0, len(message["e"])))
    message["e"] = message["e"][:at] + letter + message["e"][at:]
    with pytest.raises(DecodeError):
        read_slot(message)
    message["c"][letter] = {"seq": {"=": 1}}
    with pytest.raises(DecodeError):
        read_slot(message)


@varied
@given(st.lists(COMMANDS, max_size=3))
def test_a_kind_of_command_that_is_not_known_is_refused(commands: list[Command]) -> None:
    message = orjson.loads(encode_commands(commands))
    message["commands"].append(["invented_later", {"command_id": 1}])
    with pytest.raises(DecodeError):
        read_commands(message)
