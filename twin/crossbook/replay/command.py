"""`crossbook replay FILE`: real recorded order flow into the running exchange, as any clients would send it."""

import asyncio
import os
import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import Annotated, Final

import orjson
import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from crossbook import control
from crossbook.clients.accounts import make_accounts, wait_funded
from crossbook.clients.api_client import Account, ApiClient, ApiError
from crossbook.clients.patience import Patience
from crossbook.clients.trades import TradeWatch
from crossbook.demo import OPERATOR, PASSWORD
from crossbook.errors import TwinError
from crossbook.replay.agreement import compare_fills
from crossbook.replay.driver import ReplayDriver, account_of
from crossbook.replay.outcome import cancel_resting, look_up
from crossbook.replay.recording import (
    PRICE_DECIMALS,
    VOLUME_DECIMALS,
    Action,
    Recording,
    RecordingError,
    read_recording,
)
from crossbook.replay.report import ReplayReport, make_console, make_report, tables
from crossbook.state import StateDirectory
from exchange_core.money import units_text
from exchange_core.orders import Side

SYMBOL: Final = "BTCUSD"
WATCH_TIMEOUT_S: Final = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplayOptions:
    """How a replay is run; see the command's own help."""

    gateway_url: str
    websocket_url: str | None
    operator: str
    operator_password: str
    symbol: str = SYMBOL
    account_count: int = 8
    in_flight_max: int = 64
    speed: float = 0.0
    patience_s: float = 120.0
    keeps_resting: bool = False


def replay_command(
    file: Annotated[Path, typer.Argument(exists=True, dir_okay=False, readable=True, help="A .csv or .csv.xz.")],
    state_dir: Annotated[Path, typer.Option("--state-dir", help="Of the running twin.")] = Path(".twin"),
    gateway: Annotated[str | None, typer.Option(help="URL of another gateway than the twin's.")] = None,
    fanout: Annotated[str | None, typer.Option(help="URL of another WebSocket than the twin's.")] = None,
    operator: Annotated[str, typer.Option(help="Who funds the accounts.")] = OPERATOR,
    symbol: Annotated[str, typer.Option(help="What to trade.")] = SYMBOL,
    limit: Annotated[int | None, typer.Option(min=1, help="Only so many events.")] = None,
    speed: Annotated[
        float, typer.Option(min=0, help="1 keeps the recorded times, 60 is a minute a second, 0 flat out.")
    ] = 0.0,
    accounts: Annotated[int, typer.Option(min=2, max=100, help="Half of them buy, half sell.")] = 8,
    in_flight: Annotated[int, typer.Option(min=1, max=1000, help="Calls at a time.")] = 64,
    patience: Annotated[float, typer.Option(min=1, help="Seconds without any answer before giving up.")] = 120.0,
    keep_resting: Annotated[
        bool, typer.Option("--keep-resting", help="Leave orders that still rest in the book.")
    ] = False,
    json_file: Annotated[Path | None, typer.Option("--json", help="Write the report here as well.")] = None,
) -> None:
    """Replay recorded orders through the public API and hold the fills against the recording.

    The operator's password is read from CROSSBOOK_OPERATOR_PASSWORD; without it, the twin's is used.
    """
    if gateway is None:
        environment = control.exchange(StateDirectory(state_dir))
        gateway = environment["CROSSBOOK_GATEWAY_URL"]
        fanout = fanout or environment.get("CROSSBOOK_WEBSOCKET_URL")
    options = ReplayOptions(
        gateway_url=gateway,
        websocket_url=fanout,
        operator=operator,
        operator_password=os.environ.get("CROSSBOOK_OPERATOR_PASSWORD", PASSWORD),
        symbol=symbol,
        account_count=accounts,
        in_flight_max=in_flight,
        speed=speed,
        patience_s=patience,
        keeps_resting=keep_resting,
    )
    console = make_console()
    report = run_replay(file, options, limit=limit, console=console)
    console.print(tables(report))
    if json_file is not None:
        json_file.write_bytes(orjson.dumps(report.as_json(), option=orjson.OPT_INDENT_2))
    if not report.is_clean:
        raise typer.Exit(1)


def run_replay(file: Path, options: ReplayOptions, *, limit: int | None, console: Console) -> ReplayReport:
    """Read the file and replay it, with a progress bar. Raises TwinError in words for the person at the terminal."""
    try:
        recording = read_recording(file, limit=limit)
    except (RecordingError, OSError) as error:
        raise TwinError(f"{file} cannot be replayed: {error}") from error
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console) as progress:
        task = progress.add_task("replaying", total=len(recording.rows))
        try:
            return asyncio.run(
                replay(
                    recording,
                    options,
                    advanced=lambda row: progress.update(task, completed=row + 1),
                    stage=lambda name: progress.update(task, description=name),
                )
            )
        except ApiError as error:
            raise TwinError(f"the replay broke off: {error}") from error


