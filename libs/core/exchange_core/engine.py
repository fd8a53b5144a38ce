"""The matcher of one partition: commands in, events out, and its state rebuilt from events."""

from collections.abc import Callable, Mapping, Sequence
from typing import Final

from exchange_core import cash_desk
from exchange_core.agenda import DueItem, DueKind
from exchange_core.amend import amend
from exchange_core.book import Book
from exchange_core.codec import Slot
from exchange_core.commands import (
    CASH_DESK,
    AmendOrder,
    CancelAllOrders,
    CancelOrder,
    Command,
    DepositFunds,
    ListInstrument,
    PlaceOrder,
    SetCancelTimer,
    SetSymbolStatus,
    WithdrawFunds,
)
from exchange_core.events import CommandRefused, Event, InstrumentListed, OrderRejected
from exchange_core.fold import SymbolFold
from exchange_core.instruments import Instrument
from exchange_core.market_data import Level
from exchange_core.matching import OrderBook
from exchange_core.memory import NO_OWNER
from exchange_core.orders import Reason
from exchange_core.partition_state import PartitionState
from exchange_core.snapshot import StateImage, decode_state, state_hash
from exchange_core.steps import Steps, at_once
from exchange_core.symbol_engine import FILL_LIMIT, SymbolEngine, rejected
from exchange_core.symbol_state import LastTrade, SymbolState

DUE_EVENTS_MAX: Final = 2_000
"""`begin_slot` stops after this many events; what else is due is left for the next slot."""


