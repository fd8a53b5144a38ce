"""docs/api.md names every request, every code and every limit, as they are."""

import re

from exchange_gateway.access.limits import DEFAULT_LIMITS
from tests.unit.gateway.answers import operations
from tests.unit.gateway.api_tables import PAGE, with_tables

DOCUMENT = PAGE.read_text()


def test_its_tables_are_those_of_the_contract() -> None:
    assert with_tables(DOCUMENT) == DOCUMENT, "make docs"
    for method, path, _ in operations():
        assert f"| `{method} {path}` |" in DOCUMENT


def test_the_limits_in_the_document_are_the_defaults() -> None:
    table = DOCUMENT.split("## Rate limits")[1].split("## Codes")[0]
    told = {}
    for name, user, address in re.findall(r"^\| `(\w+)` \| .+ \| (.*?) ?\| (.*?) ?\|$", table, re.MULTILINE):
        told |= {f"{name}.user": user, f"{name}.address": address}
    named = {"1s": "second", "1m": "minute"}
    for limit, text in DEFAULT_LIMITS.items():
        requests, window = text.split("/")
        assert told.pop(limit if "." in limit else "global.user") == f"{int(requests):,} a {named[window]}"
    assert not any(told.values()), told
