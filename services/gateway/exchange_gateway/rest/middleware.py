"""Around every request: its trace id, its log context, its times, and that whatever fails is told as a problem."""

import secrets
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final

import structlog
from aiohttp import hdrs, web
from aiohttp.http_exceptions import HttpProcessingError
from opentelemetry import trace
from opentelemetry.trace import SpanKind

from exchange_adapters.emf import recorder
from exchange_adapters.group_commit import QueueFullError
from exchange_adapters.metrics import (
    ENQUEUE_LATENCY_MS,
    HOLD_LATENCY_MS,
    REQUEST_LATENCY_MS,
    REQUESTS_FAILED,
    REQUESTS_LIMITED,
)
from exchange_adapters.tokens import AuthenticationError, SessionRevokedError, TokenExpiredError, TokenInvalidError
from exchange_adapters.tracing import carrier_of, parent_of, trace_id_of
from exchange_core.errors import Fatal, PortError, Throttled
from exchange_gateway.access.rate_gate import Admission, RateGate
from exchange_gateway.access.sessions import Authenticator
from exchange_gateway.problems import PROBLEMS, Code, ProblemError, problem_response
from exchange_gateway.rest.forms import operation_form
from exchange_gateway.stages import Stages

TRACE_ID: Final = web.RequestKey("trace_id", str)
CARRIER: Final = web.RequestKey("carrier", str)
"""What the request's commands carry as `trace_id`, so that what becomes of them joins its trace."""
ADMISSION: Final = web.RequestKey("admission", Admission)
STAGES: Final = web.RequestKey("stages", Stages)
QUERY: Final = web.RequestKey("query", Mapping[str, Any])
_TRACER: Final = trace.get_tracer("gateway")
_API: Final = "/api/"
"""Probes are neither traced nor counted."""
_HTTP_CODES: Final = {
    404: Code.NOT_FOUND,
    405: Code.METHOD_NOT_ALLOWED,
    413: Code.BODY_TOO_LARGE,
}
_REFUSED_TOKENS: Final[Mapping[type[AuthenticationError], Code]] = {
    TokenInvalidError: Code.TOKEN_INVALID,
    TokenExpiredError: Code.TOKEN_EXPIRED,
    SessionRevokedError: Code.SESSION_REVOKED,
}

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

log = structlog.get_logger()


class Surroundings:
    """The one middleware. Asks the rate limits, and refuses more than `in_flight_max` requests in flight."""

    def __init__(self, gate: RateGate, authenticator: Authenticator, in_flight_max: int) -> None:
        self._gate = gate
        self._authenticator = authenticator
        self._in_flight_max = in_flight_max
        self._in_flight = 0

    @web.middleware
    async def surround(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Serve one request. A response is always given, with trace id, times and limits."""
        if not request.path.startswith(_API):
            request[CARRIER] = ""
            return await self._serve(request, handler, secrets.token_hex(16))
        route = request.match_info.route.resource
        name = f"{request.method} {route.canonical if route else 'nothing'}"
        with _TRACER.start_as_current_span(name, context=parent_of(request.headers), kind=SpanKind.SERVER) as span:
            request[CARRIER] = carrier_of(span)
            response = await self._serve(request, handler, trace_id_of(span) or secrets.token_hex(16))
            span.set_attribute("http.response.status_code", response.status)
            return response

    async def _serve(self, request: web.Request, handler: Handler, trace_id: str) -> web.StreamResponse:
        request[TRACE_ID] = trace_id
        stages = request[STAGES] = Stages()
        admission = request[ADMISSION] = self._gate.admission(request)
        # A connection's requests share one task and so one context: what is bound here must be unbound.
        structlog.contextvars.bind_contextvars(trace_id=trace_id)
        self._in_flight += 1
        try:
            with stages.measure("ratelimit"):
                await admission.enter(self._authenticator.recognised(request.headers.get(hdrs.AUTHORIZATION)))
            if self._in_flight > self._in_flight_max:
                raise ProblemError(Code.OVERLOADED, "too many requests are being served")
            request[QUERY] = read_query(request)
            response = await handler(request)
        except Exception as error:  # each becomes a document; nothing of it but the code gets out
            response = problem_response(problem_of(error, request), trace_id)
        finally:
            self._in_flight -= 1
            structlog.contextvars.unbind_contextvars("trace_id", "order_id", "symbol")
        response.headers["X-Trace-Id"] = trace_id
        response.headers["Server-Timing"] = stages.header()
        response.headers.update(admission.headers())
        response.headers["Server"] = "crossbook"
        response.headers.setdefault("Cache-Control", "no-store")
        if request.path.startswith(_API):
            _record(stages, response.status)
        return response


def _record(stages: Stages, status: int) -> None:
    recorder.timing(REQUEST_LATENCY_MS, stages.total_ms())
    for stage, metric in (("wallet", HOLD_LATENCY_MS), ("enqueue", ENQUEUE_LATENCY_MS)):
        took_ms = stages.duration_ms(stage)
        if took_ms is not None:
            recorder.timing(metric, took_ms)
    if status >= 500:
        recorder.count(REQUESTS_FAILED)
    elif status == web.HTTPTooManyRequests.status_code:
        recorder.count(REQUESTS_LIMITED)


def read_query(request: web.Request) -> Mapping[str, Any]:
    """The query's parameters as the contract describes them; raises ProblemError. Empty where nothing is routed."""
    resource = request.match_info.route.resource
    return {} if resource is None else operation_form(request.method, resource.canonical).query.read(request.query)


def problem_of(error: Exception, request: web.Request) -> ProblemError:
    """How an exception is told to the client; logs what is our own failure."""
    match error:
        case ProblemError():
            problem = error
        case AuthenticationError():
            problem = ProblemError(_REFUSED_TOKENS[type(error)], str(error))
        case web.HTTPException():
            problem = _http_problem(error)
        case HttpProcessingError() | web.RequestPayloadError():
            problem = ProblemError(Code.BAD_REQUEST, "the body cannot be read")
        case QueueFullError():
            problem = ProblemError(Code.OVERLOADED, "too many requests are waiting; nothing was done")
        case Throttled():
            problem = ProblemError(Code.OVERLOADED, "a part of the exchange asks for a slower pace")
        case Fatal():
            log.error("request_failed", method=request.method, path=request.path, error=f"Fatal: {error}")
            problem = ProblemError(Code.INTERNAL_ERROR, "the gateway failed; the trace id tells us where")
        case PortError():
            log.warning(
                "port_failed", method=request.method, path=request.path, error=f"{type(error).__name__}: {error}"
            )
            problem = ProblemError(Code.SERVICE_UNAVAILABLE, "a part of the exchange cannot be reached; try again")
        case _:
            log.error("request_failed", method=request.method, path=request.path, exc_info=error)
            problem = ProblemError(Code.INTERNAL_ERROR, "the gateway failed; the trace id tells us where")
    log.debug("request_refused", method=request.method, path=request.path, code=problem.code, status=problem.status)
    return problem


def _http_problem(error: web.HTTPException) -> ProblemError:
    if error.status < 400:
        return ProblemError(Code.NOT_FOUND, "nothing is here")
    code = _HTTP_CODES.get(error.status, Code.BAD_REQUEST)
    headers = {"Allow": error.headers[hdrs.ALLOW]} if hdrs.ALLOW in error.headers else None
    status = error.status if code is Code.BAD_REQUEST else None
    return ProblemError(code, PROBLEMS[code][1].lower(), status=status, headers=headers)
