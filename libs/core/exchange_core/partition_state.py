"""All that a partition is at one moment: its symbols, and what they share."""

from collections.abc import Callable

from exchange_core.agenda import Agenda, DueItem, DueKind
from exchange_core.commands import CASH_DESK
from exchange_core.instruments import Instrument
from exchange_core.matching import OrderBook
from exchange_core.memory import NO_OWNER, CommandMemory
from exchange_core.open_order import OpenOrder
from exchange_core.symbol_state import SymbolState


class PartitionState:
    """One partition. `at_ms` is the journal time; `cash_seq` numbers the events of CASH_DESK; `orders` holds every
    open order by id; `new_book` makes the book of a symbol from the quote units that a lot costs at one tick.
    """

    __slots__ = ("agenda", "at_ms", "cash_seq", "memory", "new_book", "orders", "partition", "symbols")

    def __init__(self, partition: int, new_book: Callable[[int], OrderBook]) -> None:
        self.partition = partition
        self.new_book = new_book
        self.at_ms = 0
        self.cash_seq = 0
        self.symbols: dict[str, SymbolState] = {}
        self.orders: dict[int, OpenOrder] = {}
        self.memory = CommandMemory()
        self.agenda = Agenda(self._is_current)

    def move_to(self, at_ms: int) -> None:
        """Time goes on, never back; commands that are past the window are forgotten."""
        if at_ms > self.at_ms:
            self.at_ms = at_ms
            self.memory.move_to(at_ms)

    def add_symbol(self, instrument: Instrument) -> SymbolState:
        """A symbol with an empty book."""
        assert instrument.symbol not in self.symbols, "a symbol is listed once"
        book = self.new_book(instrument.tick_lot_units)
        state = SymbolState(instrument, book, self.orders, self.memory, self.agenda)
        self.symbols[instrument.symbol] = state
        return state

    def is_known(self, command_id: int) -> bool:
        """Whether a command with this id was executed already, and not too long ago to be remembered."""
        return command_id in self.orders or command_id in self.memory.owners

    def remember(self, command_id: int) -> None:
        """A command other than an order was executed. Ids that are not positive name no command."""
        if command_id > 0 and not self.is_known(command_id):
            self.memory.remember(command_id, NO_OWNER)

    def number(self, symbol: str) -> tuple[str, int]:
        """The next number of a symbol, or of CASH_DESK for one that is not listed and so has no numbers."""
        state = self.symbols.get(symbol)
        if state is not None:
            state.seq += 1
            return symbol, state.seq
        self.cash_seq += 1
        return CASH_DESK, self.cash_seq

    def _is_current(self, item: DueItem) -> bool:
        at_ms, kind, symbol, user_id, order_id = item
        state = self.symbols[symbol]
        match kind:
            case DueKind.BREAKER_END:
                return state.breaker_until_ms == at_ms
            case DueKind.CANCEL_TIMER:
                return state.timers.get(user_id) == at_ms
            case DueKind.ORDER_EXPIRY:
                return order_id in self.orders
