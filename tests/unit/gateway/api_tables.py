"""The tables of docs/api.md, made from the contract: `make docs` writes them."""

import re
from collections.abc import Iterator
from pathlib import Path

from exchange_gateway.problems import PROBLEMS
from exchange_gateway.rest.contract import document, resolved
from tests.unit.gateway.answers import operations

PAGE = Path(__file__).resolve().parents[3] / "docs" / "api.md"
_TABLE = re.compile(r"(<!-- table: (\w+) -->\n).*?(<!-- end -->)", re.DOTALL)
WITH_A_BODY = {"malformed_json", "unknown_field", "missing_field", "invalid_value", "bad_request", "body_too_large"}


def with_tables(text: str) -> str:
    """The page with each table as the contract has it now."""
    return _TABLE.sub(lambda match: match[1] + "\n".join(_rows(match[2])) + "\n" + match[3], text)


def _rows(tag: str) -> Iterator[str]:
    if tag == "codes":
        yield from ("| code | status | says |", "| --- | --- | --- |")
        yield from (f"| `{code}` | {status} | {title} |" for code, (status, title) in PROBLEMS.items())
        return
    yield from ("| request | does | answer | codes of its own |", "| --- | --- | --- | --- |")
    for method, path, operation in operations():
        if operation["tags"] == [tag]:
            answers = " ".join(status for status in operation["responses"] if status.startswith("2"))
            codes = " ".join(f"`{code}`" for code in _own_codes(operation["responses"]))
            yield f"| `{method} {path}` | {operation['summary']} | {answers} | {codes} |"


def _own_codes(responses: dict[str, dict[str, object]]) -> list[str]:
    usual = {*WITH_A_BODY, *_all_codes(document()["paths"]["/api/v1/balances"]["get"]["responses"])}
    own = set(_all_codes(responses)) - usual
    return [str(code) for code in PROBLEMS if code in own]


def _all_codes(responses: dict[str, dict[str, object]]) -> Iterator[str]:
    for response in responses.values():
        yield from _codes(response)


def _codes(response: dict[str, object]) -> Iterator[str]:
    content = resolved(response).get("content", {}).get("application/problem+json")
    if content is not None:
        yield from content["schema"]["allOf"][1]["properties"]["code"]["enum"]


if __name__ == "__main__":
    PAGE.write_text(with_tables(PAGE.read_text()))
