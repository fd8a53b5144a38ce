"""docs/api.md names every route and every code, as they are."""

import re
from pathlib import Path

import exchange_gateway
from exchange_gateway.limits import DEFAULT_LIMITS
from exchange_gateway.problems import PROBLEMS

DOCUMENT = (Path(__file__).resolve().parents[3] / "docs" / "api.md").read_text()
ROUTE = re.compile(r"web\.(get|post|patch|put|delete)\(\s*\"([^\"]+)\"")


def test_every_route_is_in_the_document() -> None:
    folder = Path(exchange_gateway.__file__).parent
    found = {
        (method.upper(), path)
        for source in folder.glob("routes_*.py")
        for method, path in ROUTE.findall(source.read_text())
    }
    assert len(found) > 25
    for method, path in found:
        rows = [row for row in DOCUMENT.splitlines() if f"{path}`" in row and method in row]
        assert rows, f"{method} {path} is not in docs/api.md"


def test_every_code_stands_in_the_table_with_its_status() -> None:
    table = DOCUMENT.split("## Codes")[1]
    rows = re.findall(r"^\| `(\w+)` \| (\d{3}) \| (.+) \|$", table, re.MULTILINE)
    assert rows == [(str(code), str(status), title) for code, (status, title) in PROBLEMS.items()]
    told = set(re.findall(r"`([a-z]+(?:_[a-z]+)+)`", DOCUMENT.split("## Codes")[0]))
    assert {"insufficient_funds", "order_closed"} <= told


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
