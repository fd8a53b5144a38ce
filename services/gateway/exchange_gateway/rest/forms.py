"""What requests must look like: the contract's schemas, each refusal with its stable code and the field it is about.

A schema says what a request is by itself. What it means, against instruments, balances and the market, is checked where
that is known. JSON Schema is validated by jsonschema-rs, on the Decimals as they were parsed: nothing becomes a float.
"""

import re
from collections.abc import Mapping
from functools import cache
from typing import Any, Final

from aiohttp import web
from jsonschema_rs import Draft202012Validator, ValidationError

from exchange_gateway.problems import Code, ProblemError
from exchange_gateway.rest.contract import document, resolved

_VALUE: Final = "value"
"""Stands for the value in what the validator says: a refusal repeats nothing that may be secret."""
_WHOLE: Final = re.compile(r"\d{1,19}")


class BodyForm:
    """One schema of request bodies.

    Where it is made of several that a member tells apart (`discriminator`), only the one that the member names is
    looked at, so that a refusal is about the right one. A member of the others is then `invalid_value`, not unknown.
    """

    def __init__(self, name: str, elsewhere: frozenset[str] = frozenset()) -> None:
        schema = dict(resolved({"$ref": f"#/components/schemas/{name}"}))
        schema.pop("oneOf", None)
        discriminator: Mapping[str, Any] = schema.pop("discriminator", {})
        choices: Mapping[str, str] = {
            kind: reference.rpartition("/")[2] for kind, reference in discriminator.get("mapping", {}).items()
        }
        members = frozenset[str]().union(*[_members(choice) for choice in choices.values()])
        self._told_apart_by: str = discriminator.get("propertyName", "")
        self._choices = {kind: BodyForm(choice, members) for kind, choice in choices.items()}
        self._properties: Mapping[str, Any] = schema.get("properties", {})
        self._order = {name: rank for rank, name in enumerate(self._properties)}
        self._elsewhere = elsewhere
        self._validator = _validator({**schema, "components": {"schemas": _schemas()}})

    def check(self, body: Mapping[str, Any]) -> None:
        """Raise ProblemError unless the body is as the contract says: for unknown members first, then for missing ones,
        then for values, each in the order of the contract."""
        kind = body.get(self._told_apart_by) if self._choices else None
        if isinstance(kind, str) and kind in self._choices:
            self._choices[kind].check(body)
        elif not self._validator.is_valid(body):
            refusals = [self._refusal(error, body) for error in self._validator.iter_errors(body)]
            raise min(refusals, key=self._rank)

    def _refusal(self, error: ValidationError, body: Mapping[str, Any]) -> ProblemError:
        kind, details = error.kind.name, error.kind.as_dict()
        if kind == "additionalProperties":
            return self._unexpected(min(details["unexpected"], key=lambda name: name in self._elsewhere))
        if kind == "required":
            return _missing(details["property"], f"{details['property']} is missing")
        if kind == "minProperties":
            return _missing(next(iter(self._properties)), f"give {' or '.join(self._properties)}")
        field = str(error.instance_path[0]) if error.instance_path else [*self._properties][-1]
        if body.get(field, field) is None:
            return _missing(field, f"{field} is null; leave it out, or give a value")
        described = resolved(self._properties.get(field, {}))
        code = Code(described.get("x-code", Code.INVALID_VALUE))
        return ProblemError(code, _complaint(field, error, described), field=field)

    def _unexpected(self, name: str) -> ProblemError:
        if name in self._elsewhere:
            return ProblemError(Code.INVALID_VALUE, f"{name} does not go with the rest", field=name)
        return ProblemError(Code.UNKNOWN_FIELD, f"unknown field {name[:64]!r}", field=name[:64])

    def _rank(self, refusal: ProblemError) -> tuple[int, int]:
        severity = {Code.UNKNOWN_FIELD: 0, Code.MISSING_FIELD: 1}.get(refusal.code, 2)
        return severity, self._order.get(refusal.members["field"], len(self._order))


