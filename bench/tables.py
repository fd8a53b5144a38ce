"""The figures for a terminal, each ratio beside what it compares."""

from collections.abc import Sequence

from rich import box
from rich.table import Table

from bench.core import CoreResult
from bench.exchange import CostResult, ProbeResult
from bench.open_loop import LoadResult
from bench.recovery import CatchUpResult, RecoveryResult
from bench.state import StateResult
from crossbook.replay.report import DESIGN_ACCEPT_MS

CALLS_SHOWN = 10


def _table(title: str, *columns: str) -> Table:
    table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD)
    for number, column in enumerate(columns):
        table.add_column(column, justify="left" if number == 0 else "right", overflow="fold")
    return table


def core_table(results: Sequence[CoreResult]) -> Table:
    """Ours and bourse on the same commands; the same trades prove that they did the same."""
    table = _table(
        "The matching core, all events made, per second of CPU time on one core",
        "flow",
        "engine",
        "operations/s",
        "of bourse",
        "trades",
        "journal bytes/operation",
    )
    for result in results:
        other = next((one for one in results if one.flow == result.flow and one.engine == "bourse"), None)
        share = f"{result.operations_per_s / other.operations_per_s:.0%}" if other is not None else "not installed"
        size = result.journal_bytes_per_operation
        table.add_row(
            f"{result.flow}, {result.operations:,}",
            result.engine,
            f"{result.operations_per_s:,.0f}",
            share,
            f"{result.trades:,} ({result.volume:,} lots)",
            "" if size is None else f"{size:.1f}",
        )
    return table


def load_table(results: Sequence[LoadResult]) -> Table:
    """Orders accepted, beside the bare server at the same rate."""
    table = _table(
        f"POST /api/v1/order, open loop, latency from the due time (design: accepted in {DESIGN_ACCEPT_MS:.0f} ms)",
        "server",
        "offered/s",
        "accepted/s",
        "p50 ms",
        "p90 ms",
        "p99 ms",
        "max ms",
        "p50 / bare",
        "failed",
    )
    for result in sorted(results, key=lambda one: one.rate_per_s):
        bare = next(one for one in results if one.rate_per_s == result.rate_per_s and one.name != "crossbook")
        table.add_row(
            result.name,
            f"{result.rate_per_s:,.0f}",
            f"{result.succeeded_per_s:,.1f}",
            f"{result.p50_ms:.1f}",
            f"{result.p90_ms:.1f}",
            f"{result.p99_ms:.1f}",
            f"{result.longest_ms:.1f}",
            f"{result.p50_ms / bare.p50_ms:.1f} ×" if bare.p50_ms else "",
            ", ".join(f"{code} {count}" for code, count in result.failures.items()) or "0",
        )
    return table


def probe_table(results: Sequence[ProbeResult]) -> Table:
    """How soon the world sees a trade."""
    table = _table("From the POST of an order to its trade on the WebSocket", "load", "trades", "p50 ms", "p99 ms")
    for result in results:
        table.add_row(result.name, f"{result.trades}", f"{result.p50_ms:.1f}", f"{result.p99_ms:.1f}")
    return table


def cost_table(results: Sequence[CostResult]) -> Table:
    """What an order costs in calls and bytes, counted between the services and the cloud."""
    table = _table(
        "AWS calls and journal bytes an order (every order trades)",
        "load",
        "orders",
        "calls/order",
        "idle calls/s",
        "slots",
        "journal bytes/order",
    )
    for result in results:
        table.add_row(
            result.name,
            f"{result.orders:,}",
            f"{result.calls_per_order:.2f}",
            f"{result.idle_calls_per_s:.1f}",
            f"{result.slots:,}",
            f"{result.journal_bytes_per_order:.1f}",
        )
    return table


def calls_table(results: Sequence[CostResult]) -> Table:
    """Which calls they were, per hundred orders."""
    names = sorted({name for result in results for name in result.calls})
    most = sorted(names, key=lambda name: -max(result.calls.get(name, 0) for result in results))[:CALLS_SHOWN]
    table = _table("Calls per 100 orders, the most frequent", "call", *(result.name for result in results))
    for name in most:
        shares = (100 * result.calls.get(name, 0) / max(1, result.orders) for result in results)
        table.add_row(name, *(f"{share:.1f}" for share in shares))
    return table


def recovery_table(results: Sequence[RecoveryResult]) -> Table:
    """From a journal to a matcher that takes commands, and what the time went into."""
    table = _table(
        "Recovery of one partition: seconds by the wall, then of CPU (snapshot: none, oldest possible, orderly stop)",
        "journal",
        "snapshot",
        "folded",
        "ready",
        "recovered",
        "stall",
        "CPU",
        "reading",
        "restoring",
        "decoding",
        "folding",
        "state",
        "memory",
    )
    for result in results:
        fold = result.fold
        table.add_row(
            f"{result.journal_events:,}",
            result.snapshot,
            f"{fold.events:,}",
            f"{result.ready_s:.1f}",
            f"{fold.total_s:.1f}",
            f"{fold.stall_s:.2f}",
            *(
                f"{seconds:.2f}"
                for seconds in (fold.cpu_s, fold.reading_s, fold.restoring_s, fold.decoding_s, fold.folding_s)
            ),
            f"{result.snapshot_bytes / 1e3:,.0f} KB" if result.snapshot_bytes else "",
            f"{result.memory_bytes / 1e6:.0f} MB",
        )
    return table


def state_table(results: Sequence[StateResult]) -> Table:
    """What a partition's state costs to keep and to get back."""
    table = _table(
        "A partition's state: seconds of CPU, and the longest step, in which nothing else has a turn",
        "remembered",
        "open orders",
        "taking",
        "encoding",
        "longest",
        "restoring",
        "longest",
        "size",
    )
    for result in results:
        seconds = (result.taking_s, result.encoding_s, result.encoding_step_s)
        table.add_row(
            f"{result.size.remembered:,}",
            f"{result.size.open_orders:,}",
            *(f"{one:.3f}" for one in (*seconds, result.restoring_s, result.restoring_step_s)),
            f"{result.snapshot_bytes / 1e3:,.0f} KB",
        )
    return table


def catch_up_table(results: Sequence[CatchUpResult]) -> Table:
    """A persister that was down."""
    table = _table("The persister catching up, from the start of its process", "events", "slots", "seconds", "events/s")
    for result in results:
        rate = result.events / result.seconds
        table.add_row(f"{result.events:,}", f"{result.slots:,}", f"{result.seconds:.1f}", f"{rate:,.0f}")
    return table
