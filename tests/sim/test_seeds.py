"""Many worlds, each with weather of its own: nothing lost, nothing twice, in none of them.

A seed that is found to be bad stays here for ever, in FOUND, with what it found.
"""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from simulation.campaign import known_lines, seeds_of
from simulation.checks.examine import examine
from simulation.world import live

BATCHES = 70
BATCH_SEEDS = 10
ALIKE_SEEDS = "0-29"
FOUND = {
    2: "a snapshot whose time no slot knew: repeats had moved the engine on without a slot",
    5: "the reconciler missed rows that one of its rounds could not read, and halted what was right",
}
ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize("batch", range(BATCHES))
def test_nothing_is_lost_and_nothing_happens_twice(batch: int) -> None:
    for seed in range(batch * BATCH_SEEDS, (batch + 1) * BATCH_SEEDS):
        verdict = examine(live(seed))
        assert verdict.is_clean, f"{verdict}\nlive it again: make sim SEED={seed}"


@pytest.mark.parametrize("seed", sorted(FOUND))
def test_what_was_found_once_is_not_found_again(seed: int) -> None:
    verdict = examine(live(seed))
    assert verdict.is_clean, f"{FOUND[seed]}\n{verdict}"


def test_a_seed_is_the_same_story_in_every_interpreter() -> None:
    stories = [told_by_another_interpreter("simulation", "6", hash_seed=hash_seed) for hash_seed in ("1", "77")]
    assert stories[0] == stories[1]
    assert "trace " in stories[0]


def test_many_seeds_are_the_same_stories_in_every_interpreter(tmp_path: Path) -> None:
    """One seed may be the same by chance: a set of strings that was walked in the order of their hashes told most
    seeds otherwise each time, and the few that were compared then happened to be alike."""
    traces = []
    for hash_seed in ("1", "77"):
        file = tmp_path / f"{hash_seed}.jsonl"
        options = ("--processes", "1", "--file", str(file))
        told_by_another_interpreter("simulation.campaign", ALIKE_SEEDS, *options, hash_seed=hash_seed)
        traces.append({line["seed"]: line["trace"] for line in known_lines(file)})
    assert len(traces[0]) == len(seeds_of(ALIKE_SEEDS))
    assert traces[0] == traces[1]


def told_by_another_interpreter(module: str, *arguments: str, hash_seed: str) -> str:
    answer = subprocess.run(
        [sys.executable, "-m", module, *arguments],
        cwd=ROOT,
        env={**os.environ, "PYTHONHASHSEED": hash_seed},
        capture_output=True,
        text=True,
        check=True,
    )
    return answer.stdout