class QueryForm:
    """The query's parameters of one operation."""

    def __init__(self, parameters: list[Mapping[str, Any]]) -> None:
        self._parameters = {one["name"]: one for one in parameters}
        self._schemas = {name: resolved(one["schema"]) for name, one in self._parameters.items()}
        self._validators = {name: _validator(schema) for name, schema in self._schemas.items()}
        self._defaults = {name: schema["default"] for name, schema in self._schemas.items() if "default" in schema}
        self._required = [name for name, one in self._parameters.items() if one.get("required")]

    def read(self, query: Mapping[str, str]) -> dict[str, Any]:
        """The parameters that are given, whole numbers as int, and the defaults of the others; raises ProblemError."""
        found = dict(self._defaults)
        for name, text in query.items():
            if name not in self._parameters:  # a filter that is not known must not widen what is done
                raise ProblemError(Code.INVALID_VALUE, f"there is no {name[:64]!r} here", field=name[:64])
            is_whole = self._schemas[name].get("type") == "integer" and _WHOLE.fullmatch(text) is not None
            found[name] = int(text) if is_whole else text
            for error in self._validators[name].iter_errors(found[name]):
                raise ProblemError(Code.INVALID_VALUE, _complaint(name, error, self._schemas[name]), field=name)
        for name in self._required:
            if name not in found:
                raise _missing(name, f"give {name}")
        return found


class OperationForm:
    """What one operation of the contract takes."""

    def __init__(self, item: Mapping[str, Any], operation: Mapping[str, Any]) -> None:
        parameters = [resolved(one) for one in (*item.get("parameters", ()), *operation.get("parameters", ()))]
        self.query = QueryForm([one for one in parameters if one["in"] == "query"])
        body = operation.get("requestBody")
        self._body = None if body is None else body_form(_name(body["content"]["application/json"]["schema"]))

    def check_body(self, body: Mapping[str, Any]) -> None:
        """Raise ProblemError unless the body is as the contract says."""
        assert self._body is not None, "the contract describes no body here"
        self._body.check(body)


@cache
def operation_form(method: str, path: str) -> OperationForm:
    """What the operation takes; `path` with its parameters in braces, as the router has it."""
    item = document()["paths"][path]
    return OperationForm(item, item["get" if method == "HEAD" else method.lower()])


def prepare_forms(router: web.UrlDispatcher) -> None:
    """Make the forms of all routes now: it takes longer than a request should."""
    for route in router.routes():
        assert route.resource is not None, "routes are added with their paths"
        operation_form(route.method, route.resource.canonical)


@cache
def body_form(name: str) -> BodyForm:
    """The form of a schema under `components/schemas`, made once."""
    return BodyForm(name)


def _name(schema: Mapping[str, Any]) -> str:
    assert "$ref" in schema, "the schema of a body has a name"
    return str(schema["$ref"].rpartition("/")[2])


def _members(name: str) -> frozenset[str]:
    return frozenset(resolved({"$ref": f"#/components/schemas/{name}"})["properties"])


@cache
def _schemas() -> Mapping[str, Any]:
    """What bodies may refer to. What is refused alone, as one item of a batch is, does not spoil the whole body."""
    schemas: Mapping[str, Any] = document()["components"]["schemas"]
    return {name: {} if schema.get("x-refused-alone") else schema for name, schema in schemas.items()}


def _validator(schema: Mapping[str, Any]) -> Draft202012Validator:
    return Draft202012Validator(dict(schema), mask=_VALUE)


def _missing(name: str, detail: str) -> ProblemError:
    return ProblemError(Code.MISSING_FIELD, detail, field=name)


def _complaint(field: str, error: ValidationError, described: Mapping[str, Any]) -> str:
    """For people. A choice between schemas cannot say what was wrong, but its description what is right."""
    if error.kind.name == "enum":
        return f"{field} must be one of {', '.join(map(str, error.kind.as_dict()['options']))}"
    if "oneOf" in described and "description" in described:
        return f"{field} is not as described: {described['description']}"
    return error.message.replace(_VALUE, field, 1)
