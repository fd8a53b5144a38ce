"""Records a journal with every kind of event, as the code of its day writes it, and what it amounts to.

    python -m tests.versions.record > tests/versions/journal_1.json
    python -m tests.versions.record --snapshots tests/versions/journal_1.json > tests/versions/snapshots_2.json

Done once for every version of the format, by the last code that writes it; a recorded slot is never written again. Of a
file that is there, `python -m tests.versions.record FILE` keeps the slots and states anew what they amount to: for a
change that gives the engine or the database more to remember, never to make a test pass that found a difference.

The file is JSON: `slots` in base64 (zstd over JSON, see `exchange_core.codec`), `commands` as they stand in SQS, and
under `amounts_to` the engine's state hash after every slot, its books, and the database's rows and wallets at the end.
With `--snapshots` it is a list of the engine's snapshots after every slot of that journal, in base64.
"""

import base64
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import orjson

from exchange_adapters.projection_rows import LEDGER_COLUMNS, instruments_after, rows_of
from exchange_core.codec import SLOT_VERSION, Slot, decode_slot, encode_commands, encode_slot
from exchange_core.commands import CASH_DESK, Command, WithdrawFunds
from exchange_core.engine import PartitionEngine
from exchange_core.events import Event
from exchange_core.instruments import SymbolStatus
from exchange_core.ledger import postings, wallet_deltas
from exchange_core.orders import OrderType, SelfTradePrevention, TimeInForce
from tests.unit.core.room import BUY, SELL, SYMBOL, Room

MONEY_COLUMNS = LEDGER_COLUMNS.index("order_id")
"""A line's place and money come first; what it is about was added later."""


class RecordingRoom(Room):
    """A room that keeps the bytes of its slots and of the commands that were sent."""

    def __init__(self, **instrument: Any) -> None:
        self.written: list[bytes] = []
        self.sent: list[str] = []
        super().__init__(**instrument)

    def send(self, command: Command) -> list[Event]:
        self.sent.append(encode_commands([command]))
        return super().send(command)

    def close_slot(self) -> None:
        events = tuple(self._slot)
        super().close_slot()
        n = self._slot_number
        slot = Slot(partition=0, n=n, at_ms=self.at_ms, fed_through=n - 1, writer="room", events=events)
        self.written.append(encode_slot(slot))


def story() -> RecordingRoom:
    """Everything that can happen, in a few slots."""
    room = RecordingRoom(breaker_bps=2_000, breaker_window_ms=60_000, breaker_halt_ms=5_000)
    room.fund("ann", usd=10**9, btc=10**9)
    room.fund("ben", usd=10**9, btc=10**9)
    room.pass_time(100)
    # books, fills, an iceberg, orders of all kinds; slots large enough that every form of a column is used
    for step in range(12):
        room.place("ann", BUY, 5 + step, 90 + step % 4, client_order_id=f"bid-{step}", trace_id=f"trace-{step}")
        room.place("ben", SELL, 4 + step, 106 + step % 4)
    iceberg = room.place("ben", SELL, 40, 105, display_quantity=5)[0].cause
    room.place("ann", BUY, 12, 105, time_in_force=TimeInForce.IOC)
    room.place("ann", BUY, 5_000, 104, time_in_force=TimeInForce.FOK)
    room.pass_time(100)
    room.place("ann", BUY, None, None, order_type=OrderType.MARKET, quote_quantity=9_000, time_in_force=TimeInForce.IOC)
    room.place("ben", BUY, 3, 111, order_type=OrderType.STOP_LIMIT, trigger_price=106)
    waiting = room.place("ann", SELL, 3, 80, order_type=OrderType.STOP_LIMIT, trigger_price=85)[0].cause
    room.place("ann", SELL, 2, 120, time_in_force=TimeInForce.GTD, expires_at_ms=room.at_ms + 1_000)
    room.place("ann", SELL, 2, 90, post_only=True)
    room.place("ann", BUY, 40, 106, time_in_force=TimeInForce.IOC)
    room.pass_time(100)
    # self-trade prevention, amendments, cancels, refusals
    own = room.place("ann", SELL, 9, 104)[0].cause
    room.place("ann", BUY, 4, 104, self_trade_prevention=SelfTradePrevention.DECREMENT)
    later = room.place("ann", SELL, 9, 115)[0].cause
    room.amend("ann", later, quantity=6, price=116)
    room.place("ann", SELL, 20_000, 110)
    room.cancel("ben", own)
    room.cancel("ben", iceberg)
    room.cancel("ann", waiting)
    room.set_timer("ann", room.at_ms + 500)
    room._take_in(room.engine.refuse_undecodable(SYMBOL, 77, "0" * 64))
    room.hold("ann", "USD", 1_000)
    room.send(
        WithdrawFunds(
            command_id=room.next_id(),
            user_id="op",
            symbol=CASH_DESK,
            entered_at_ms=0,
            account_id="ann",
            asset="USD",
            amount=1_000,
            transfer_id="w-1",
        )
    )
    room.pass_time(1_200)
    # the timer and the GTD order ended; an operator's halt, the breaker's, and what still rests
    room.set_status(SymbolStatus.HALTED)
    room.set_status(SymbolStatus.TRADING)
    room.place("ann", BUY, 6, 100)
    room.place("ben", SELL, 2, 100)
    room.place("ben", SELL, 7, 130)
    room.place("ann", BUY, 100, 130)
    room.pass_time(10)
    room.pass_time(10_000)
    room.place("ann", BUY, 3, 97, client_order_id="last")
    room.place("cas", BUY, 1, 95)
    room.cancel_all("cas")
    room.close_slot()
    return room


