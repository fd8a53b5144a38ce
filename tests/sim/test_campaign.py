"""A campaign that was stopped goes on where it was, on the same commit only; files of several commits add up."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from simulation.campaign import run, seeds_of
from simulation.totals import known_lines

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


def test_the_files_of_several_commits_add_up(tmp_path: Path) -> None:
    old, new = tmp_path / "old.jsonl", tmp_path / "new.jsonl"
    old.write_text(_line(0, "abc", virtual_s=1800.0, faults={"lost": 2}) + _line(1, "abc", found={"money": ["gone"]}))
    new.write_text(
        _line(4, "def", virtual_s=5400.0, faults={"lost": 5, "after": 1}) + _line(2, "def") + '{"seed": 5, "cu'
    )
    told = _totals(old, new)
    assert told.returncode == 0
    rows = told.stdout.splitlines()
    assert rows[:4] == [
        "commit           abc: seeds 0-1",
        "commit           def: seeds 2, 4",
        "seeds            4, not clean: 1 [1]",
        "simulated hours  2.0 in 0.0 hours of CPU",
    ]
    assert "faults           after 1, lost 7" in rows


def test_no_seed_counts_twice(tmp_path: Path) -> None:
    old, new = tmp_path / "old.jsonl", tmp_path / "new.jsonl"
    old.write_text(_line(0, "abc") + _line(1, "abc"))
    new.write_text(_line(1, "def"))
    told = _totals(old, new)
    assert (told.returncode, told.stdout, told.stderr) == (2, "", "lived more than once: seeds 1\n")


def _line(seed: int, commit: str, found: dict[str, list[str]] | None = None, **figures: object) -> str:
    return json.dumps({"seed": seed, "found": found or {}, "figures": figures, "lived_on": commit}) + "\n"


def _totals(*paths: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-m", "simulation.totals", *paths], capture_output=True, text=True)
