"""A campaign that was stopped goes on where it was, on the same commit only."""

import json
from pathlib import Path

import pytest

from simulation.campaign import known_lines, run, seeds_of

FOREVER = float("inf")


def test_it_goes_on_where_it_was(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "campaign.jsonl"
    assert run(seeds_of("6"), 1, path, FOREVER) == 0
    first = path.read_text()
    path.write_text(first + '{"seed": 7, "cut off')
    assert run(seeds_of("6-7"), 1, path, FOREVER) == 0
    assert path.read_text().startswith(first), "a seed that was lived is not lived again"
    assert [line["seed"] for line in known_lines(path)] == [6, 7]
    assert "seeds            2, not clean: 0" in capsys.readouterr().out


def test_it_does_not_mix_commits(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "campaign.jsonl"
    line = json.dumps({"seed": 6, "found": {}, "figures": {}, "lived_on": "another commit"}) + "\n"
    path.write_text(line)
    assert run(seeds_of("6-7"), 1, path, FOREVER) == 2
    assert "was lived on another commit" in capsys.readouterr().err
    assert path.read_text() == line


def test_what_was_found_is_told_and_counts(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "campaign.jsonl"
    assert run(seeds_of("6"), 1, path, FOREVER) == 0
    line = json.loads(path.read_text())
    path.write_text(json.dumps({**line, "found": {"money": ["a difference"]}}) + "\n")
    assert run(seeds_of("6"), 1, path, FOREVER) == 1
    assert "not clean: 1 [6]" in capsys.readouterr().out
