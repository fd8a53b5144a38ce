"""`crossbook`: what people do by hand with an exchange on their machine."""

import asyncio
import contextlib
import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from crossbook import control, tables
from crossbook import watch as watching
from crossbook.audit.command import audit_command
from crossbook.bench_command import bench_command
from crossbook.chaos.command import chaos_command
from crossbook.check import check_command
from crossbook.containers.commands import bootstrap_command, seed_command
from crossbook.costs.cost_command import cost_command
from crossbook.errors import TwinError
from crossbook.options import AWS_PORT, FANOUT_PORT, GATEWAY_PORT, TwinOptions
from crossbook.rebuild import rebuild_command
from crossbook.replay.command import replay_command
from crossbook.simulate import simulate_command
from crossbook.state import StateDirectory
from crossbook.terminal import console, errors, report
from crossbook.trace_command import trace_command

app = typer.Typer(
    name="crossbook",
    help="A spot exchange on this machine: start it, look at it, stop it.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

StateDir = Annotated[Path, typer.Option("--state-dir", help="Where the twin keeps its state.")]
Port = Annotated[int, typer.Option(min=0, max=65535, help="0 takes any free port.")]
STATE_DIR = Path(".twin")


@app.command()
def up(
    state_dir: StateDir = STATE_DIR,
    gateway_port: Port = GATEWAY_PORT,
    fanout_port: Port = FANOUT_PORT,
    aws_port: Port = AWS_PORT,
    partitions: Annotated[int, typer.Option(min=1, max=64, help="Fixed for the life of a world.")] = 2,
    matchers: Annotated[int, typer.Option(min=1, max=16, help="They share the partitions out.")] = 2,
    instances: Annotated[int, typer.Option(min=1, max=16, help="Of each service, spread over two zones.")] = 1,
    seed: Annotated[bool, typer.Option(help="List instruments and fund demo users.")] = True,
    log_level: Annotated[str, typer.Option(help="debug, info, warning or error.")] = "info",
    quiet: Annotated[bool, typer.Option("--quiet", help="Do not show what the services log.")] = False,
) -> None:
    """Start the exchange and stay with it: Ctrl-C stops everything."""
    options = TwinOptions(
        gateway_port=gateway_port,
        fanout_port=fanout_port,
        aws_port=aws_port,
        database_url=os.environ.get("DATABASE_URL"),
        redis_url=os.environ.get("REDIS_URL"),
        partitions=partitions,
        matchers=matchers,
        instances=instances,
        is_seeded=seed,
        log_level=log_level,
    )
    from crossbook import foreground  # brings the SDK and the drivers, which no other command waits for

    foreground.run(state_dir, options, shows_logs=not quiet)


@app.command()
def down(
    state_dir: StateDir = STATE_DIR,
    wipe: Annotated[bool, typer.Option("--wipe", help="Forget all orders, users and money.")] = False,
) -> None:
    """Stop the twin, wherever it was started."""
    state = StateDirectory(state_dir)
    was_running = control.stop(state, report=report)
    console.print("stopped" if was_running else "no twin was running")
    if wipe:
        control.wipe(state)
        console.print(f"{state.path} is gone: the next start begins a new world")


@app.command()
def status(state_dir: StateDir = STATE_DIR) -> None:
    """Show every process: pid, port, time up, restarts, ready or not. Ends with 1 unless all are ready."""
    running = control.running(StateDirectory(state_dir))
    states = asyncio.run(control.probe(running))
    console.print(tables.places(running.environment), markup=False)
    console.print(tables.processes(running, states))
    if not all(state.is_ready for state in states):
        raise typer.Exit(1)


@app.command()
def watch(
    symbol: Annotated[str, typer.Argument(help="For example BTCUSDT.")],
    channel: Annotated[
        list[str] | None,
        typer.Option(help="trade, depth, ticker, candle; orders, balances. As often as you like; trade unless said."),
    ] = None,
    interval: Annotated[str, typer.Option(help="Of candles: 1s, 1m, 5m, 15m, 1h, 4h or 1d.")] = "1m",
    token: Annotated[
        str, typer.Option(envvar="CROSSBOOK_TOKEN", help="An access token, for orders and balances.")
    ] = "",
    state_dir: StateDir = STATE_DIR,
    websocket: Annotated[
        str, typer.Option(envvar="CROSSBOOK_WEBSOCKET_URL", help="Of an exchange that no state directory knows.")
    ] = "",
) -> None:
    """Print what the WebSocket sends about a symbol, a message a line, until Ctrl-C."""
    url = websocket or control.running(StateDirectory(state_dir)).environment["CROSSBOOK_WEBSOCKET_URL"]
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(
            watching.watch(
                url,
                watching.Wishes(symbol=symbol, channels=channel or ["trade"], interval=interval, token=token),
                show=lambda message: typer.echo(message),
                report=lambda message: typer.echo(f"crossbook: {message}", err=True),
            )
        )


app.command("trace")(trace_command)
app.command("replay")(replay_command)
app.command("simulate")(simulate_command)
app.command("check")(check_command)
app.command("audit")(audit_command)
app.command("rebuild")(rebuild_command)
app.command("cost")(cost_command)
app.command("bench")(bench_command)
app.command("chaos")(chaos_command)
app.command("bootstrap")(bootstrap_command)
app.command("seed")(seed_command)


def main() -> None:
    """Run the command; a twin's own errors are told in words, with status 1."""
    try:
        app()
    except TwinError as error:
        errors.print(f"crossbook: {error}", markup=False)
        sys.exit(1)
