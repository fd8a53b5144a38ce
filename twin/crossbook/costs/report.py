"""Bills as tables: for a terminal and for the documents."""

from collections.abc import Iterator, Sequence

from rich.table import Table

from crossbook.costs.bill import MILLION, Bill, tiered
from crossbook.costs.profile import SECONDS_A_MONTH

SHOWN_SHARE = 0.0005
"""Lines below this share of the bill are summed up."""


def bill_table(bill: Bill) -> Table:
    """Every line of one bill, by service, the dearest first."""
    table = Table(title=f"{bill.profile.name}: {bill.profile.says}", title_justify="left", title_style="bold")
    for column in ("service", "what", "quantity", "USD a month", "share"):
        table.add_column(column, justify="left" if column in ("service", "what") else "right")
    rest = 0.0
    for service in bill.by_service():
        for line in sorted((one for one in bill.lines if one.service == service), key=lambda one: -one.usd):
            if line.usd < SHOWN_SHARE * bill.usd:
                rest += line.usd
                continue
            quantity = (
                f"{line.quantity:,.4g} {line.unit}" if line.quantity < 1_000 else f"{line.quantity:,.0f} {line.unit}"
            )
            table.add_row(service, line.what, quantity, f"{line.usd:,.0f}", f"{line.usd / bill.usd:.1%}")
    table.add_row("", "all that is smaller", "", f"{rest:,.0f}", f"{rest / bill.usd:.1%}")
    table.add_row("", "together", "", f"{bill.usd:,.0f}", "", style="bold")
    return table


def comparison_lines(bills: Sequence[Bill]) -> Iterator[str]:
    """A Markdown table: a column a profile, a row a service, then what it comes to."""
    yield "| USD a month | " + " | ".join(bill.profile.name for bill in bills) + " |"
    yield "| --- |" + " ---: |" * len(bills)
    yield "| | " + " | ".join(bill.profile.says for bill in bills) + " |"
    for service in bills[0].by_service():
        yield f"| {service} | " + " | ".join(f"{bill.by_service().get(service, 0.0):,.0f}" for bill in bills) + " |"
    yield "| **together** | " + " | ".join(f"**{bill.usd:,.0f}**" for bill in bills) + " |"
    fixed = [sum(line.usd for line in bill.lines if line.is_fixed) for bill in bills]
    yield "| there without traffic | " + " | ".join(f"{usd:,.0f}" for usd in fixed) + " |"
    yield "| a million orders | " + " | ".join(f"{bill.usd_per_million_orders:,.2f}" for bill in bills) + " |"
    dearest = [list(bill.by_service().items())[:2] for bill in bills]
    shares = [
        ", ".join(f"{name} {usd / bill.usd:.0%}" for name, usd in pair)
        for bill, pair in zip(bills, dearest, strict=True)
    ]
    yield "| what dominates | " + " | ".join(shares) + " |"


def websocket_alternative(bill: Bill, tiers: Sequence[Sequence[float]]) -> float:
    """What the WebSocket messages of the month would cost through API Gateway instead of a load balancer, in USD."""
    profile = bill.profile
    messages = profile.websockets * profile.messages_per_websocket_second * SECONDS_A_MONTH / MILLION
    return tiered(messages, tiers)
