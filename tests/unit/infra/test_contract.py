import copy
import json
from typing import Any

import pytest
from crossbook_infra.contract import (
    ACCESS_TOKEN_SCOPE,
    METHODS,
    NOT_PUBLIC,
    Callers,
    UnknownKeywordError,
    read_contract,
    rest_api,
)

from exchange_gateway.problems import PROBLEMS, Code

CONTRACT = read_contract()
INTEGRATION = {"type": "http_proxy", "uri": "https://api.test{path}", "connectionType": "VPC_LINK"}


def converted(callers: Callers, contract: dict[str, Any] = CONTRACT) -> dict[str, Any]:
    return rest_api(contract, callers, title="api", authorizer={"type": "apiKey"}, integration=INTEGRATION)


@pytest.fixture(scope="module", params=Callers, ids=lambda callers: callers.value)
def document(request: pytest.FixtureRequest) -> dict[str, Any]:
    return converted(request.param)


def test_users_reach_every_operation_but_those_for_load_balancers() -> None:
    document = converted(Callers.USERS)
    wanted = {
        (path, method)
        for path, item in CONTRACT["paths"].items()
        for method in METHODS
        if method in item and path not in NOT_PUBLIC
    }
    assert {(path, method) for path, item in document["paths"].items() for method in item} == wanted


def test_an_operation_asks_for_a_token_exactly_where_the_gateway_does() -> None:
    document = converted(Callers.USERS)
    for path, item in document["paths"].items():
        for method, operation in item.items():
            needs_token = any("AccessToken" in one for one in CONTRACT["paths"][path][method].get("security", []))
            assert operation.get("security") == ([{"users": [ACCESS_TOKEN_SCOPE]}] if needs_token else None)


def test_bots_reach_what_a_signature_suffices_for_and_always_need_the_plans_key() -> None:
    document = converted(Callers.BOTS)
    assert "post" in document["paths"]["/api/v1/order"]
    assert "/api/v1/sessions/refresh" not in document["paths"] or not CONTRACT["paths"]["/api/v1/sessions/refresh"][
        "post"
    ].get("security")
    for item in document["paths"].values():
        for operation in item.values():
            assert operation["security"] == [{"bots": []}]


def test_every_request_goes_to_its_own_path_of_the_gateway(document: dict[str, Any]) -> None:
    for path, item in document["paths"].items():
        for method, operation in item.items():
            integration = operation["x-amazon-apigateway-integration"]
            assert (integration["uri"], integration["httpMethod"]) == (f"https://api.test{path}", method.upper())
            mapped = {name.rpartition(".")[2] for name in integration["requestParameters"]}
            assert mapped == {part.strip("{}") for part in path.split("/") if part.startswith("{")}


def test_schemas_are_those_of_draft_4_and_complete(document: dict[str, Any]) -> None:
    schemas = document["components"]["schemas"]
    text = json.dumps(document)
    for name in schemas:
        assert name.isalnum()
    for keyword in ("const", "discriminator", "x-code", "$defs"):
        assert f'"{keyword}"' not in text
    named = {part.partition('"')[0] for part in text.split("#/components/schemas/")[1:]}
    assert named == set(schemas)


def test_a_keyword_that_api_gateway_would_ignore_stops_the_conversion() -> None:
    contract = copy.deepcopy(CONTRACT)
    contract["components"]["schemas"]["Symbol"]["if"] = {"type": "string"}
    with pytest.raises(UnknownKeywordError, match="if"):
        converted(Callers.USERS, contract)


def test_what_api_gateway_refuses_has_the_codes_of_the_gateway(document: dict[str, Any]) -> None:
    for refusal in document["x-amazon-apigateway-gateway-responses"].values():
        problem = json.loads(refusal["responseTemplates"]["application/json"])
        assert PROBLEMS[Code(problem["code"])][0] == problem["status"] == int(refusal["statusCode"])
