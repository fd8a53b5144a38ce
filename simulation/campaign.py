"""Many seeds on all cores: `python -m simulation.campaign 0-99999 --processes 2 --file campaign.jsonl`.

One line of JSON a seed is appended as it ends, so a campaign that was stopped goes on where it was: a seed whose line
is there is not lived again. All lines of a file are of one commit and one Python version, for a seed is another story
on another; else it ends with 2. Ends with the figures of all lines, and with 1 if any seed was not clean.
`simulation.totals` adds up the files of several commits.
"""

import argparse
import json
import multiprocessing
import os
import platform
import subprocess
import sys
import time
import traceback
from pathlib import Path
from typing import Any

from simulation.checks.examine import examine
from simulation.totals import known_lines, totals
from simulation.world import live


def judge_seed(seed: int) -> dict[str, Any]:
    """A seed's line: figures, trace, and what was found. What fails as a program is a finding too."""
    started_s = time.process_time()
    try:
        aftermath = live(seed)
        verdict = examine(aftermath)
    except Exception:  # the campaign goes on; the seed is reported
        return {"seed": seed, "found": {"simulation: failed": [traceback.format_exc(limit=-6)]}, "figures": {}}
    return {
        "seed": seed,
        "found": verdict.found,
        "weather": aftermath.weather.kinds,
        "bounds": aftermath.bounds,
        "figures": aftermath.figures.plain(),
        "trace": aftermath.trace,
        "cpu_s": round(time.process_time() - started_s, 3),
    }


def seeds_of(text: str) -> range:
    """`7` or `0-999`."""
    first, _, last = text.partition("-")
    return range(int(first), int(last or first) + 1)


def run(seeds: range, processes: int, path: Path, seconds: float) -> int:
    """Live through the seeds that are not in the file yet, for at most so long."""
    lived_on = _lived_on()
    known = list(known_lines(path))
    if others := {line.get("lived_on", "an unknown commit") for line in known} - {lived_on}:
        sys.stderr.write(f"{path} was lived on {', '.join(sorted(others))}, this is {lived_on}: give another --file\n")
        return 2
    done = {line["seed"] for line in known}
    deadline_s = time.monotonic() + seconds
    rest = (seed for seed in seeds if seed not in done)
    until_then = (seed for seed in rest if time.monotonic() < deadline_s)
    _end_last_line(path)
    with path.open("a") as file, multiprocessing.Pool(processes, initializer=os.nice, initargs=(19,)) as pool:
        for line in pool.imap_unordered(judge_seed, until_then, chunksize=1):
            file.write(json.dumps({**line, "lived_on": lived_on}) + "\n")
            file.flush()
            for name, texts in line["found"].items():
                sys.stdout.write(f"seed {line['seed']}: {name}: {texts[0]}\n")
                sys.stdout.flush()
            if time.monotonic() > deadline_s:
                break
        pool.terminate()
    lines = list(known_lines(path))
    sys.stdout.write(f"{totals(lines)}\n")
    return 1 if any(line["found"] for line in lines) else 0


def _end_last_line(path: Path) -> None:
    """What a kill cut off must not spoil the line that is appended to it."""
    if path.exists() and not path.read_bytes().endswith(b"\n"):
        with path.open("a") as file:
            file.write("\n")


def _lived_on() -> str:
    answer = subprocess.run(["git", "describe", "--always", "--dirty"], capture_output=True, text=True)  # noqa: S607
    commit = answer.stdout.strip() or "an unknown commit"
    return f"{commit}, {platform.python_implementation()} {platform.python_version()}"


def main() -> int:
    """See the module."""
    parser = argparse.ArgumentParser(prog="python -m simulation.campaign")
    parser.add_argument("seeds", type=seeds_of, help="7 or 0-999")
    parser.add_argument("--processes", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--file", type=Path, default=Path("campaign.jsonl"))
    parser.add_argument("--seconds", type=float, default=float("inf"), help="stop after so long")
    options = parser.parse_args()
    return run(options.seeds, options.processes, options.file, options.seconds)


if __name__ == "__main__":
    sys.exit(main())