async def replay(
    recording: Recording,
    options: ReplayOptions,
    *,
    advanced: Callable[[int], None] = lambda _: None,
    stage: Callable[[str], None] = lambda _: None,
) -> ReplayReport:
    """Make accounts, fund them, send everything, look all of it up. Raises ApiError and ReplayStalledError."""
    run_id = secrets.token_hex(4)
    async with ApiClient(options.gateway_url, connections_max=options.in_flight_max) as api:
        patience = Patience(options.patience_s)
        was_book_empty = await patience.insist(partial(_is_book_empty, api, options.symbol))
        stage("making accounts")
        accounts = await make_accounts(api, patience, f"replay-{run_id}", options.account_count)
        await _fund(api, options, patience, recording, accounts, run_id)
        driver = ReplayDriver(
            accounts,
            symbol=options.symbol,
            run_id=run_id,
            in_flight_max=options.in_flight_max,
            speed=options.speed,
            patience=patience,
            advanced=advanced,
        )
        watch = TradeWatch(options.websocket_url, options.symbol) if options.websocket_url else None
        watching = await _start_watching(watch)
        try:
            stage("replaying")
            await driver.run(recording)
            advanced(len(recording.rows) - 1)
            stage("looking up")
            outcome = await look_up(driver, patience_s=options.patience_s)
        finally:
            if watching is not None:
                watching.cancel()
                await asyncio.wait([watching])
        canceled = 0 if options.keeps_resting else await cancel_resting(driver, outcome)
    stage("done")
    model = driver.schedule.model
    return make_report(
        recording=recording,
        tally=driver.tally,
        patience=patience,
        outcome=outcome,
        agreement=compare_fills(recording, model, outcome.filled, frozenset(driver.refused)),
        watch=watch,
        modeled_trades=model.trade_count,
        canceled_afterwards=canceled,
        in_flight_max=options.in_flight_max,
        was_book_empty=was_book_empty,
    )


async def _start_watching(watch: TradeWatch | None) -> asyncio.Task[None] | None:
    if watch is None:
        return None
    watching = asyncio.create_task(watch.watch())
    try:
        async with asyncio.timeout(WATCH_TIMEOUT_S):
            await watch.subscribed.wait()
    except TimeoutError:
        pass  # it goes on trying; the report shows what it missed
    return watching


async def _is_book_empty(api: ApiClient, symbol: str) -> bool:
    book = await api.call("GET", f"/api/v1/orderbook/{symbol}")
    return not book["bids"] and not book["asks"]


async def _fund(
    api: ApiClient,
    options: ReplayOptions,
    patience: Patience,
    recording: Recording,
    accounts: Sequence[Account],
    run_id: str,
) -> None:
    """Give each account all that its orders could ever hold at once, and wait until it shows."""
    instrument = await patience.insist(partial(api.instrument, options.symbol))
    needs = funds_needed(recording, accounts)
    operator = await patience.insist(partial(api.log_in, options.operator, options.operator_password))
    assets = {
        Side.BUY: (instrument["quote"], PRICE_DECIMALS + VOLUME_DECIMALS),
        Side.SELL: (instrument["base"], VOLUME_DECIMALS),
    }
    for number, (account, side, units) in enumerate(needs):
        asset, decimals = assets[side]
        amount = units_text(units, decimals)
        deposit = partial(operator.deposit, user_id=account.user_id, asset=asset, amount=amount)
        await patience.insist(partial(deposit, transfer_id=f"replay-{run_id}-{number}"))
    for account, side, units in needs:
        asset, decimals = assets[side]
        await wait_funded(patience, account, asset, Decimal(units).scaleb(-decimals))


def funds_needed(recording: Recording, accounts: Sequence[Account]) -> list[tuple[Account, Side, int]]:
    """(account, side, units): a buyer needs price × volume (10⁻¹⁰ of the quote asset), a seller volume (10⁻⁸)."""
    needs: dict[int, tuple[Account, Side, int]] = {}
    for row in recording.rows:
        if row.action is Action.CREATED:
            account = account_of(row, accounts)
            units = row.price * row.volume if row.side is Side.BUY else row.volume
            before = needs.get(id(account), (account, row.side, 0))[2]
            needs[id(account)] = (account, row.side, before + units)
    return list(needs.values())
