"""The figures of a campaign: `python -m simulation.totals campaign-*.jsonl`.

A finding is mended on a later commit, and the seeds that are left are lived there, in a file of their own. This adds
the files up, each commit by name. A seed that stands in two files would count twice: then it ends with 2.
"""

import argparse
import json
import sys
from collections import Counter
from collections.abc import Iterable, Iterator
from itertools import groupby
from pathlib import Path
from typing import Any


def known_lines(path: Path) -> Iterator[dict[str, Any]]:
    """What a campaign has written; a line that was cut off by a kill is passed over."""
    for text in path.read_text().splitlines() if path.exists() else ():
        try:
            yield json.loads(text)
        except json.JSONDecodeError:
            continue


def ranges(seeds: Iterable[int]) -> str:
    """`0-24, 26`: of seeds that are all different."""
    runs = []
    for _, run in groupby(enumerate(sorted(seeds)), lambda pair: pair[1] - pair[0]):
        numbers = [seed for _, seed in run]
        runs.append(f"{numbers[0]}-{numbers[-1]}" if len(numbers) > 1 else f"{numbers[0]}")
    return ", ".join(runs)


def totals(lines: Iterable[dict[str, Any]]) -> str:
    """The figures of all seeds: on which commits they were lived, what was found, what it was made of."""
    sums: Counter[str] = Counter()
    faults: Counter[str] = Counter()
    kinds: Counter[str] = Counter()
    bounds: Counter[str] = Counter()
    lived: dict[str, list[int]] = {}
    dirty = []
    for line in lines:
        lived.setdefault(line["lived_on"], []).append(line["seed"])
        if line["found"]:
            dirty.append(line["seed"])
        kinds.update(line.get("weather", ()))
        bounds.update(bound.partition("=")[0] for bound in line.get("bounds", ()))
        sums["cpu_s"] += line.get("cpu_s", 0)
        for name, value in line["figures"].items():
            if name == "faults":
                faults.update(value)
            else:
                sums[name] += value
    in_order = sorted(lived.items(), key=lambda of_commit: min(of_commit[1]))
    rows = [f"commit           {commit}: seeds {ranges(seeds)}" for commit, seeds in in_order]
    seeds = sum(map(len, lived.values()))
    rows.append(f"seeds            {seeds:,}, not clean: {len(dirty)} {sorted(dirty)[:20] or ''}".rstrip())
    rows.append(
        f"simulated hours  {sums.pop('virtual_s', 0) / 3600:,.1f} in {sums.pop('cpu_s', 0) / 3600:,.1f} hours of CPU"
    )
    rows.append(f"settled after    {sums.pop('settle_s', 0) / max(1, seeds):.1f} s on average")
    rows += [f"{name:<17}{value:,.0f}" for name, value in sums.items()]
    rows.append("faults           " + ", ".join(f"{kind} {count:,}" for kind, count in sorted(faults.items())))
    rows.append("weather          " + ", ".join(f"{kind} in {count:,}" for kind, count in sorted(kinds.items())))
    if bounds:
        rows.append("tight bounds     " + ", ".join(f"{name} in {count:,}" for name, count in sorted(bounds.items())))
    return "\n".join(rows)


def main() -> int:
    """See the module."""
    parser = argparse.ArgumentParser(prog="python -m simulation.totals")
    parser.add_argument("files", type=Path, nargs="+")
    lines = [line for path in parser.parse_args().files for line in known_lines(path)]
    if twice := [seed for seed, count in Counter(line["seed"] for line in lines).items() if count > 1]:
        sys.stderr.write(f"lived more than once: seeds {ranges(twice)}\n")
        return 2
    sys.stdout.write(totals(lines) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
