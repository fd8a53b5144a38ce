"""Every rule that the exchange states has a test, and the index of them is true."""

from tests.rules_index import (
    INDEX,
    SEMANTICS,
    Rule,
    Showing,
    all_showings,
    complaints,
    index,
    read_rules,
    read_showings,
)

ROWS = """
## Matching

| rule | says |
| --- | --- |
| `match-best` | The best price first. |

## Ends

| rule | says |
| --- | --- |
| `end-final` | It never changes; |
"""
SCENARIO = """
@rule("match-best", "end-final")
@listed(maker_fee_bps=1)
async def test_the_best_is_first(market): ...

async def helper(): ...
"""


def test_every_rule_is_shown_by_a_test_and_every_test_shows_a_rule() -> None:
    rules = read_rules(SEMANTICS.read_text())
    assert len(rules) > 100, "the rules are read"
    assert complaints(rules, all_showings()) == []


def test_the_index_is_up_to_date() -> None:
    made = index(read_rules(SEMANTICS.read_text()), all_showings())
    assert INDEX.read_text() == made, "make rules"


def test_rules_are_read_with_their_sections_and_scenarios_with_their_rules() -> None:
    assert read_rules(ROWS) == [Rule(id="match-best", section="Matching"), Rule(id="end-final", section="Ends")]
    shown = [
        Showing(rule=one, path="tests/acceptance/test_x.py", test="test_the_best_is_first")
        for one in ("match-best", "end-final")
    ]
    assert list(read_showings(SCENARIO, "tests/acceptance/test_x.py")) == shown
    assert complaints(read_rules(ROWS), shown) == []
    assert "| `end-final` | [the best is first](../tests/acceptance/test_x.py) |" in index(read_rules(ROWS), shown)


def test_a_rule_without_a_test_a_test_without_a_rule_and_a_rule_told_twice_are_told() -> None:
    stray = Showing(rule="no-such-rule", path="tests/acceptance/test_x.py", test="test_it")
    assert complaints(read_rules(ROWS + ROWS), [stray]) == [
        "the rule end-final stands twice in semantics.md",
        "the rule match-best stands twice in semantics.md",
        *["no test shows the rule match-best", "no test shows the rule end-final"] * 2,
        "tests/acceptance/test_x.py::test_it shows no-such-rule, which is no rule",
    ]
