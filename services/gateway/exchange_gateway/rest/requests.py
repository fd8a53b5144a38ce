"""Reading requests and writing answers: the few things that all routes do alike."""

import re
from collections.abc import Mapping
from typing import Any, Final

from aiohttp import hdrs, web

from exchange_adapters.tokens import Principal
from exchange_core.ids import parse_id
from exchange_core.ports import KeyScope
from exchange_gateway.access.rate_gate import Admission
from exchange_gateway.access.sessions import Authenticator
from exchange_gateway.access.signatures import SIGNATURE
from exchange_gateway.exact_json import dumps, parse_object
from exchange_gateway.fields import invalid, time_ms, writable_time_ms
from exchange_gateway.problems import Code, ProblemError
from exchange_gateway.rest.forms import operation_form
from exchange_gateway.rest.middleware import ADMISSION, CARRIER, QUERY, STAGES, TRACE_ID
from exchange_gateway.stages import Stages

BODY_BYTES_MAX: Final = 64 * 1024
WAIT_MAX_S: Final = 10.0
_WAIT: Final = re.compile(r"(?:^|[,;\s])wait=(\d{1,4}(?:\.\d{1,3})?)\b")
_WHOLE: Final = re.compile(r"\d{1,19}")


def stages_of(request: web.Request) -> Stages:
    """The times of this request."""
    return request[STAGES]


def admission_of(request: web.Request) -> Admission:
    """How this request stands with the rate limits."""
    return request[ADMISSION]


def trace_id_of(request: web.Request) -> str:
    """The trace id of this request, sampled or not."""
    return request[TRACE_ID]


def carrier_of(request: web.Request) -> str:
    """What this request's commands carry as `trace_id`: "" unless it is sampled."""
    return request[CARRIER]


async def read_body(request: web.Request) -> dict[str, Any]:
    """The JSON object in the body, as the contract describes it; raises ProblemError, or aiohttp's own when it is too
    large."""
    body = parse_object(await request.read())
    resource = request.match_info.route.resource
    assert resource is not None, "a handler has a route"
    operation_form(request.method, resource.canonical).check_body(body)
    return body


def query_of(request: web.Request) -> Mapping[str, Any]:
    """The query's parameters as the contract describes them, with its defaults."""
    return request[QUERY]


async def authenticate(authenticator: Authenticator, request: web.Request) -> Principal:
    """Who sends this; raises ProblemError or AuthenticationError: each a 401. Then the user's own rate limit counts.

    A key that only reads is refused whatever changes something, as `forbidden`, and the other way round.
    """
    stages = stages_of(request)
    with stages.measure("auth"):
        principal = await authenticator.principal(request)
    with stages.measure("ratelimit"):
        await admission_of(request).recognise(principal.user_id)
    scope = KeyScope.READ if request.method in (hdrs.METH_GET, hdrs.METH_HEAD) else KeyScope.TRADE
    if principal.key_scopes is not None and scope not in principal.key_scopes:
        raise ProblemError(Code.FORBIDDEN, f"the API key lacks the scope {scope}", scope=scope)
    return principal


async def authenticate_session(authenticator: Authenticator, request: web.Request) -> Principal:
    """The same, for what takes a log-in and no API key; raises ProblemError `forbidden`."""
    principal = await authenticate(authenticator, request)
    if principal.key_scopes is not None:
        raise ProblemError(Code.FORBIDDEN, "no API key may do this: log in")
    return principal


async def authenticate_operator(authenticator: Authenticator, request: web.Request) -> Principal:
    """The same, for what only operators may do; raises ProblemError `forbidden`."""
    principal = await authenticate_session(authenticator, request)
    if not principal.is_operator:
        raise ProblemError(Code.FORBIDDEN, "only operators may do this")
    return principal


def client_order_id_of(request: web.Request, item: int = 0) -> str | None:
    """For an order that has no client id of its own: what makes it the same order if the signed request is replayed
    where its signature was not seen. None for a request that was not signed; `item` counts those of a batch."""
    signature = request.get(SIGNATURE)
    return None if signature is None else f"signed-{signature[:32]}-{item}"


def wait_s_of(request: web.Request) -> float:
    """The seconds that `Prefer: wait=N` asks for (RFC 7240), at most WAIT_MAX_S; 0 without it."""
    match = _WAIT.search(request.headers.get("Prefer", ""))
    return min(WAIT_MAX_S, float(match[1])) if match else 0.0


def limit_of(request: web.Request) -> int:
    """The query's `limit`, or its default."""
    return int(query_of(request)["limit"])


def cursor_of(request: web.Request, parts: int) -> tuple[str, ...] | None:
    """The `cursor` of an earlier answer's `next_cursor`, in as many parts as it was made of."""
    text = query_of(request).get("cursor")
    if text is None:
        return None
    found = tuple(text.split("~"))
    if len(found) != parts:
        raise invalid("cursor", "cursor must be a next_cursor of an earlier answer")
    return found


def order_id_of(text: str) -> int:
    """An order id; raises ProblemError `order_not_found` for what cannot be one."""
    order_id = parse_id(text)
    if order_id is None:
        raise ProblemError(Code.ORDER_NOT_FOUND, "you have no such order")
    return order_id


def whole_number(name: str, text: str) -> int:
    """A number of up to 63 bits in a text of a query, as a part of a cursor."""
    if _WHOLE.fullmatch(text) is None or int(text) >= 1 << 63:
        raise invalid(name, f"{name} must be a whole number")
    return int(text)


def time_ms_of(request: web.Request, name: str) -> int | None:
    """A time of a query: milliseconds of the epoch, or ISO 8601 with its offset from UTC; None without it."""
    text = query_of(request).get(name)
    if text is None:
        return None
    if _WHOLE.fullmatch(text):
        return writable_time_ms(name, int(text))
    return time_ms(name, text.replace(" ", "+")[:40])  # what a plus sign becomes in a query


def json_answer(value: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> web.Response:
    """A response with this JSON."""
    return web.Response(body=dumps(value), status=status, content_type="application/json", headers=headers)
