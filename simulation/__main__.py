"""`python -m simulation SEED`: live through one seed, judge it, print its story's figures and its trace."""

import sys

from simulation.checks.examine import Verdict, examine
from simulation.world import Aftermath, live


def tell(aftermath: Aftermath, verdict: Verdict) -> str:
    """The figures, what was found, and the trace: the same in every interpreter."""
    figures = aftermath.figures.plain()
    faults = figures.pop("faults")
    lines = [
        f"weather  {', '.join(aftermath.weather.kinds) or 'fair'}; calls take up to {aftermath.weather.delay_ms[1]} ms"
    ]
    lines.append(f"tight    {', '.join(aftermath.bounds) or 'no bound'}")
    lines += [
        f"{name:<17}{value:,.1f}" if isinstance(value, float) else f"{name:<17}{value:,}"
        for name, value in figures.items()
    ]
    lines.append(
        "faults           " + (", ".join(f"{kind} {count}" for kind, count in sorted(faults.items())) or "none")
    )
    lines.append(f"checks           {len(verdict.checks)}")
    return "\n".join([*lines, str(verdict), f"trace {aftermath.trace}"])


def main() -> int:
    """0 when all checks are clean."""
    if len(sys.argv) != 2 or not sys.argv[1].isdecimal():
        sys.stderr.write("usage: python -m simulation SEED\n")
        return 2
    aftermath = live(int(sys.argv[1]))
    verdict = examine(aftermath)
    sys.stdout.write(tell(aftermath, verdict) + "\n")
    return 0 if verdict.is_clean else 1


if __name__ == "__main__":
    sys.exit(main())
