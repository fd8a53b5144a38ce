"""What a command carries of its trace, and what becomes of it at the other end."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

import pytest
from opentelemetry import trace
from opentelemetry.trace import NonRecordingSpan, SpanContext, TraceFlags

from exchange_adapters.tracing import Part, carrier_of, context_of, parent_of, record_span, trace_id_of, x_ray_header

TRACE_ID, SPAN_ID = 0x4BF92F3577B34DA6A3CE929D0E0E4736, 0x00F067AA0BA902B7
CARRIER = "4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7"


def span(flags: int) -> NonRecordingSpan:
    return NonRecordingSpan(SpanContext(TRACE_ID, SPAN_ID, is_remote=False, trace_flags=TraceFlags(flags)))


def test_a_sampled_span_is_carried_and_found_again():
    assert carrier_of(span(1)) == CARRIER
    found = trace.get_current_span(context_of(CARRIER)).get_span_context()
    assert (found.trace_id, found.span_id, found.trace_flags.sampled) == (TRACE_ID, SPAN_ID, True)


def test_what_is_not_sampled_is_not_carried():
    assert carrier_of(span(0)) == ""
    assert trace_id_of(span(0)) == CARRIER[:32], "but it has its id"
    assert carrier_of(trace.INVALID_SPAN) == "" and trace_id_of(trace.INVALID_SPAN) == ""


@pytest.mark.parametrize(
    "carrier", ["", "x", CARRIER[:32], f"{'0' * 32}-{'0' * 16}", f"{CARRIER}-1", "-", "g" * 32 + "-1"]
)
def test_what_names_no_trace_is_passed_over(carrier):
    assert context_of(carrier) is None
    assert x_ray_header(carrier) == ""
    record_span("matcher", "slot", carrier, [Part(name="match", start_ns=1, end_ns=2)], attributes={})


def test_the_queue_shows_it_as_aws_does():
    assert x_ray_header(CARRIER) == "Root=1-4bf92f35-77b34da6a3ce929d0e0e4736;Parent=00f067aa0ba902b7;Sampled=1"


def test_the_context_of_this_process_is_no_callers():
    with trace.use_span(span(1)):
        assert trace.get_current_span(parent_of({})) is trace.INVALID_SPAN


FROZEN = """
from exchange_adapters.tracing import Part, exporting, flush_spans, record_span

with exporting("persister"):
    part = Part(name="rows", start_ns=1, end_ns=2)
    record_span("persister", "settlement", "{carrier}", [part], attributes={{"slot": 7}})
    flush_spans()
    print("flushed", flush=True)
    input()
"""


@contextmanager
def collecting() -> Iterator[tuple[str, list[bytes]]]:
    """A collector: its endpoint, and what it was sent."""
    received: list[bytes] = []

    class Collector(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            assert self.path == "/v1/traces"
            received.append(self.rfile.read(int(self.headers["Content-Length"])))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *args: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Collector) as server:
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}", received
        server.shutdown()
        thread.join()


def test_spans_are_out_before_a_process_that_flushes_them_is_frozen():
    with collecting() as (endpoint, received):
        process = subprocess.Popen(
            [sys.executable, "-c", FROZEN.format(carrier=CARRIER)],
            env={"OTEL_EXPORTER_OTLP_ENDPOINT": endpoint},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert process.stdout is not None
        assert process.stdout.readline() == "flushed\n"
        assert len(received) == 1 and b"settlement" in received[0] and b"rows" in received[0]
        process.communicate("\n", timeout=20)
    assert process.returncode == 0
