"""Collects the services' spans for a twin: an OTLP receiver in the supervisor, in memory, the newest traces only.

Stands where the X-Ray daemon or an OpenTelemetry collector would. `GET /traces` gives the first span of each, newest
first, `GET /traces/<id>` all of one.
"""

import gzip
from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from typing import Any, Final, Self

import orjson
from aiohttp import web
from google.protobuf.message import DecodeError
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)

from crossbook.ports import LOOPBACK

TRACES_MAX: Final = 1_000
SPANS_MAX: Final = 200
"""Of one trace; what comes after is dropped."""
BODY_BYTES_MAX: Final = 8 * 1024 * 1024
SAMPLED: Final = "0.01"
"""The part of all requests that is traced, beside those whose caller asks for it by its `traceparent`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CollectedSpan:
    """One span; times in nanoseconds since the Unix epoch, ids in hexadecimal, `parent_id` empty for a root."""

    trace_id: str
    span_id: str
    parent_id: str
    service: str
    name: str
    start_ns: int
    end_ns: int
    attributes: dict[str, Any] = field(default_factory=dict)


class TraceCollector:
    """Receives and keeps. Lifecycle: `async with`; `url` is known from then on."""

    def __init__(self) -> None:
        self._traces: OrderedDict[str, list[CollectedSpan]] = OrderedDict()
        self._runner: web.AppRunner | None = None
        self.url = ""

    async def __aenter__(self) -> Self:
        app = web.Application(client_max_size=BODY_BYTES_MAX)
        app.router.add_post("/v1/traces", self._receive)
        app.router.add_get("/traces", self._list)
        app.router.add_get("/traces/{trace_id}", self._show)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=1.0)
        await self._runner.setup()
        site = web.TCPSite(self._runner, LOOPBACK, 0)
        await site.start()
        self.url = f"http://{LOOPBACK}:{self._runner.addresses[0][1]}"
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._runner is not None
        await self._runner.cleanup()

    @property
    def service_environment(self) -> dict[str, str]:
        """The SDK's own variables, for a service whose spans are to come here."""
        return {
            "OTEL_EXPORTER_OTLP_ENDPOINT": self.url,
            "OTEL_TRACES_SAMPLER": "parentbased_traceidratio",
            "OTEL_TRACES_SAMPLER_ARG": SAMPLED,
            "OTEL_BSP_SCHEDULE_DELAY": "500",
        }

    def trace(self, trace_id: str) -> list[CollectedSpan]:
        """Its spans so far, by start."""
        return sorted(self._traces.get(trace_id, []), key=lambda span: (span.start_ns, -span.end_ns))

    def keep(self, spans: Iterable[CollectedSpan]) -> None:
        """Take spans in; the traces that were touched least lately go."""
        for span in spans:
            kept = self._traces.setdefault(span.trace_id, [])
            self._traces.move_to_end(span.trace_id)
            if len(kept) < SPANS_MAX:
                kept.append(span)
        while len(self._traces) > TRACES_MAX:
            self._traces.popitem(last=False)

    async def _receive(self, request: web.Request) -> web.Response:
        body = await request.read()
        if request.headers.get("Content-Encoding") == "gzip" and body[:2] == b"\x1f\x8b":
            body = gzip.decompress(body)
        try:
            self.keep(spans_of(body))
        except DecodeError:
            return web.Response(status=400)
        return web.Response(
            body=ExportTraceServiceResponse().SerializeToString(), content_type="application/x-protobuf"
        )

    async def _list(self, _: web.Request) -> web.Response:
        return _json([asdict(self.trace(trace_id)[0]) for trace_id in reversed(self._traces)])

    async def _show(self, request: web.Request) -> web.Response:
        return _json([asdict(span) for span in self.trace(request.match_info["trace_id"])])


def spans_of(body: bytes) -> list[CollectedSpan]:
    """The spans of an OTLP request; raises protobuf's DecodeError."""
    request = ExportTraceServiceRequest.FromString(body)
    return [
        CollectedSpan(
            trace_id=span.trace_id.hex(),
            span_id=span.span_id.hex(),
            parent_id=span.parent_span_id.hex(),
            service=_values(resource.resource.attributes).get("service.name", ""),
            name=span.name,
            start_ns=span.start_time_unix_nano,
            end_ns=span.end_time_unix_nano,
            attributes=_values(span.attributes),
        )
        for resource in request.resource_spans
        for scope in resource.scope_spans
        for span in scope.spans
    ]


def _values(attributes: Iterable[Any]) -> dict[str, Any]:
    return {one.key: getattr(one.value, one.value.WhichOneof("value") or "string_value") for one in attributes}


def _json(value: Any) -> web.Response:
    return web.Response(body=orjson.dumps(value), content_type="application/json")
