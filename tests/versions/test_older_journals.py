"""A journal and a snapshot that an older version wrote mean today what they meant then.

How the recordings were made is told in `record`. What becomes of messages that cannot be read is tested with those who
read them: the matcher journals a command as undecodable (`tests/unit/matcher/test_intake.py`), the persister halts its
partition and settles nothing past the slot (`tests/unit/persister/test_apply.py`), and a matcher does not take over a
partition with such a slot (`test_recovery`).
"""

import base64
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import orjson
import pytest

from exchange_adapters.sim import SimCloud
from exchange_adapters.sim.virtual_time import in_virtual_time
from exchange_core.codec import COMMANDS_VERSION, SLOT_VERSION, decode_commands, decode_slot
from exchange_core.commands import Command
from exchange_core.engine import PartitionEngine
from exchange_core.events import Event
from exchange_core.ports import StreamRecord
from exchange_core.snapshot import SNAPSHOT_VERSION
from tests.unit.persister.test_apply import applier, assert_exact
from tests.versions.record import amounts_to, slots_of, story

RECORDINGS = sorted(Path(__file__).parent.glob("journal_*.json"))
SNAPSHOTS = sorted(Path(__file__).parent.glob("snapshots_*.json"))
"""Of journal_1, after every slot."""


@pytest.fixture(params=RECORDINGS, ids=lambda path: path.stem)
def recording(request: pytest.FixtureRequest) -> dict[str, Any]:
    read: dict[str, Any] = orjson.loads(request.param.read_bytes())
    return read


def test_its_slots_amount_to_what_was_recorded(recording: dict[str, Any]) -> None:
    found, stated = amounts_to(slots_of(recording)), recording["amounts_to"]
    for name, value in stated.items():
        assert found[name] == value, name
    assert found.keys() == stated.keys()


def test_an_engine_goes_on_from_a_snapshot_in_the_middle_of_it(recording: dict[str, Any]) -> None:
    slots, hashes = slots_of(recording), recording["amounts_to"]["state_hashes"]
    engine = PartitionEngine(slots[0].partition)
    for slot, expected in zip(slots, hashes, strict=True):
        engine.apply_slot(slot)
        assert engine.state_hash() == expected
        engine = PartitionEngine.restore(engine.snapshot())


@pytest.mark.parametrize("path", SNAPSHOTS, ids=lambda path: path.stem)
def test_a_snapshot_is_the_state_of_its_slot(path: Path) -> None:
    texts: list[str] = orjson.loads(path.read_bytes())
    recording = orjson.loads(RECORDINGS[0].read_bytes())
    for text, expected in zip(texts, recording["amounts_to"]["state_hashes"], strict=True):
        assert PartitionEngine.restore(base64.b64decode(text)).state_hash() == expected


@in_virtual_time
async def test_the_persister_settles_the_very_bytes(recording: dict[str, Any]) -> None:
    cloud = SimCloud.build()
    records = [
        StreamRecord(sequence_number=str(number), partition_key="0", data=base64.b64decode(text))
        for number, text in enumerate(recording["slots"], start=1)
    ]
    outcome = await applier(cloud).apply(records)
    assert not outcome.errors and not outcome.unsettled
    assert_exact(cloud, slots_of(recording))


def test_its_commands_can_be_read(recording: dict[str, Any]) -> None:
    read = [command for text in recording["commands"] for command in decode_commands(text)]
    assert len(read) == len(recording["commands"])


def test_every_version_that_is_read_has_its_recording() -> None:
    assert SLOT_VERSION == COMMANDS_VERSION == 1
    assert [path.stem for path in RECORDINGS] == ["journal_1"]
    assert SNAPSHOT_VERSION == 2
    assert [path.stem for path in SNAPSHOTS] == ["snapshots_1", "snapshots_2"]


def test_a_recording_of_today_would_show_every_kind_of_event_and_command() -> None:
    room = story()
    events = {type(event) for data in room.written for event in decode_slot(data).events}
    commands = {type(command) for text in room.sent for command in decode_commands(text)}
    assert events == set(get_args(Event)) and commands == set(get_args(Command))


def test_the_recordings_show_every_kind_of_event() -> None:
    def kinds() -> Iterator[str]:
        for path in RECORDINGS:
            yield from orjson.loads(path.read_bytes())["amounts_to"]["events"]

    assert set(kinds()) == {kind.__name__ for kind in get_args(Event)}
