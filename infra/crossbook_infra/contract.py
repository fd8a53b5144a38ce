"""The gateway's OpenAPI document as API Gateway takes it: OpenAPI 3.0 with its extensions.

Kept of each operation: parameters, the body's schema, who may call it. API Gateway checks what it can (a required
parameter, the form of a body) and the gateway checks all of it again. A keyword that API Gateway does not know stops
the synth, unless it only describes: dropped in silence it would be a check less.
"""

from collections.abc import Mapping
from enum import Enum
from pathlib import Path
from typing import Any, Final

import yaml

Document = dict[str, Any]

CONTRACT: Final = Path(__file__).parents[2] / "services" / "gateway" / "exchange_gateway" / "openapi.yaml"
METHODS: Final = ("get", "post", "put", "patch", "delete")
NOT_PUBLIC: Final = frozenset({"/healthz", "/readyz"})
"""For load balancers only."""
ACCESS_TOKEN_SCOPE: Final = "aws.cognito.signin.user.admin"  # noqa: S105 - the scope that a log-in by password has
VALIDATOR: Final = "all"
_SCHEMAS: Final = "#/components/schemas/"
_DESCRIBING: Final = frozenset({"description", "title", "example", "examples", "default", "discriminator", "format"})
_TAKEN: Final = frozenset(
    {
        *("type", "enum", "properties", "required", "additionalProperties", "items", "oneOf", "allOf", "anyOf", "$ref"),
        *("pattern", "minLength", "maxLength", "minimum", "maximum", "minItems", "maxItems", "uniqueItems"),
        *("minProperties", "maxProperties", "multipleOf"),
    }
)


class Callers(Enum):
    """Whom an API is for: people and programs with an access token, or bots that sign with a key of the gateway's."""

    USERS = "users"
    BOTS = "bots"


class UnknownKeywordError(Exception):
    """The contract says something that API Gateway would not check."""


def read_contract() -> Document:
    """The gateway's own document."""
    document = yaml.safe_load(CONTRACT.read_text())
    assert isinstance(document, dict)
    return document


def rest_api(
    contract: Mapping[str, Any], callers: Callers, *, title: str, authorizer: Document, integration: Document
) -> Document:
    """The document of one API. `integration` has `{path}` in its uri; `authorizer` is the security scheme of USERS."""
    schemas: Document = {}
    paths: Document = {}
    for path, item in contract["paths"].items():
        if path in NOT_PUBLIC:
            continue
        operations = {
            method: _operation(contract, path, item, method, callers, integration, schemas)
            for method in METHODS
            if method in item and _is_for(item[method], callers)
        }
        if operations:
            paths[path] = operations
    scheme = authorizer if callers is Callers.USERS else {"type": "apiKey", "name": "x-api-key", "in": "header"}
    return {
        "openapi": "3.0.1",
        "info": {"title": title, "version": str(contract["info"]["version"])},
        "paths": paths,
        "components": {"schemas": schemas, "securitySchemes": {callers.value: scheme}},
        "x-amazon-apigateway-request-validators": {
            VALIDATOR: {"validateRequestBody": True, "validateRequestParameters": True}
        },
        "x-amazon-apigateway-request-validator": VALIDATOR,
        "x-amazon-apigateway-api-key-source": "HEADER",
        "x-amazon-apigateway-gateway-responses": _refusals(),
    }


def _security(operation: Mapping[str, Any]) -> list[set[str]]:
    return [set(alternative) for alternative in operation.get("security", [])]


def _is_for(operation: Mapping[str, Any], callers: Callers) -> bool:
    """Bots get what a key suffices for; market data, which anybody may have, too."""
    security = _security(operation)
    return callers is Callers.USERS or not security or any("ApiKey" in one for one in security)


def _operation(
    contract: Mapping[str, Any],
    path: str,
    item: Mapping[str, Any],
    method: str,
    callers: Callers,
    integration: Document,
    schemas: Document,
) -> Document:
    source = item[method]
    parameters = [_resolved(contract, one) for one in (*item.get("parameters", []), *source.get("parameters", []))]
    operation: Document = {
        "operationId": source["operationId"],
        "parameters": [_parameter(parameter) for parameter in parameters],
        "responses": {"default": {"description": "See the gateway's own document."}},
        "x-amazon-apigateway-integration": _integration(integration, path, method, parameters),
    }
    if "requestBody" in source:
        schema = source["requestBody"]["content"]["application/json"]["schema"]
        operation["requestBody"] = {
            "required": bool(source["requestBody"].get("required")),
            "content": {"application/json": {"schema": _schema(contract, schema, schemas)}},
        }
    if callers is Callers.BOTS:
        operation["security"] = [{callers.value: []}]
    elif any("AccessToken" in alternative for alternative in _security(source)):
        operation["security"] = [{callers.value: [ACCESS_TOKEN_SCOPE]}]
    return operation


