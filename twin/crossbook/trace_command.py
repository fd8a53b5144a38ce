"""`crossbook trace`: one command's way through the services, as a tree with a line a span."""

import asyncio
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Final

import aiohttp
import typer

from crossbook import control
from crossbook.errors import NotRunningError
from crossbook.state import StateDirectory
from crossbook.terminal import console

TRACES_VARIABLE: Final = "CROSSBOOK_TRACES_URL"
PATIENCE_S: Final = 8.0
"""Spans are sent every half second, and settlement takes its time."""
QUIET_S: Final = 1.5
_POLL_S: Final = 0.3
_BAR: Final = 40
_LISTED_MAX: Final = 20

Span = Mapping[str, Any]


def trace_command(
    trace_id: Annotated[str, typer.Argument(help="The X-Trace-Id of an answer; none: list the newest.")] = "",
    state_dir: Annotated[Path, typer.Option("--state-dir", help="Where the twin keeps its state.")] = Path(".twin"),
) -> None:
    """Show a traced request from the POST to its settlement. One in a hundred is traced, and each whose `traceparent`
    asks for it: `-H "traceparent: 00-$(openssl rand -hex 16)-$(openssl rand -hex 8)-01"`."""
    environment = control.exchange(StateDirectory(state_dir))
    url = environment.get(TRACES_VARIABLE)
    if not url:
        raise NotRunningError("this exchange sends its traces elsewhere")
    if trace_id:
        spans = asyncio.run(collected(url, trace_id))
        if not spans:
            console.print(f"no span of {trace_id} has come: was the request sampled?")
            raise typer.Exit(1)
        for line in tree_lines(spans):
            console.print(line, markup=False)
        return
    for root in asyncio.run(_get(f"{url}/traces"))[:_LISTED_MAX]:
        took_ms = (root["end_ns"] - root["start_ns"]) / 1e6
        console.print(f"{root['trace_id']}  {root['name']:<40} {took_ms:8.1f} ms", markup=False)


async def collected(url: str, trace_id: str) -> list[Span]:
    """The trace once nothing more has come to it for a moment; empty when nothing came in time."""
    deadline_s = time.monotonic() + PATIENCE_S
    spans: list[Span] = []
    quiet_since_s = time.monotonic()
    while time.monotonic() < deadline_s:
        found = await _get(f"{url}/traces/{trace_id}")
        if len(found) != len(spans):
            spans, quiet_since_s = found, time.monotonic()
        elif spans and time.monotonic() - quiet_since_s > QUIET_S:
            break
        await asyncio.sleep(_POLL_S)
    return spans


def tree_lines(spans: Sequence[Span]) -> Iterator[str]:
    """A line a span, children below their parent by start: where it ran, when it began, how long it took."""
    known = {span["span_id"] for span in spans}
    children: dict[str, list[Span]] = {}
    for span in sorted(spans, key=lambda one: (one["start_ns"], -one["end_ns"])):
        children.setdefault(span["parent_id"] if span["parent_id"] in known else "", []).append(span)
    start_ns = min(span["start_ns"] for span in spans)
    length_ns = max(1, max(span["end_ns"] for span in spans) - start_ns)

    def walk(parent: str, depth: int) -> Iterator[str]:
        for span in children.get(parent, []):
            begin, end = span["start_ns"] - start_ns, span["end_ns"] - start_ns
            left = begin * _BAR // length_ns
            width = max(1, (end * _BAR + length_ns - 1) // length_ns - left)
            bar = (" " * left + "█" * width)[:_BAR].ljust(_BAR)
            name = "  " * depth + span["name"]
            yield f"{name:<32} {span['service']:<10} {begin / 1e6:8.1f} {(end - begin) / 1e6:8.1f} ms ▕{bar}▏"
            yield from walk(span["span_id"], depth + 1)

    yield f"{'span':<32} {'service':<10} {'at':>8} {'took':>8}"
    yield from walk("", 0)
    placed = [span["attributes"] for span in spans if "slot" in span["attributes"]]
    slots = {f"{attributes['partition']}:{attributes['slot']}" for attributes in placed}
    if slots:
        yield f"journal slot {', '.join(sorted(slots))}"


async def _get(url: str) -> list[Any]:
    async with aiohttp.ClientSession() as session, session.get(url) as response:
        found: list[Any] = await response.json()
        return found
