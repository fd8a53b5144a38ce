"""All checks of a world that has come to its end, and what they say together."""

from dataclasses import dataclass

from crossbook.audit.run import CHECKS as AUDIT_CHECKS
from simulation.checks.feeds import FEED_CHECKS
from simulation.checks.promises import CLIENT_CHECKS
from simulation.checks.reads import READ_CHECKS
from simulation.checks.stores import STORE_CHECKS, Case
from simulation.machines.determinism import silence
from simulation.world import Aftermath


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What all checks found in one world: `found` maps the name of a check to its differences, if it has any."""

    seed: int
    found: dict[str, list[str]]
    checks: tuple[str, ...]

    @property
    def is_clean(self) -> bool:
        """Whether nothing was found."""
        return not self.found

    def __str__(self) -> str:
        lines = [f"  {name}: {text}" for name, texts in self.found.items() for text in texts[:3]]
        return "\n".join([f"seed {self.seed}: {'clean' if self.is_clean else 'VIOLATED'}", *lines])


def examine(aftermath: Aftermath) -> Verdict:
    """Run every check. Last the one that settles again, for it may change what the others look at."""
    with silence():
        return _examine(aftermath)


def _examine(aftermath: Aftermath) -> Verdict:
    case = Case(aftermath)
    found: dict[str, list[str]] = {}
    names: list[str] = []
    for audit_check in AUDIT_CHECKS:
        result = audit_check(case.judgement)
        names.append(result.name)
        if result.differences:
            found[result.name] = [str(difference) for difference in result.differences]
    for name, client_check in (CLIENT_CHECKS | READ_CHECKS | FEED_CHECKS).items():
        names.append(name)
        if differences := list(client_check(aftermath.history, case.judgement.fold, aftermath)):
            found[name] = differences
    for name, check in STORE_CHECKS.items():
        names.append(name)
        if differences := list(check(case)):
            found[name] = differences
    return Verdict(seed=aftermath.seed, found=found, checks=tuple(names))