def _resolved(contract: Mapping[str, Any], parameter: Mapping[str, Any]) -> Mapping[str, Any]:
    if "$ref" not in parameter:
        return parameter
    resolved: Mapping[str, Any] = contract["components"]["parameters"][parameter["$ref"].rpartition("/")[2]]
    return resolved


def _parameter(parameter: Mapping[str, Any]) -> Document:
    return {
        "name": parameter["name"],
        "in": parameter["in"],
        "required": bool(parameter.get("required")),
        "schema": {"type": "string"},
    }


def _integration(template: Document, path: str, method: str, parameters: list[Mapping[str, Any]]) -> Document:
    """The request as it came, to the same path of the gateway."""
    in_path = [parameter["name"] for parameter in parameters if parameter["in"] == "path"]
    return {
        **template,
        "uri": template["uri"].replace("{path}", path),
        "httpMethod": method.upper(),
        "requestParameters": {f"integration.request.path.{name}": f"method.request.path.{name}" for name in in_path},
    }


def _schema(contract: Mapping[str, Any], schema: Any, schemas: Document) -> Any:
    """The schema in draft 4, which API Gateway validates by; what it refers to is collected in `schemas`."""
    if not isinstance(schema, dict):
        return schema
    if "$ref" in schema:
        name = schema["$ref"].removeprefix(_SCHEMAS)
        if name not in schemas:
            schemas[name] = {}  # known before it is built: a schema may refer to itself
            schemas[name] = _schema(contract, contract["components"]["schemas"][name], schemas)
        return {"$ref": f"{_SCHEMAS}{name}"}
    built: Document = {}
    for keyword, value in schema.items():
        if keyword in _DESCRIBING or keyword.startswith("x-"):
            continue
        if keyword == "const":
            built["enum"] = [value]
        elif keyword == "properties":
            built[keyword] = {name: _schema(contract, one, schemas) for name, one in value.items()}
        elif keyword in {"oneOf", "allOf", "anyOf"}:
            built[keyword] = [_schema(contract, one, schemas) for one in value]
        elif keyword in {"items", "additionalProperties"}:
            built[keyword] = _schema(contract, value, schemas)
        elif keyword in _TAKEN:
            built[keyword] = value
        else:
            raise UnknownKeywordError(f"API Gateway does not check `{keyword}`")
    return built


def _refusals() -> Document:
    """What API Gateway refuses itself, in the form and with the codes of the gateway's problem documents."""
    kinds = {
        "BAD_REQUEST_BODY": (400, "bad_request", "The body is not what the API takes"),
        "BAD_REQUEST_PARAMETERS": (400, "bad_request", "A parameter is missing"),
        "UNAUTHORIZED": (401, "token_invalid", "The access token is missing, wrong or expired"),
        "ACCESS_DENIED": (403, "forbidden", "Not allowed"),
        "INVALID_API_KEY": (403, "forbidden", "The key of the usage plan is missing or wrong"),
        "WAF_FILTERED": (403, "forbidden", "The request looks like an attack"),
        "MISSING_AUTHENTICATION_TOKEN": (404, "not_found", "There is nothing here"),
        "REQUEST_TOO_LARGE": (413, "body_too_large", "The body is too large"),
        "THROTTLED": (429, "too_many_requests", "Too many requests"),
        "QUOTA_EXCEEDED": (429, "too_many_requests", "The quota of the usage plan is used up"),
        "INTEGRATION_FAILURE": (503, "service_unavailable", "The gateway does not answer"),
        "INTEGRATION_TIMEOUT": (503, "outcome_unknown", "The gateway did not answer in time; ask by id"),
        "DEFAULT_5XX": (503, "service_unavailable", "Something failed before the gateway"),
    }
    return {kind: _refusal(status, code, title) for kind, (status, code, title) in kinds.items()}


def _refusal(status: int, code: str, title: str) -> Document:
    problem = f'{{"type": "about:blank", "title": "{title}", "status": {status}, "code": "{code}"}}'
    headers = {"gatewayresponse.header.Content-Type": "'application/problem+json'"}
    if status in {429, 503}:
        headers["gatewayresponse.header.Retry-After"] = "'1'"
    return {
        "statusCode": str(status),
        "responseParameters": headers,
        "responseTemplates": {"application/json": problem},
    }
