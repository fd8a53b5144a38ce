"""The tables that the command line prints."""

from collections.abc import Mapping, Sequence
from datetime import timedelta

from rich.table import Table

from crossbook.control import ProcessState
from crossbook.demo import FUNDS, OPERATOR, PASSWORD, USERS
from crossbook.state import Running

PLACES = {
    "REST API": "CROSSBOOK_GATEWAY_URL",
    "WebSocket": "CROSSBOOK_WEBSOCKET_URL",
    "AWS (key, secret: test)": "AWS_ENDPOINT_URL",
    "PostgreSQL": "DATABASE_URL",
    "Redis": "REDIS_URL",
    "Cognito user pool": "COGNITO_USER_POOL_ID",
    "Cognito client": "COGNITO_CLIENT_ID",
}


def places(environment: Mapping[str, str]) -> str:
    """Where everything is, a line each that can be copied."""
    width = max(map(len, PLACES)) + 2
    found = ((what, environment[variable]) for what, variable in PLACES.items() if variable in environment)
    return "\n".join(f"{what:<{width}}{where}" for what, where in found)


def users() -> Table:
    """Who can log in."""
    table = _table("Demo users (twins only)", "user", "password", "starts with")
    funds = ", ".join(f"{amount:,} {asset}" for asset, amount in FUNDS.items())
    for username in USERS:
        table.add_row(username, PASSWORD, funds)
    table.add_row(OPERATOR, PASSWORD, "an operator: lists instruments, deposits")
    return table


def processes(running: Running, states: Sequence[ProcessState]) -> Table:
    """How every process is."""
    table = _table(
        f"Supervisor {running.supervisor.pid}", "process", "zone", "pid", "port", "up for", "restarts", "ready"
    )
    for state in states:
        process = state.process
        table.add_row(
            process.name,
            process.zone,
            str(process.pid) if state.is_alive else "down",
            str(process.port),
            str(timedelta(seconds=int(state.uptime_s))),
            str(process.restarts),
            "[green]ready[/]" if state.is_ready else "[red]not ready[/]",
        )
    return table


def _table(title: str, *columns: str) -> Table:
    table = Table(title=title, title_justify="left", title_style="bold")
    for column in columns:
        table.add_column(column, overflow="fold")
    return table
