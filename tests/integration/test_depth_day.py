"""The recorded day, one slot a command: at every seq the documented client has the book that was cached at that seq.

The matcher's engine and publication and the whole of fanout in this process, on a simulated Redis; the client over a
real WebSocket, whose connection is cut again and again. What is cached is what GET /orderbook serves, byte for byte
(tests/e2e/test_depth_replay.py asks for it). DEPTH_ROWS says how much of the day: `all` takes the whole of it.
"""

import asyncio
import contextlib
import json
import os
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import aiohttp

from crossbook.replay.recording import Recording, read_recording
from crossbook.replay.schedule import Skipped, Step, steps
from exchange_core.commands import CancelOrder, Command, ListInstrument, PlaceOrder
from exchange_core.engine import PartitionEngine
from exchange_core.instruments import Instrument
from exchange_core.market_data import BOOK_CACHE_LEVELS
from exchange_core.orders import OrderType, Side, TimeInForce
from exchange_core.topology import order_book_key
from exchange_matcher.publication import MarketPublication
from simulation.clients.depth_client import depth_client
from tests.chaos.order_flow import write_order_flow
from tests.eventually import eventually
from tests.integration.dropping_proxy import DroppingProxy
from tests.unit.fanout.support import running_fanout

RECORDED = Path(__file__).resolve().parents[2].parent / "shared" / "data" / "bitstamp-btcusd-2015-05-01.csv.xz"
ROWS = os.environ.get("DEPTH_ROWS", "4000")
CUT_EVERY = 1_000
"""Commands."""
LAG_MAX = 50
"""The market waits for a client that is further behind: it is to see as many books as it can."""
SYMBOL = "BTCUSD"
INSTRUMENT = Instrument(
    symbol=SYMBOL,
    base="BTC",
    quote="USD",
    base_decimals=8,
    quote_decimals=10,
    tick_size=Decimal("0.01"),
    lot_size=Decimal("0.00000001"),
    min_quantity=1,
    max_quantity=10**15,
    min_notional=0,
    maker_fee_bps=0,
    taker_fee_bps=0,
    band_bps=9_999,
    reference_price=23_500,
    partition=0,
    max_open_orders=100_000,
)


def recorded_or_made_up(folder: Path) -> Recording:
    rows = None if ROWS == "all" else int(ROWS)
    if RECORDED.exists():
        return read_recording(RECORDED, limit=rows)
    print(f"the recorded day is not at {RECORDED}: a synthetic one takes its place")
    made_up = folder / "day.csv"
    write_order_flow(made_up, seed=1, orders=(rows or 50_000) // 2)
    return read_recording(made_up)


def commands(recording: Recording) -> Iterator[Command]:
    """The day as the matcher would get it; half of the users buy, the others sell."""
    for number, step in enumerate(steps(recording, Skipped()), start=1):
        yield _command(step, number)


def _command(step: Step, number: int) -> Command:
    row = step.row
    user_id = f"{row.side}er"
    if step.is_cancel:
        return CancelOrder(
            command_id=10**9 + number,
            user_id=user_id,
            symbol=SYMBOL,
            entered_at_ms=step.due_ms,
            order_id=row.recorded_id,
        )
    is_buy = row.side is Side.BUY
    return PlaceOrder(
        order_id=row.recorded_id,
        user_id=user_id,
        client_order_id=str(row.recorded_id),
        symbol=SYMBOL,
        side=row.side,
        order_type=OrderType.LIMIT,
        time_in_force=TimeInForce.GTC,
        price=row.price,
        quantity=row.volume,
        hold=row.price * row.volume if is_buy else row.volume,
        hold_asset="USD" if is_buy else "BTC",
        entered_at_ms=step.due_ms,
    )


def key_of(bids: Any, asks: Any) -> int:
    """A whole book's hash, levels in their order: a day of books would not fit into memory."""
    return hash((tuple(map(tuple, bids)), tuple(map(tuple, asks))))


class Follower:
    """The documented client, and a hash of every book it had."""

    def __init__(self) -> None:
        self.seq = 0
        self.books: dict[int, int] = {}

    async def run(self, port: int) -> None:
        async with aiohttp.ClientSession() as session:
            async for book in depth_client.follow(session, f"ws://127.0.0.1:{port}/ws", SYMBOL):
                self.seq = book.seq
                key = key_of(*book.best(BOOK_CACHE_LEVELS))
                assert self.books.setdefault(book.seq, key) == key, "the same book at the same seq, whenever"


async def test_the_client_has_the_cached_book_at_every_seq_of_the_day(tmp_path: Path) -> None:
    recording = recorded_or_made_up(tmp_path)
    engine, follower, cached = PartitionEngine(0), Follower(), {}
    loop = asyncio.get_running_loop()
    began_s = loop.time()
    async with running_fanout() as fanout, DroppingProxy(fanout.port).serving() as proxy:
        publication = MarketPublication(fanout.redis, 0)

        async def execute(command: Command, at_ms: int) -> None:
            at_ms = max(at_ms, engine.at_ms)
            events = [*engine.begin_slot(at_ms), *engine.execute(command, at_ms)]
            await publication.publish(engine, events, at_ms)
            body = await fanout.redis.get(order_book_key(SYMBOL))
            book = json.loads(body or b"", parse_float=str, parse_int=str)
            cached[int(book["seq"])] = key_of(book["bids"], book["asks"])
            if engine.seq(SYMBOL) - follower.seq > LAG_MAX:
                await eventually(lambda: engine.seq(SYMBOL) - follower.seq < LAG_MAX / 2, timeout_s=60)

        following = asyncio.create_task(follower.run(proxy.port))
        try:
            at_ms = recording.rows[0].at_ms
            await execute(
                ListInstrument(
                    command_id=1, user_id="operator", symbol=SYMBOL, entered_at_ms=at_ms, instrument=INSTRUMENT
                ),
                at_ms,
            )
            for number, command in enumerate(commands(recording), start=1):
                await execute(command, command.entered_at_ms)
                if number % CUT_EVERY == 0:
                    proxy.drop()
            await eventually(lambda: follower.seq == engine.seq(SYMBOL), timeout_s=60)
        finally:
            following.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await following
    print(
        f"{len(recording.rows)} rows in {loop.time() - began_s:.0f} s: {len(cached)} books cached,"
        f" {len(follower.books)} followed, {proxy.accepted} connections, last seq {engine.seq(SYMBOL)}"
    )
    wrong = {seq for seq, key in follower.books.items() if cached.get(seq) != key}
    assert not wrong, f"{len(wrong)} of {len(follower.books)} books, the first at {min(wrong)}"
    assert len(cached) > len(recording.rows) / 2
    assert len(follower.books) > 0.6 * len(cached), "it saw most of them, although it was cut off so often"
    assert proxy.accepted > len(recording.rows) / CUT_EVERY / 2
