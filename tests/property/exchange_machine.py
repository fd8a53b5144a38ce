"""Three engines in step, and what stands around them: a gateway's manners, a journal, an auditor, crashes.

`fast` runs on the book that trades, `naive` on the reference one, `folded` hears only what the journal says. A machine
adds rules to this; whatever they do, every step ends with all of them compared and all money accounted for.
"""

from collections import Counter
from decimal import Decimal
from typing import Any, ClassVar, NamedTuple

from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant

from exchange_core.codec import Slot, decode_slot, encode_slot
from exchange_core.commands import CASH_DESK, Command, DepositFunds, ListInstrument, PlaceOrder
from exchange_core.engine import PartitionEngine
from exchange_core.events import Event
from exchange_core.holds import hold_asset, required_hold
from exchange_core.instruments import Instrument
from exchange_core.naive_book import NaiveBook
from exchange_core.orders import OrderTerms, OrderType, Side, TimeInForce
from exchange_core.topology import DEDUP_WINDOW_MS
from tests.unit.core.auditor import Auditor
from tests.unit.core.room import START_MS, listed

FILL_LIMIT = 5
USERS = ("ann", "ben", "cas")
FUNDS = (("USD", 200_000), ("BTC", 8_000), ("ETH", 8_000))
LISTED = (
    listed(max_open_orders=6, breaker_bps=3_000, breaker_window_ms=2_000, breaker_halt_ms=1_500),
    listed(symbol="ETHUSD", base="ETH", base_decimals=3, band_bps=1_000, maker_fee_bps=0),
)
LATER = listed(symbol="ETHBTC", base="ETH", base_decimals=3, quote="BTC", quote_decimals=4, lot_size=Decimal("0.01"))
"""Unknown at first: a rule may list it."""
INSTRUMENTS = (*LISTED, LATER)


class Hold(NamedTuple):
    """What the gateway set aside; it stays so whatever becomes of the matcher."""

    user_id: str
    asset: str
    amount: int


