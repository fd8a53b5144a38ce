import orjson

from crossbook.logs import LINES_A_POLL_MAX, LogFollower, compact

RECORD = {
    "event": "order_accepted",
    "level": "info",
    "timestamp": "2026-02-17T10:00:00.123456Z",
    "service": "gateway",
    "instance": "gateway",
    "order_id": "7",
    "fills": [1, 2],
}


def test_a_record_becomes_one_line_of_time_level_event_and_keys():
    assert compact(orjson.dumps(RECORD).decode()) == "10:00:00.123 info    order_accepted order_id=7 fills=[1,2]"


def test_a_line_that_is_no_record_is_shown_as_it_is():
    assert compact("Traceback (most recent call last):") == "Traceback (most recent call last):"
    assert compact("[1, 2]") == "[1, 2]"


def test_only_new_and_whole_lines_are_shown(tmp_path):
    log = tmp_path / "gateway.log"
    log.write_text("old\n")
    follower = LogFollower(log, "gateway")
    with log.open("a") as file:
        file.write("new\nhalf")
    assert follower.new_lines() == ["gateway    new"]
    with log.open("a") as file:
        file.write(" a line\n")
    assert follower.new_lines() == ["gateway    half a line"]


def test_a_flood_is_counted_instead_of_shown(tmp_path):
    log = tmp_path / "matcher-1.log"
    follower = LogFollower(log, "matcher-1")
    log.write_text("line\n" * (LINES_A_POLL_MAX + 7))
    shown = follower.new_lines()
    assert len(shown) == LINES_A_POLL_MAX + 1
    assert "and 7 more lines" in shown[-1]
