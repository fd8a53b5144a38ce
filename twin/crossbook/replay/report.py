"""What a replay found, as a record for programs and as tables for people."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final

from rich import box
from rich.console import Console, Group
from rich.table import Table

from crossbook.clients.patience import Patience
from crossbook.clients.trades import TradeWatch
from crossbook.replay.agreement import Agreement
from crossbook.replay.driver import Tally
from crossbook.replay.outcome import Outcome
from crossbook.replay.recording import VOLUME_DECIMALS, Recording
from exchange_core.money import units_text

DESIGN_ACCEPT_MS: Final = 30.0
SHOWN_MISSING_MAX: Final = 20
PLAIN_WIDTH: Final = 140


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplayReport:
    """The numbers; counts unless the name says a unit. Latencies are of calls accepted at their first attempt."""

    rows: int
    elapsed_s: float
    placed: int
    accepted: int
    refused_places: Mapping[str, int]
    cancels: int
    refused_cancels: Mapping[str, int]
    skipped: Mapping[str, int]
    retries: Mapping[str, int]
    retried_calls: int
    longest_outage_s: float
    orders_per_s: float
    commands_per_s: float
    accept_p50_ms: float
    accept_p99_ms: float
    cancel_p50_ms: float
    cancel_p99_ms: float
    in_flight_max: int
    statuses: Mapping[str, int]
    end_reasons: Mapping[str, int]
    found: int
    missing: int
    missing_orders: Sequence[str]
    unsettled: int
    canceled_afterwards: int
    modeled_trades: int
    websocket: Mapping[str, int] | None
    agreement: Agreement
    was_book_empty: bool

    @property
    def is_clean(self) -> bool:
        """Whether every accepted order was found and came to rest."""
        return not self.missing and not self.unsettled

    def as_json(self) -> dict[str, Any]:
        """Plain values, for `--json`."""
        agreement = asdict(self.agreement) | {
            "exact_share": self.agreement.exact_share,
            "traded_exact_share": self.agreement.traded_exact_share,
            "volume_share": self.agreement.volume_share,
            "differences": {difference.name.lower(): count for difference, count in self.agreement.differences.items()},
        }
        return asdict(self) | {"agreement": agreement, "is_clean": self.is_clean, "design_accept_ms": DESIGN_ACCEPT_MS}


def make_report(
    *,
    recording: Recording,
    tally: Tally,
    patience: Patience,
    outcome: Outcome,
    agreement: Agreement,
    watch: TradeWatch | None,
    modeled_trades: int,
    canceled_afterwards: int,
    in_flight_max: int,
    was_book_empty: bool,
) -> ReplayReport:
    """Put the parts together."""
    accepted = len(outcome.statuses.keys() | outcome.missing.keys())
    elapsed_s = max(tally.elapsed_s, 1e-9)
    return ReplayReport(
        rows=len(recording.rows),
        elapsed_s=tally.elapsed_s,
        placed=tally.place_count,
        accepted=accepted,
        refused_places=dict(tally.refused_places),
        cancels=tally.cancel_count,
        refused_cancels=dict(tally.refused_cancels),
        skipped=asdict(tally.skipped),
        retries=dict(patience.retries),
        retried_calls=patience.retried_calls,
        longest_outage_s=patience.longest_outage_s,
        orders_per_s=accepted / elapsed_s,
        commands_per_s=(tally.place_count + tally.cancel_count) / elapsed_s,
        accept_p50_ms=1000 * percentile(tally.place_latencies_s, 0.50),
        accept_p99_ms=1000 * percentile(tally.place_latencies_s, 0.99),
        cancel_p50_ms=1000 * percentile(tally.cancel_latencies_s, 0.50),
        cancel_p99_ms=1000 * percentile(tally.cancel_latencies_s, 0.99),
        in_flight_max=in_flight_max,
        statuses=_count(status.value for status in outcome.statuses.values()),
        end_reasons=_count(outcome.reasons.values()),
        found=len(outcome.statuses),
        missing=len(outcome.missing),
        missing_orders=list(outcome.missing.values())[:SHOWN_MISSING_MAX],
        unsettled=len(outcome.unsettled),
        canceled_afterwards=canceled_afterwards,
        modeled_trades=modeled_trades,
        websocket=None if watch is None else _watched(watch),
        agreement=agreement,
        was_book_empty=was_book_empty,
    )


def percentile(values: Sequence[float], share: float) -> float:
    """The smallest value that at least this share of them does not exceed; 0 without values."""
    if not values:
        return 0.0
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, max(0, -int(-share * len(ordered) // 1) - 1))]


def _watched(watch: TradeWatch) -> dict[str, int]:
    return {
        "trades": watch.trade_count,
        "gaps": watch.gap_count,
        "lost": watch.lost_count,
        "repeated": watch.repeated_count,
        "connections": watch.connection_count,
    }


def _count(values: Any) -> dict[str, int]:
    counts: dict[str, int] = {}
    for value in values:
        counts[value] = counts.get(value, 0) + 1
    return dict(sorted(counts.items(), key=lambda item: -item[1]))


def make_console() -> Console:
    """Standard output: as wide as the terminal, or as its tables need where there is none."""
    console = Console(highlight=False)
    return console if console.is_terminal else Console(highlight=False, width=PLAIN_WIDTH)


def tables(report: ReplayReport) -> Group:
    """The report for a terminal."""
    return Group(
        _flow(report), _speed(report), _truth(report), _agreement(report.agreement), _differences(report.agreement)
    )


def _table(title: str) -> Table:
    table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD, show_header=False)
    table.add_column(no_wrap=True)
    table.add_column(justify="right")
    table.add_column(overflow="fold")
    return table


def _flow(report: ReplayReport) -> Table:
    table = _table("What was sent")
    table.add_row("recorded events", f"{report.rows:,}", _list(report.skipped, "nothing to send for: "))
    table.add_row("orders", f"{report.placed:,}", f"{report.accepted:,} accepted")
    table.add_row("refused orders", f"{sum(report.refused_places.values()):,}", _list(report.refused_places))
    table.add_row("cancels", f"{report.cancels:,}", "")
    table.add_row("refused cancels", f"{sum(report.refused_cancels.values()):,}", _list(report.refused_cancels))
    table.add_row("calls repeated", f"{report.retried_calls:,}", _list(report.retries))
    if report.retried_calls:
        table.add_row("longest wait for an answer", f"{report.longest_outage_s:.1f} s", "")
    return table


def _speed(report: ReplayReport) -> Table:
    table = _table("How fast")
    table.add_row("time", f"{report.elapsed_s:.1f} s", f"at most {report.in_flight_max} in flight")
    table.add_row("accepted orders a second", f"{report.orders_per_s:,.0f}", "")
    table.add_row("orders and cancels a second", f"{report.commands_per_s:,.0f}", "")
    verdict = "within" if report.accept_p50_ms < DESIGN_ACCEPT_MS else "above"
    table.add_row(
        "order accepted, p50", f"{report.accept_p50_ms:.1f} ms", f"{verdict} the design's {DESIGN_ACCEPT_MS:.0f} ms"
    )
    table.add_row("order accepted, p99", f"{report.accept_p99_ms:.1f} ms", "under as much load as it takes")
    table.add_row("cancel accepted, p50", f"{report.cancel_p50_ms:.1f} ms", f"p99 {report.cancel_p99_ms:.1f} ms")
    return table


def _truth(report: ReplayReport) -> Table:
    table = _table("What became of it")
    missing = f"MISSING: {', '.join(report.missing_orders)}" if report.missing else "none is missing"
    table.add_row("accepted orders found by id", f"{report.found:,}", missing)
    table.add_row("not come to rest", f"{report.unsettled:,}", "")
    table.add_row("statuses", "", _list(report.statuses))
    table.add_row("ended because", "", _list(report.end_reasons))
    table.add_row("canceled afterwards", f"{report.canceled_afterwards:,}", "left resting by the recording")
    table.add_row("trades of a plain book", f"{report.modeled_trades:,}", "fed in the recorded order")
    if report.websocket is not None:
        seen = report.websocket
        table.add_row(
            "trades on the WebSocket",
            f"{seen['trades']:,}",
            f"{seen['lost']} lost in {seen['gaps']} gaps, {seen['repeated']} repeated, "
            f"{seen['connections']} connections",
        )
    if not report.was_book_empty:
        table.add_row("the book was not empty", "", "others' orders were in it: fills cannot agree fully")
    return table


def _agreement(agreement: Agreement) -> Table:
    table = _table("Fills against the recording")
    table.add_row(
        "orders filled exactly as recorded",
        f"{agreement.exact_share:.2%}",
        f"{agreement.exact_count:,} of {agreement.order_count:,}",
    )
    table.add_row(
        "of those that traded, here or there",
        f"{agreement.traded_exact_share:.2%}",
        f"{agreement.traded_exact_count:,} of {agreement.traded_count:,}",
    )
    table.add_row(
        "volume that both have",
        f"{agreement.volume_share:.2%}",
        f"{_base(agreement.common_volume)} of {_base(agreement.recorded_volume)} recorded "
        f"and {_base(agreement.filled_volume)} here",
    )
    accepted = agreement.accepted_count
    share = agreement.modeled_count / accepted if accepted else 1.0
    table.add_row(
        "exactly as a plain book in that order", f"{share:.2%}", f"{agreement.modeled_count:,} of {accepted:,} accepted"
    )
    return table


def _differences(agreement: Agreement) -> Table:
    table = _table("Why the others differ")
    for difference, count in sorted(agreement.differences.items(), key=lambda item: -item[1]):
        table.add_row("", f"{count:,}", difference.value)
    return table


def _base(volume: int) -> str:
    return units_text(volume, VOLUME_DECIMALS)


def _list(counts: Mapping[str, int], prefix: str = "") -> str:
    listed = ", ".join(f"{name} {count:,}" for name, count in counts.items() if count)
    return prefix + listed if listed else ""
