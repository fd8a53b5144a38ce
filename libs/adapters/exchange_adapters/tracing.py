"""One command's way through the services, as OpenTelemetry spans of one trace.

The gateway opens the trace (or goes on with its caller's: W3C `traceparent`, or the header of AWS X-Ray); the command
carries it through queue and journal, the order's event on to the settlement. Each service adds its part as a span
under the gateway's. A command that is not sampled carries nothing, so it costs the journal nothing.

Spans go out by OTLP over HTTP where OTEL_EXPORTER_OTLP_ENDPOINT says, sampled as OTEL_TRACES_SAMPLER says: the SDK's
own variables. Without an endpoint they are no-ops.
"""

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

from opentelemetry import propagate, trace
from opentelemetry.context import Context
from opentelemetry.propagators.aws import AwsXRayPropagator
from opentelemetry.propagators.composite import CompositePropagator
from opentelemetry.trace import NonRecordingSpan, Span, SpanContext, SpanKind, TraceFlags
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

_X_RAY: Final = AwsXRayPropagator()
_PROPAGATOR: Final = CompositePropagator([_X_RAY, TraceContextTextMapPropagator()])
_EXPORT_TIMEOUT_S: Final = 2
_ENDPOINT: Final = "OTEL_EXPORTER_OTLP_ENDPOINT"

Attributes = Mapping[str, str | int | bool]


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """A stretch of time within a span; nanoseconds since the Unix epoch."""

    name: str
    start_ns: int
    end_ns: int


def parent_of(headers: Mapping[str, str]) -> Context:
    """The context that a request's headers name; an empty one if they name none."""
    return _PROPAGATOR.extract(headers, context=Context())


def trace_id_of(span: Span) -> str:
    """32 hexadecimal digits; "" for a span of no trace."""
    context = span.get_span_context()
    return trace.format_trace_id(context.trace_id) if context.is_valid else ""


def carrier_of(span: Span) -> str:
    """What a command carries: `<trace id>-<span id>` in hexadecimal, or "" when the request is not sampled."""
    context = span.get_span_context()
    if not context.is_valid or not context.trace_flags.sampled:
        return ""
    return f"{trace.format_trace_id(context.trace_id)}-{trace.format_span_id(context.span_id)}"


def context_of(carrier: str) -> Context | None:
    """The context to go on with; None for what names none."""
    trace_id, _, span_id = carrier.partition("-")
    try:
        context = SpanContext(int(trace_id, 16), int(span_id, 16), is_remote=True, trace_flags=TraceFlags(1))
    except ValueError:
        return None
    return trace.set_span_in_context(NonRecordingSpan(context), Context()) if context.is_valid else None


def x_ray_header(carrier: str) -> str:
    """The same in the form that AWS puts beside a message; "" for what names no trace."""
    context = context_of(carrier)
    if context is None:
        return ""
    fields: dict[str, str] = {}
    _X_RAY.inject(fields, context=context)
    return next(iter(fields.values()))


def record_span(
    service: str,
    name: str,
    carrier: str,
    parts: Sequence[Part],
    *,
    kind: SpanKind = SpanKind.CONSUMER,
    attributes: Attributes,
) -> None:
    """A span that is over: from the start of its first part to the end of its last, a child a part."""
    context = context_of(carrier)
    if context is None:
        return
    tracer = trace.get_tracer(service)
    span = tracer.start_span(
        name, context=context, kind=kind, start_time=parts[0].start_ns, attributes=dict(attributes)
    )
    within = trace.set_span_in_context(span, Context())
    for part in parts:
        tracer.start_span(part.name, context=within, start_time=part.start_ns).end(part.end_ns)
    span.end(parts[-1].end_ns)


@contextmanager
def exporting(service: str) -> Iterator[None]:
    """Send the process's spans out, if an endpoint is named; what waits is sent on leaving, within seconds."""
    propagate.set_global_textmap(_PROPAGATOR)
    if not os.environ.get(_ENDPOINT):
        yield
        return
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter  # the extra `traces`
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    resource = Resource.create(
        {
            "service.namespace": os.environ.get("CROSSBOOK_PREFIX", "crossbook"),
            "service.name": service,
            "service.instance.id": os.environ.get("SERVICE_INSTANCE", service),
        }
    )
    provider = TracerProvider(resource=resource, shutdown_on_exit=False)
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(timeout=_EXPORT_TIMEOUT_S)))
    trace.set_tracer_provider(provider)
    try:
        yield
    finally:
        provider.shutdown()


def flush_spans() -> None:
    """Send what waits, now: for a process that may not run on. Takes _EXPORT_TIMEOUT_S at most, were nobody there."""
    provider = trace.get_tracer_provider()
    if flush := getattr(provider, "force_flush", None):  # the SDK's has it, the API's own has not
        flush(_EXPORT_TIMEOUT_S * 1000)
