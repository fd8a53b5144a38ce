"""Whether an answer is one that the contract describes: status, headers, media type, and every member of its body.

Stricter than a client should be: a member that the contract does not name is a fault here.
"""

import re
from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any

import jsonschema_rs

from exchange_gateway.rest.contract import document, resolved

METHODS = ("get", "put", "post", "delete", "patch")


def operations() -> Iterator[tuple[str, str, Mapping[str, Any]]]:
    """Method in capitals, path with its parameters in braces, and operation."""
    for path, item in document()["paths"].items():
        for method in METHODS:
            if method in item:
                yield method.upper(), path, item[method]


def assert_is_in_the_contract(method: str, path: str, status: int, headers: Mapping[str, str], body: Any) -> None:
    """`path` without its query; `body` as parsed if it is JSON, else None."""
    allowed = _operations_at(path)
    operation = allowed.get(method)
    if operation is None:
        code = body.get("code") if isinstance(body, dict) else None
        expected = (405, "method_not_allowed") if allowed else (404, "not_found")
        assert (status, code) in (expected, (429, "too_many_requests")), f"{method} {path} is not in the contract"
        return
    name = f"{operation['operationId']} {status}"
    assert str(status) in operation["responses"], f"{name} is not in the contract: {body}"
    response = resolved(operation["responses"][str(status)])
    _check_headers(name, response, headers)
    kind = headers.get("Content-Type", "").partition(";")[0]
    if "content" not in response:
        assert headers.get("Content-Length", "0") == "0", f"{name} has no body"
        return
    assert kind in response["content"], f"{name} is not {kind}"
    if kind.endswith("json"):
        for error in _validator(operation["operationId"], status, kind).iter_errors(body):
            raise AssertionError(f"{name}: {'.'.join(map(str, error.instance_path))}: {error.message}")


def _check_headers(name: str, response: Mapping[str, Any], headers: Mapping[str, str]) -> None:
    for header, described in response["headers"].items():
        description = resolved(described)
        if header not in headers:
            assert not description.get("required"), f"{name} lacks {header}"
            continue
        text = headers[header]
        value = int(text) if description["schema"]["type"] == "integer" else text
        assert jsonschema_rs.is_valid(description["schema"], value), f"{name}: {header}: {text}"


@cache
def _patterns() -> list[tuple[re.Pattern[str], Mapping[str, Mapping[str, Any]]]]:
    """Paths without parameters first, as the router has it."""
    by_path: dict[str, dict[str, Mapping[str, Any]]] = {}
    for method, path, operation in operations():
        by_path.setdefault(path, {})[method] = operation
    paths = sorted(by_path, key=lambda path: path.count("{"))
    return [(re.compile(re.sub(r"\{\w+\}", "[^/]+", path)), by_path[path]) for path in paths]


def _operations_at(path: str) -> Mapping[str, Mapping[str, Any]]:
    return next((found for pattern, found in _patterns() if pattern.fullmatch(path)), {})


@cache
def _validator(operation_id: str, status: int, kind: str) -> jsonschema_rs.Draft202012Validator:
    operation = next(one for _, _, one in operations() if one["operationId"] == operation_id)
    schema = resolved(operation["responses"][str(status)])["content"][kind]["schema"]
    return jsonschema_rs.Draft202012Validator(_closed(schema), validate_formats=True)


def _closed(schema: Mapping[str, Any], *, is_part: bool = False) -> dict[str, Any]:
    """The schema without references, in which an object has no member that is not described. What an `allOf` is made
    of stays open: the whole is closed."""
    result = dict(resolved(schema))
    if "properties" in result:
        result["properties"] = {name: _closed(member) for name, member in result["properties"].items()}
    for name in ("items", "additionalProperties"):
        if isinstance(result.get(name), dict):
            result[name] = _closed(result[name])
    for name in ("oneOf", "anyOf"):
        if name in result:
            result[name] = [_closed(choice) for choice in result[name]]
    if "allOf" in result:
        result["allOf"] = [_closed(part, is_part=True) for part in result["allOf"]]
    is_described = "properties" in result or "allOf" in result
    if is_described and not is_part and "additionalProperties" not in result:
        result["unevaluatedProperties"] = False
    return result
