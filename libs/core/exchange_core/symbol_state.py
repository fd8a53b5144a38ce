"""All that a symbol is at one moment, and the steps by which both the live engine and the fold change it."""

from dataclasses import replace

from exchange_core.agenda import Agenda, DueKind
from exchange_core.breaker import Breaker
from exchange_core.checks import band
from exchange_core.instruments import Instrument, SymbolStatus
from exchange_core.matching import OrderBook
from exchange_core.memory import CommandMemory
from exchange_core.open_order import OpenOrder
from exchange_core.triggers import TriggerBook, is_reached

LastTrade = tuple[int, int, int]
"""Price in ticks, quantity in lots, journal time in ms."""


class SymbolState:
    """One symbol. `orders`, `memory` and `agenda` are the partition's, shared by all its symbols.

    `seq` and `trade_id` are the last ones given out. `by_user` holds every open order, resting or waiting, in order of
    entry. `timers` maps a user to the deadline, in ms, of his cancel timer. `breaker_until_ms` is set while the
    breaker keeps the symbol from trading. Only while it `is_trading` may orders enter, change and trigger.
    """

    __slots__ = (
        "agenda",
        "book",
        "breaker",
        "breaker_until_ms",
        "by_user",
        "instrument",
        "is_trading",
        "last_trade",
        "lot_units",
        "memory",
        "orders",
        "seq",
        "symbol",
        "tick_lot_units",
        "timers",
        "trade_id",
        "triggers",
    )

    def __init__(
        self,
        instrument: Instrument,
        book: OrderBook,
        orders: dict[int, OpenOrder],
        memory: CommandMemory,
        agenda: Agenda,
    ) -> None:
        self.instrument = instrument
        self.is_trading = instrument.status is SymbolStatus.TRADING
        self.symbol = instrument.symbol
        self.lot_units = instrument.lot_units
        self.tick_lot_units = instrument.tick_lot_units
        self.book = book
        self.orders = orders
        self.memory = memory
        self.agenda = agenda
        self.seq = 0
        self.trade_id = 0
        self.last_trade: LastTrade | None = None
        self.by_user: dict[str, dict[int, OpenOrder]] = {}
        self.triggers = TriggerBook()
        self.timers: dict[str, int] = {}
        self.breaker = Breaker(instrument)
        self.breaker_until_ms: int | None = None

    def enter(self, order: OpenOrder) -> None:
        """The order is open from here on; where it stands, in the book or waiting, is the caller's business."""
        self.orders[order.order_id] = order
        of_user = self.by_user.get(order.user_id)
        if of_user is None:
            self.by_user[order.user_id] = {order.order_id: order}
        else:
            of_user[order.order_id] = order
        if order.expires_at_ms is not None:
            self.agenda.add((order.expires_at_ms, DueKind.ORDER_EXPIRY, self.symbol, "", order.order_id))

    def wait(self, order: OpenOrder) -> None:
        """The order waits for its trigger, or for its turn if the last trade has reached it already."""
        reached = self.last_trade is not None and is_reached(order, self.last_trade[0])
        self.triggers.add(order, is_reached=reached)
        self.enter(order)

    def close(self, order: OpenOrder) -> None:
        """The order ended: it stands nowhere any more, and is remembered."""
        if order.level is not None:
            self.book.remove(order)
        elif order.is_waiting:
            self.triggers.remove(order)
        order_id, user_id = order.order_id, order.user_id
        if self.orders.pop(order_id, None) is not None:
            of_user = self.by_user[user_id]
            del of_user[order_id]
            if not of_user:
                del self.by_user[user_id]
        self.memory.remember(order_id, user_id)

    def note_trade(self, price: int, quantity: int, at_ms: int) -> bool:
        """A trade took place; returns whether it went further than the breaker lets it."""
        self.trade_id += 1
        self.last_trade = (price, quantity, at_ms)
        self.triggers.note_trade(price)
        return self.breaker.is_on and self.breaker.note_trade(price, at_ms)

    def set_status(self, status: SymbolStatus, until_ms: int | None) -> None:
        """`until_ms` if the breaker did it."""
        self.instrument = replace(self.instrument, status=status)
        self.is_trading = status is SymbolStatus.TRADING
        self.breaker_until_ms = until_ms
        if until_ms is not None:
            self.breaker.clear()
            self.agenda.add((until_ms, DueKind.BREAKER_END, self.symbol, "", 0))

    def set_timer(self, user_id: str, deadline_ms: int | None) -> None:
        """Arm, renew or disarm the cancel timer of a user."""
        if deadline_ms is None:
            self.timers.pop(user_id, None)
        else:
            self.timers[user_id] = deadline_ms
            self.agenda.add((deadline_ms, DueKind.CANCEL_TIMER, self.symbol, user_id, 0))

    def price_band(self, side_is_buy: bool) -> tuple[int, int]:
        """The lowest and highest price, in ticks, at which an order of this side may trade now: around the last trade;
        else the best opposite price; else the instrument's reference."""
        if self.last_trade is not None:
            reference: int | None = self.last_trade[0]
        else:
            reference = self.book.best_price(not side_is_buy)
        return band(reference or self.instrument.reference_price, self.instrument.band_bps)
