"""Tries to reach what is not one's own, each with the answer that it must get; docs/access.md is their table.

Two test modules make them: against a whole private exchange through HTTP and WebSocket, and against a gateway whose
directory of users is simulated, for tokens that only the real issuer's key could sign.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, TypeVar

Act = Callable[[Any], Awaitable[str]]
Given = TypeVar("Given", bound=Act)


@dataclass(frozen=True, slots=True, kw_only=True)
class Try:
    """`act` answers what happened, which must be `answer`."""

    subject: str
    what: str
    answer: str
    act: Act


class Tries:
    """The tries of one test module, in order."""

    def __init__(self) -> None:
        self.all: list[Try] = []
        self._subject = ""

    def about(self, subject: str) -> None:
        """What the next ones are about."""
        self._subject = subject

    def __call__(self, what: str, answer: str) -> Callable[[Given], Given]:
        """Decorates a function that makes the try."""

        def register(act: Given) -> Given:
            self.all.append(Try(subject=self._subject, what=what, answer=answer, act=act))
            return act

        return register


def tables(proofs: list[tuple[str, list[Try]]]) -> str:
    """The tables of docs/access.md: one a subject, from (how it is proven, tries)."""
    rows: dict[str, list[str]] = {}
    for proof, tries in proofs:
        for one in tries:
            rows.setdefault(one.subject, []).append(f"| {one.what} | {one.answer} | {proof} |")
    lines = []
    for subject, found in rows.items():
        lines += ["", f"## {subject}", "", "| try | answer | on |", "| --- | --- | --- |", *found]
    return "\n".join(lines) + "\n"