class PartitionEngine:
    """The state of one partition, and the only way to change it.

    Live: `begin_slot(t)`, then `execute` for each command of the batch, all at that t; their events make one slot at
    `at_ms`. Recovery and audit: `apply_slot` for each slot. Both lead to the same state, which `state_hash` proves.
    Nothing that a command says makes a method raise: what makes no sense is refused by an event. Not thread-safe.
    """

    def __init__(
        self, partition: int, *, new_book: Callable[[int], OrderBook] = Book, fill_limit: int = FILL_LIMIT
    ) -> None:
        self._fill_limit = fill_limit
        self._state = PartitionState(partition, new_book)
        self._engines: dict[str, SymbolEngine] = {}
        self._folds: dict[str, SymbolFold] = {}

    @classmethod
    def restore(
        cls, data: bytes, *, new_book: Callable[[int], OrderBook] = Book, fill_limit: int = FILL_LIMIT
    ) -> "PartitionEngine":
        """The engine whose `snapshot` this is; raises wire.DecodeError if it is none."""
        return at_once(cls.restoring(data, new_book=new_book, fill_limit=fill_limit))

    @classmethod
    def restoring(
        cls, data: bytes, *, new_book: Callable[[int], OrderBook] = Book, fill_limit: int = FILL_LIMIT
    ) -> Steps["PartitionEngine"]:
        """The same in steps."""
        state = yield from decode_state(data, new_book)
        engine = cls(state.partition, new_book=new_book, fill_limit=fill_limit)
        engine._state = state
        for symbol_state in state.symbols.values():
            engine._attend(symbol_state)
        return engine

    def snapshot(self) -> bytes:
        """The whole state, for `restore`."""
        return at_once(self.image().encode())

    def image(self) -> StateImage:
        """The whole state as it is now, to be encoded in steps while the engine goes on."""
        return StateImage(self._state)

    def state_hash(self) -> str:
        """SHA-256 over the canonical state, in hexadecimal: the same for live, folded and restored engines."""
        return state_hash(self._state)

    @property
    def partition(self) -> int:
        """Its number."""
        return self._state.partition

    @property
    def at_ms(self) -> int:
        """The journal time, which never goes back: a slot's `at_ms` must be this one."""
        return self._state.at_ms

    @property
    def instruments(self) -> Mapping[str, Instrument]:
        """Every listed instrument with its present status, by symbol."""
        return {symbol: state.instrument for symbol, state in self._state.symbols.items()}

    def depth(self, symbol: str, levels: int) -> tuple[Sequence[Level], Sequence[Level]]:
        """The best bids and asks of a listed symbol, best first: (price in ticks, visible quantity in lots)."""
        book = self._state.symbols[symbol].book
        return book.depth(True, levels), book.depth(False, levels)

    def last_trade(self, symbol: str) -> LastTrade | None:
        """(price in ticks, quantity in lots, journal time in ms) of a listed symbol's last trade."""
        return self._state.symbols[symbol].last_trade

    def seq(self, symbol: str) -> int:
        """The number of the last event of a symbol, or of CASH_DESK; 0 for a symbol that is not listed."""
        if symbol == CASH_DESK:
            return self._state.cash_seq
        state = self._state.symbols.get(symbol)
        return 0 if state is None else state.seq

    def next_due_ms(self) -> int | None:
        """When `begin_slot` will next have something to say, in ms of journal time; None: never, as things stand.

        Not after `at_ms`: more is due than the slot just begun could take. Journal it and begin another.
        """
        if self._engines_to_fire():
            return self._state.at_ms
        item = self._state.agenda.first()
        return None if item is None else item[0]

    def begin_slot(self, at_ms: int) -> list[Event]:
        """Time moves on to `at_ms` (never back): old commands are forgotten, and what is due happens."""
        state = self._state
        state.move_to(at_ms)
        events: list[Event] = []
        for engine in self._engines_to_fire():
            engine.events, engine.at_ms = events, state.at_ms
            engine.fire_triggers()
        while len(events) < DUE_EVENTS_MAX:
            item = state.agenda.first()
            if item is None or item[0] > state.at_ms:
                break
            self._meet(item, events)
        return events

    def execute(self, command: Command, at_ms: int) -> list[Event]:
        """The events of a command; none when its id is known already."""
        state = self._state
        if at_ms > state.at_ms:
            state.move_to(at_ms)
        command_id = command.order_id if type(command) is PlaceOrder else command.command_id
        if command_id in state.orders or command_id in state.memory.owners:
            return []
        events: list[Event] = []
        engine = self._engines.get(command.symbol)
        if engine is not None:
            engine.events, engine.at_ms = events, state.at_ms
        if type(command) is PlaceOrder:
            if engine is not None:
                engine.place(command)
            else:
                events.append(rejected(command, 0, Reason.SYMBOL_UNKNOWN))
                state.memory.remember(command_id, command.user_id)
            return events
        if command_id <= 0:
            return [cash_desk.refuse(state, command, Reason.INVALID)]
        if engine is None or not _execute_for_symbol(engine, command):
            events.append(self._execute_for_partition(command))
        state.memory.remember(command_id, NO_OWNER)
        return events

    def refuse_undecodable(self, group: str, cause: int, digest: str) -> list[Event]:
        """A message that is no command of any version: known by `cause`, told with the SHA-256 of its body.
        `group` is its message group, where a symbol should stand."""
        if self._state.is_known(cause):
            return []
        symbol, seq = self._state.number(group)
        self._state.remember(cause)
        return [
            CommandRefused(
                seq=seq,
                symbol=symbol,
                cause=cause,
                user_id="",
                order_id=0,
                reason=Reason.UNDECODABLE,
                detail=digest,
            )
        ]

    def refuse_unseen(self, command: Command) -> list[Event]:
        """Refuse a command that `execute` failed at, as Reason.INVALID: its hold goes back, its id is known."""
        state = self._state
        if state.is_known(command.command_id):
            return []
        if not isinstance(command, PlaceOrder):
            state.remember(command.command_id)
            return [cash_desk.refuse(state, command, Reason.INVALID)]
        state.memory.remember(command.order_id, command.user_id)
        seq = state.number(command.symbol)[1] if command.symbol in state.symbols else 0
        return [rejected(command, seq, Reason.INVALID)]

    def apply_slot(self, slot: Slot) -> None:
        """The fold: move on by one journaled slot. Events that do not follow from the state are our own bug."""
        state = self._state
        assert slot.partition == state.partition, "a slot of another partition"
        state.move_to(slot.at_ms)
        for event in slot.events:
            if isinstance(event, InstrumentListed):
                self._attend(state.add_symbol(event.instrument))
            fold = self._folds.get(event.symbol)
            if fold is not None:
                fold.apply(event, state.at_ms)
            elif isinstance(event, OrderRejected):
                state.memory.remember(event.order_id, event.user_id)
            else:
                assert event.symbol == CASH_DESK and event.seq == state.cash_seq + 1, "the cash desk has no gaps"
                state.cash_seq = event.seq
            state.remember(event.cause)
        for fold in self._folds.values():
            fold.end_slot()

    def _attend(self, state: SymbolState) -> None:
        self._engines[state.symbol] = SymbolEngine(state, self._fill_limit)
        self._folds[state.symbol] = SymbolFold(state)

    def _engines_to_fire(self) -> list[SymbolEngine]:
        """In order of their symbols: so that a restored engine goes on just as this one would."""
        return [
            engine
            for _, engine in sorted(self._engines.items())
            if engine.state.is_trading and engine.state.triggers.first_reached() is not None
        ]

    def _meet(self, item: DueItem, events: list[Event]) -> None:
        _, kind, symbol, user_id, order_id = item
        engine = self._engines[symbol]
        engine.events, engine.at_ms = events, self._state.at_ms
        match kind:
            case DueKind.BREAKER_END:
                engine.breaker_due()
            case DueKind.CANCEL_TIMER:
                engine.timer_due(user_id)
            case DueKind.ORDER_EXPIRY:
                engine.order_due(self._state.orders[order_id])

    def _execute_for_partition(self, command: Command) -> Event:
        match command:
            case DepositFunds():
                return cash_desk.deposit(self._state, command)
            case WithdrawFunds():
                return cash_desk.withdraw(self._state, command)
            case ListInstrument():
                event = cash_desk.list_instrument(self._state, command)
                if isinstance(event, InstrumentListed):
                    self._attend(self._state.symbols[event.symbol])
                return event
            case _:
                return cash_desk.refuse(self._state, command, Reason.SYMBOL_UNKNOWN)


def _execute_for_symbol(engine: SymbolEngine, command: Command) -> bool:
    """Whether it was a command for a listed symbol; then it is executed."""
    match command:
        case CancelOrder():
            engine.cancel(command)
        case AmendOrder():
            amend(engine, command)
        case CancelAllOrders():
            engine.cancel_all(command)
        case SetCancelTimer():
            engine.set_timer(command)
        case SetSymbolStatus():
            engine.set_status(command)
        case _:
            return False
    return True
