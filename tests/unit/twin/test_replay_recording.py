"""Reading recorded order flow, and what the rows tell of each order."""

import lzma
from pathlib import Path

import pytest

from crossbook.replay.recording import Action, RecordingError, read_recording
from exchange_core.orders import Side
from tests.unit.twin.fake_exchange import recording_lines

TEXT = recording_lines(
    "1 created bid 236.47 200",
    "2 created ask 236.40 80",
    "1 changed bid 236.47 120",
    "2 deleted ask 236.40 0",
    "9 deleted ask 236.47 0",
    "1 changed bid 236.47 20",
    "1 deleted bid 236.47 20",
)


def write(folder: Path, text: str, name: str = "flow.csv") -> Path:
    path = folder / name
    path.write_bytes(lzma.compress(text.encode()) if name.endswith(".xz") else text.encode())
    return path


@pytest.mark.parametrize("name", ["flow.csv", "flow.csv.xz"])
def test_rows_are_read_exactly_plain_or_packed(tmp_path: Path, name: str) -> None:
    recording = read_recording(write(tmp_path, TEXT, name))
    first = recording.rows[0]
    assert (first.recorded_id, first.price, first.volume) == (1, 23647, 200)
    assert (first.action, first.side) == (Action.CREATED, Side.BUY)
    assert len(read_recording(write(tmp_path, TEXT, name), limit=3).rows) == 3


def test_what_an_order_traded_is_told_by_its_changes_and_not_by_its_cancel(tmp_path: Path) -> None:
    orders = read_recording(write(tmp_path, TEXT)).orders
    assert orders[1].traded == 180
    assert orders[2].traded == 80
    assert not orders[9].is_created


def test_who_met_whom_is_told_by_equal_volumes_and_by_orders_older_than_the_capture(tmp_path: Path) -> None:
    orders = read_recording(write(tmp_path, TEXT)).orders
    assert orders[1].met == {2, 9}
    assert orders[2].met == {1}


def test_an_order_deleted_before_it_is_created_is_known_as_such(tmp_path: Path) -> None:
    text = recording_lines("1 deleted bid 236.47 200", "1 created bid 236.47 200")
    assert read_recording(write(tmp_path, text)).orders[1].was_deleted_before_created


@pytest.mark.parametrize(
    "text",
    [
        "a,b\n1,2\n",
        "",
        recording_lines("1 created bid 236.471 200"),
        recording_lines("1 created both 236.47 200"),
        recording_lines("1 eaten bid 236.47 200"),
        recording_lines("x created bid 236.47 200"),
    ],
)
def test_anything_else_is_refused_with_its_line(tmp_path: Path, text: str) -> None:
    with pytest.raises(RecordingError, match="line"):
        read_recording(write(tmp_path, text))


def test_a_file_that_only_looks_packed_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "flow.csv.xz"
    path.write_bytes(b"not packed")
    with pytest.raises(RecordingError):
        read_recording(path)