class ExchangeMachine(RuleBasedStateMachine):
    """`history` is what the auditor has been told; of the events in it those since the last slot may yet be lost.

    `endings` counts, over all machines of this process, what came of orders and commands: what a run has been through.
    """

    endings: ClassVar[Counter[str]] = Counter()

    @initialize()
    def open(self) -> None:
        self.fast = PartitionEngine(0, fill_limit=FILL_LIMIT)
        self.naive = PartitionEngine(0, new_book=NaiveBook, fill_limit=FILL_LIMIT)
        self.folded = PartitionEngine(0)
        self.auditor = Auditor(0)
        self.history: list[Hold | list[Event]] = []
        self.at_ms = START_MS
        self.last_id = 100
        self.slot_number = 0
        self.slot: list[Event] = []
        self.unjournaled: list[Command] = []
        self.sent: list[Command] = []
        self.order_ids: list[int] = []
        self.begin_slot()
        for instrument in LISTED:
            self.send(ListInstrument, instrument.symbol, user_id="op", instrument=instrument)
        for user in USERS:
            for asset, amount in FUNDS:
                self.credit(user, asset, amount)
        self.close_slot()
        self.begin_slot()

    @invariant()
    def all_agree(self) -> None:
        """After every step, within a slot too: the same books, nothing crossed, all money in its place."""
        if not hasattr(self, "fast"):
            return
        self.auditor.check_money()
        for symbol in self.fast.instruments:
            bids, asks = self.fast.depth(symbol, 100)
            assert (bids, asks) == self.naive.depth(symbol, 100)
            assert not bids or not asks or bids[0][0] < asks[0][0], "a book is never crossed at rest"
            assert all(quantity > 0 for _, quantity in [*bids, *asks])
            assert [price for price, _ in bids] == sorted({price for price, _ in bids}, reverse=True)
            assert [price for price, _ in asks] == sorted({price for price, _ in asks})

    def teardown(self) -> None:
        if hasattr(self, "fast"):
            self.close_slot()

    # --- the gateway ---------------------------------------------------------------------------------------------

    def next_id(self) -> int:
        self.last_id += 1
        return self.last_id

    def take_hold(self, user_id: str, asset: str, amount: int) -> bool:
        """Out of what is settled; what a slot brings that is not journaled yet may still be lost."""
        spendable = self.auditor.available(user_id, asset) - self.auditor.fresh.get((user_id, asset), 0)
        if amount > spendable:
            return False
        assert self.auditor.take_hold(user_id, asset, amount)
        self.history.append(Hold(user_id, asset, amount))
        return True

    def place(
        self, instrument: Instrument, user_id: str, side: Side, *, too_much: int = 0, late_ms: int = 0, **terms: Any
    ) -> None:
        """Send an order if its user can pay for it; `too_much` units more or less than it needs are set aside."""
        values = {"order_type": OrderType.LIMIT, "time_in_force": TimeInForce.GTC} | terms
        asked = OrderTerms(
            order_id=self.next_id(),
            user_id=user_id,
            client_order_id="",
            symbol=instrument.symbol,
            side=side,
            hold=0,
            hold_asset=hold_asset(side, instrument),
            entered_at_ms=self.at_ms - late_ms,
            **values,
        )
        hold = max(0, _hold_for(asked, instrument) + too_much)
        if self.take_hold(user_id, asked.hold_asset, hold):
            fields = {name: getattr(asked, name) for name in asked.__dataclass_fields__}
            self.order_ids.append(asked.order_id)
            self.execute(PlaceOrder(**(fields | {"hold": hold})))

    def send(self, kind: Any, symbol: str, *, late_ms: int = 0, **values: Any) -> None:
        self.execute(kind(command_id=self.next_id(), symbol=symbol, entered_at_ms=self.at_ms - late_ms, **values))

    def credit(self, user_id: str, asset: str, amount: int) -> None:
        self.send(
            DepositFunds, CASH_DESK, user_id="op", account_id=user_id, asset=asset, amount=amount, transfer_id="in"
        )

    # --- the matcher ---------------------------------------------------------------------------------------------

    def execute(self, command: Command) -> None:
        events = self.fast.execute(command, self.at_ms)
        assert events, "every command leaves a trace, so that a repeat is known"
        self.unjournaled.append(command)
        self.sent.append(command)
        self.take_in(events, self.naive.execute(command, self.at_ms))

    def take_in(self, fast: list[Event], naive: list[Event]) -> None:
        assert fast == naive
        self.slot += fast
        self.history.append(fast)
        self.auditor.observe(fast)
        self.endings.update(ending(event) for event in fast)

    def begin_slot(self, milliseconds: int = 0) -> None:
        self.at_ms += milliseconds
        self.take_in(self.fast.begin_slot(self.at_ms), self.naive.begin_slot(self.at_ms))

    def close_slot(self) -> None:
        """Journal what happened since the last slot; the fold must come to where the live engines are."""
        if self.slot:
            self.slot_number += 1
            slot = Slot(
                partition=0,
                n=self.slot_number,
                at_ms=self.fast.at_ms,
                fed_through=0,
                writer="property",
                events=tuple(self.slot),
            )
            decoded = decode_slot(encode_slot(slot))
            assert decoded == slot
            self.folded.apply_slot(decoded)
            live = self.fast.state_hash()
            assert self.naive.state_hash() == live, "the books keep orders otherwise"
            assert self.folded.state_hash() == live, "the fold stands elsewhere"
            assert PartitionEngine.restore(self.fast.snapshot()).state_hash() == live, "the snapshot is not complete"
        self.slot, self.unjournaled = [], []
        self.auditor.settle()

    def crash(self, milliseconds: int) -> None:
        """The matcher dies with its slot not journaled: the journal alone is true, and the commands come again."""
        lost, kept_events = self.unjournaled, len(self.slot)
        history = [entry for entry in self.history if isinstance(entry, Hold) or entry]
        while kept_events:
            at = max(index for index, entry in enumerate(history) if not isinstance(entry, Hold))
            kept_events -= len(history.pop(at))
        self.slot, self.unjournaled, self.history, self.auditor = [], [], history, Auditor(0)
        for entry in history:
            if isinstance(entry, Hold):
                assert self.auditor.take_hold(*entry), "what was settled is there"
            else:
                self.auditor.observe(entry)
        state = self.folded.snapshot()
        self.fast = PartitionEngine.restore(state, fill_limit=FILL_LIMIT)
        self.naive = PartitionEngine.restore(state, new_book=NaiveBook, fill_limit=FILL_LIMIT)
        self.sent = self.sent[: len(self.sent) - len(lost)]
        self.begin_slot(milliseconds)
        for command in lost:
            self.execute(command)

    def forget(self) -> None:
        """Time goes on by more than the window in which repeats are known; none comes that late."""
        self.close_slot()
        self.begin_slot(DEDUP_WINDOW_MS)
        self.sent = [command for command in self.sent if command.command_id in self.auditor.open]


def ending(event: Event) -> str:
    """The event's name, with the reason if it has one."""
    reason = getattr(event, "reason", None)
    return type(event).__name__ + (f" {reason}" if reason else "")


def _hold_for(asked: OrderTerms, instrument: Instrument) -> int:
    """What a gateway sets aside, also for an order that makes no sense."""
    if asked.quote_quantity is None and (asked.quantity is None or asked.price is None):
        return 7
    if asked.quote_quantity is not None and asked.side is Side.SELL and not asked.price:
        return 7
    return required_hold(asked, instrument)
