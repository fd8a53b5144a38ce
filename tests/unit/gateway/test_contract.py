"""The contract describes what the gateway serves: every route, every code, and nothing else."""

from collections.abc import Iterator, Mapping
from random import Random
from typing import Any

import openapi_spec_validator
import pytest

from exchange_adapters.sim import SimClock, SimCloud
from exchange_adapters.system import Readiness
from exchange_gateway.app import Ports, application, build
from exchange_gateway.problems import Code
from exchange_gateway.rest.contract import document, resolved
from tests.unit.gateway.answers import assert_is_in_the_contract, operations
from tests.unit.gateway.support import FakeDirectory, gateway_config, running_gateway

UNROUTED = {Code.NOT_FOUND, Code.METHOD_NOT_ALLOWED}
"""Answered where there is no operation."""


def codes_of(operation: Mapping[str, Any]) -> Iterator[tuple[int, Code]]:
    for status, response in operation["responses"].items():
        for kind, content in resolved(response).get("content", {}).items():
            if kind == "application/problem+json":
                for code in content["schema"]["allOf"][1]["properties"]["code"]["enum"]:
                    yield int(status), Code(code)


def test_the_document_is_an_openapi_document() -> None:
    openapi_spec_validator.validate(dict(document()))


async def test_every_route_is_in_the_contract_and_nothing_else_is() -> None:
    clock = SimClock()
    cloud, directory, config = SimCloud.build(clock=clock), FakeDirectory(clock), gateway_config()
    ports = Ports(
        clock=clock,
        random=Random(1),
        wallets=cloud.wallets,
        commands=cloud.queues,
        reader=cloud.reader,
        leases=cloud.leases,
        sessions=cloud.sessions,
        api_keys=cloud.api_keys,
        cache=cloud.redis,
        publisher=cloud.redis,
        messages=cloud.redis,
        limiter=cloud.redis,
        once=cloud.redis,
        identity=directory,
        keys=directory,
    )
    app = application(config, ports, build(config, ports), Readiness("http"))
    routes = {
        (route.method, route.resource.canonical)
        for route in app.router.routes()
        if route.resource is not None and route.method != "HEAD"
    }
    assert routes == {(method, path) for method, path, _ in operations()}


def test_every_operation_has_a_name_of_its_own_and_says_who_may() -> None:
    names = [operation["operationId"] for _, _, operation in operations()]
    assert len(names) == len(set(names))
    assert all("security" in operation and operation["tags"] for _, _, operation in operations())


def test_every_code_is_listed_and_given_by_some_operation() -> None:
    assert document()["components"]["schemas"]["ProblemCode"]["enum"] == list(Code)
    given = {code for _, _, operation in operations() for _, code in codes_of(operation)}
    assert given | UNROUTED == set(Code)


def test_every_answer_tells_its_trace_and_its_times() -> None:
    for method, path, operation in operations():
        for status, response in operation["responses"].items():
            headers = resolved(response)["headers"]
            assert {"X-Trace-Id", "Server-Timing", "X-RateLimit-Limit"} <= headers.keys(), (method, path, status)
            if status == "429" or (status == "503" and path != "/readyz"):
                assert "Retry-After" in headers, (method, path, status)


async def test_the_contract_is_served_and_shown_without_anything_from_elsewhere() -> None:
    async with running_gateway() as gateway:
        answer = await gateway.call("GET", "/api/v1/openapi.json")
        assert (answer.status, answer.body) == (200, document())
        page = await gateway.call("GET", "/docs")
        assert page.status == 200 and "://" not in page.text
        assert "default-src 'none'" in page.headers["Content-Security-Policy"]
        for name in ("swagger-ui.css", "swagger-ui-bundle.js", "start.js"):
            assert f"docs/{name}" in page.text
            assert (await gateway.call("GET", f"/docs/{name}")).status == 200
        for name in ("nothing.js", "page.html.gz", "..%2Fcontract.py"):
            assert (await gateway.call("GET", f"/docs/{name}")).code == "not_found"


async def test_what_wants_a_user_refuses_nobody() -> None:
    async with running_gateway() as gateway:
        for method, path, operation in operations():
            query = "?client_order_id=x" if operation["operationId"].endswith("OrderByQuery") else ""
            answer = await gateway.call(method, path.replace("{", "").replace("}", "") + query)
            refused = answer.status == 401 and answer.code == "token_missing"
            assert refused == bool(operation["security"]), (method, path, answer.text)


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"status": 204}, "getTime 204 is not in the contract"),
        ({"body": {"time": "2026-02-17T10:00:00Z", "epoch_ms": 1, "zone": "UTC"}}, "zone"),
        ({"body": {"time": "2026-02-17T10:00:00Z"}}, "epoch_ms"),
        ({"body": {"time": "noon", "epoch_ms": 1}}, "date-time"),
        ({"headers": {"Content-Type": "text/plain"}}, "is not text/plain"),
        ({"headers": {"X-Trace-Id": "x"}}, "X-Trace-Id"),
        ({"headers": {"X-RateLimit-Reset": "-1"}}, "X-RateLimit-Reset"),
        ({"path": "/api/v1/noon"}, "not in the contract"),
        ({"method": "PUT"}, "not in the contract"),
    ],
)
def test_an_answer_that_is_not_in_the_contract_is_noticed(change: dict[str, Any], complaint: str) -> None:
    headers = {
        "Content-Type": "application/json; charset=utf-8",
        "X-Trace-Id": "0a" * 16,
        "Server-Timing": "total;dur=1",
        "X-RateLimit-Limit": "10",
        "X-RateLimit-Remaining": "9",
        "X-RateLimit-Reset": "1",
    }
    answer: dict[str, Any] = {
        "method": "GET",
        "path": "/api/v1/time",
        "status": 200,
        "body": {"time": "2026-02-17T10:00:00Z", "epoch_ms": 1},
    }
    assert_is_in_the_contract(**answer, headers=headers)
    headers |= change.pop("headers", {})
    with pytest.raises((AssertionError, KeyError), match=complaint):
        assert_is_in_the_contract(**(answer | change), headers=headers)