def amounts_to(slots: Sequence[Slot]) -> dict[str, Any]:
    """What the slots of one partition amount to, by the code of today, in JSON's own types."""
    engine, hashes = PartitionEngine(slots[0].partition), []
    for slot in slots:
        engine.apply_slot(slot)
        hashes.append(engine.state_hash())
    instruments = instruments_after({}, slots)
    rows = rows_of(slots, instruments)
    posted = (
        posting for slot in slots for event in slot.events for posting in postings(event, instruments, slot.partition)
    )
    stated = {
        "state_hashes": hashes,
        "events": "".join(sorted({type(event).__name__ + " " for slot in slots for event in slot.events})).split(),
        "instruments": {symbol: instrument.status for symbol, instrument in instruments.items()},
        "books": {symbol: engine.depth(symbol, 100) for symbol in engine.instruments},
        "last_trades": {symbol: engine.last_trade(symbol) for symbol in engine.instruments},
        "orders": rows.new_orders(),
        "trades": rows.trades,
        "fills": rows.fills,
        "ledger": [row[:MONEY_COLUMNS] for row in rows.ledger],
        "wallets": sorted([*wallet, delta] for wallet, delta in wallet_deltas(posted).items()),
    }
    found: dict[str, Any] = plain(stated)
    return found


def plain(value: Any) -> Any:
    """As JSON gives it back."""
    return orjson.loads(orjson.dumps(value, default=str))


def slots_of(recording: dict[str, Any]) -> list[Slot]:
    """The slots of a recording, read by the code of today."""
    return [decode_slot(base64.b64decode(text)) for text in recording["slots"]]


def snapshots_of(recording: dict[str, Any]) -> list[str]:
    """A snapshot after each slot, in base64."""
    engine, texts = PartitionEngine(0), []
    for slot in slots_of(recording):
        engine.apply_slot(slot)
        texts.append(base64.b64encode(engine.snapshot()).decode())
    return texts


def recorded(slots: Iterable[bytes], commands: Sequence[str], version: int) -> dict[str, Any]:
    """A recording, with what it amounts to."""
    texts = [base64.b64encode(data).decode() for data in slots]
    recording = {"version": version, "commands": commands, "slots": texts}
    return recording | {"amounts_to": amounts_to(slots_of(recording))}


def main() -> None:
    """Print a recording of today, or one given as it is understood today, or today's snapshots of it."""
    if sys.argv[1:2] == ["--snapshots"]:
        sys.stdout.write(_list(snapshots_of(orjson.loads(Path(sys.argv[2]).read_bytes()))) + "\n")
        return
    if len(sys.argv) > 1:
        recording = orjson.loads(Path(sys.argv[1]).read_bytes())
        recording |= {"amounts_to": amounts_to(slots_of(recording))}
    else:
        room = story()
        recording = recorded(room.written, room.sent, SLOT_VERSION)
    sys.stdout.write(lines(recording))


def lines(recording: dict[str, Any]) -> str:
    """JSON with one line for each item of a list, so that a change of one shows as one."""
    stated = recording["amounts_to"]
    parts = [f'"version": {recording["version"]}']
    parts += [f'"{name}": {_list(recording[name])}' for name in ("commands", "slots")]
    inner = [f'"{name}": {_list(value) if isinstance(value, list) else _text(value)}' for name, value in stated.items()]
    return "{\n" + ",\n".join([*parts, '"amounts_to": {\n' + ",\n".join(inner) + "\n}"]) + "\n}\n"


def _list(values: Sequence[Any]) -> str:
    return "[\n" + ",\n".join(map(_text, values)) + "\n]"


def _text(value: Any) -> str:
    return orjson.dumps(value).decode()


if __name__ == "__main__":
    main()
