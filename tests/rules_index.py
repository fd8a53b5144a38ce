"""The index from rules to tests: docs/rules.md, made from docs/semantics.md and the scenarios of tests/acceptance.

`python -m tests.rules_index` writes it (`make rules`); a unit test fails when it is not up to date, when a rule has no
test, and when a test names a rule that there is not.
"""

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parents[1]
SEMANTICS: Final = ROOT / "docs" / "semantics.md"
INDEX: Final = ROOT / "docs" / "rules.md"
SCENARIOS: Final = ROOT / "tests" / "acceptance"
_RULE: Final = re.compile(r"\| `(?P<id>[a-z0-9-]+)` \| (?P<statement>.+) \|")
_HEADING: Final = re.compile(r"## (?P<title>.+)")
_PREFACE: Final = """\
# Which test shows which rule

The rules are those of [semantics.md](semantics.md). Every test goes through HTTP and WebSocket only, against a whole
exchange: `.venv/bin/pytest tests/acceptance`. Made by `make rules`; not to be edited.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """One row of docs/semantics.md, under its heading."""

    id: str
    section: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Showing:
    """A test that shows a rule; `path` from the root of the repository."""

    rule: str
    path: str
    test: str


def read_rules(text: str) -> list[Rule]:
    """The rules of docs/semantics.md, in its order."""
    rules, section = [], ""
    for line in text.splitlines():
        if heading := _HEADING.fullmatch(line):
            section = heading["title"]
        elif row := _RULE.fullmatch(line):
            rules.append(Rule(id=row["id"], section=section))
    return rules


def read_showings(source: str, path: str) -> Iterator[Showing]:
    """What `@rule(...)` says in a module of scenarios."""
    for node in ast.parse(source).body:
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        for decorator in node.decorator_list:
            match decorator:
                case ast.Call(func=ast.Name(id="rule"), args=ids):
                    for one in ids:
                        yield Showing(rule=ast.literal_eval(one), path=path, test=node.name)


def all_showings() -> list[Showing]:
    """Of every scenario there is."""
    return [
        showing
        for path in sorted(SCENARIOS.glob("test_*.py"))
        for showing in read_showings(path.read_text(), path.relative_to(ROOT).as_posix())
    ]


def complaints(rules: list[Rule], showings: list[Showing]) -> list[str]:
    """What is wrong with them: a rule that is told twice or shown by no test, a test of no rule."""
    known, shown = [rule.id for rule in rules], {showing.rule for showing in showings}
    twice = sorted({one for one in known if known.count(one) > 1})
    return [
        *[f"the rule {one} stands twice in semantics.md" for one in twice],
        *[f"no test shows the rule {one}" for one in known if one not in shown],
        *[
            f"{showing.path}::{showing.test} shows {showing.rule}, which is no rule"
            for showing in showings
            if showing.rule not in known
        ],
    ]


def index(rules: list[Rule], showings: list[Showing]) -> str:
    """The text of docs/rules.md."""
    parts, section = [_PREFACE], ""
    for rule in rules:
        if rule.section != section:
            section = rule.section
            parts.append(f"\n## {section}\n\n| rule | shown by |\n| --- | --- |\n")
        tests = [
            f"[{showing.test.removeprefix('test_').replace('_', ' ')}](../{showing.path})"
            for showing in showings
            if showing.rule == rule.id
        ]
        parts.append(f"| `{rule.id}` | {'<br>'.join(tests)} |\n")
    return "".join(parts)


if __name__ == "__main__":
    INDEX.write_text(index(read_rules(SEMANTICS.read_text()), all_showings()))
