"""The fast book against the naive one, event for event; the fold, snapshots and all money after every step."""

import os
from dataclasses import replace
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from exchange_core.codec import Slot, decode_slot, encode_slot
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
from exchange_core.engine import PartitionEngine
from exchange_core.events import Event
from exchange_core.holds import hold_asset, required_hold
from exchange_core.instruments import SymbolStatus
from exchange_core.naive_book import NaiveBook
from exchange_core.orders import OrderTerms, OrderType, SelfTradePrevention, Side, TimeInForce
from exchange_core.topology import DEDUP_WINDOW_MS
from tests.unit.core.auditor import Auditor
from tests.unit.core.room import START_MS, listed

EXAMPLES = int(os.environ.get("CROSSBOOK_EXAMPLES", "1"))
"""Multiplies the work: 1 takes some ten seconds."""
FILL_LIMIT = 5
USERS = ("ann", "ben", "cas")
INSTRUMENTS = (
    listed(max_open_orders=12, breaker_bps=3_000, breaker_window_ms=2_000, breaker_halt_ms=1_500),
    listed(symbol="ETHUSD", base="ETH", base_decimals=3, band_bps=1_000, maker_fee_bps=0),
)

prices = st.integers(min_value=97, max_value=103) | st.integers(min_value=86, max_value=114)
quantities = st.integers(min_value=1, max_value=40)
users = st.sampled_from(USERS)
sides = st.sampled_from(Side)
instruments = st.sampled_from(INSTRUMENTS)
preventions = st.sampled_from(SelfTradePrevention)


class Matching(RuleBasedStateMachine):
    @initialize()
    def open(self) -> None:
        self.fast = PartitionEngine(0, fill_limit=FILL_LIMIT)
        self.naive = PartitionEngine(0, new_book=NaiveBook, fill_limit=FILL_LIMIT)
        self.folded = PartitionEngine(0)
        self.auditor = Auditor(0)
        self.at_ms = START_MS
        self.last_id = 100
        self.slot_number = 0
        self.slot: list[Event] = []
        self.order_ids: list[int] = []
        self.sent: list[Command] = []
        self.pass_time(0)
        for instrument in INSTRUMENTS:
            self.send(ListInstrument, instrument.symbol, user_id="op", instrument=instrument)
        for user in USERS:
            for asset, amount in (("USD", 200_000), ("BTC", 8_000), ("ETH", 8_000)):
                self.deposit(user, asset, amount)

    # --- what can be done --------------------------------------------------------------------------------------

    @rule(instrument=instruments, orders=st.lists(st.tuples(users, sides, prices, quantities), min_size=1, max_size=8))
    def place_limits(self, instrument: Any, orders: list[tuple[str, Side, int, int]]) -> None:
        for user, side, price, quantity in orders:
            self.place(instrument, user, side, price=price, quantity=quantity)

    @rule(
        instrument=instruments,
        user=users,
        side=sides,
        price=prices,
        quantity=quantities,
        time_in_force=st.sampled_from([TimeInForce.IOC, TimeInForce.FOK, TimeInForce.GTC]),
        self_trade_prevention=preventions,
    )
    def place_taker(self, instrument: Any, user: str, side: Side, **terms: Any) -> None:
        self.place(instrument, user, side, **terms)

    @rule(
        instrument=instruments,
        user=users,
        side=sides,
        price=prices,
        quantity=quantities,
        life_ms=st.none() | st.integers(min_value=-10, max_value=4_000),
        post_only=st.booleans(),
        display_quantity=st.none() | st.integers(min_value=1, max_value=10),
    )
    def place_maker(self, instrument: Any, user: str, side: Side, life_ms: int | None, **terms: Any) -> None:
        if life_ms is not None:
            terms |= {"time_in_force": TimeInForce.GTD, "expires_at_ms": self.at_ms + life_ms}
        self.place(instrument, user, side, **terms)

    @rule(
        instrument=instruments,
        user=users,
        side=sides,
        price=prices,
        quantity=st.integers(min_value=5, max_value=40),
        display_quantity=st.integers(min_value=1, max_value=5),
    )
    def place_iceberg(self, instrument: Any, user: str, side: Side, **terms: Any) -> None:
        self.place(instrument, user, side, **terms)

    @rule(instrument=instruments, user=users, side=sides, price=prices, quantity=quantities, prevention=preventions)
    def place_market(
        self, instrument: Any, user: str, side: Side, price: int, quantity: int, prevention: SelfTradePrevention
    ) -> None:
        self.place(
            instrument,
            user,
            side,
            order_type=OrderType.MARKET,
            time_in_force=TimeInForce.IOC,
            price=price,
            quantity=quantity,
            self_trade_prevention=prevention,
        )

    @rule(
        instrument=instruments,
        user=users,
        side=sides,
        price=prices,
        budget=st.integers(min_value=1, max_value=9_000),
        prevention=preventions,
    )
    def place_budget(
        self, instrument: Any, user: str, side: Side, price: int, budget: int, prevention: SelfTradePrevention
    ) -> None:
        self.place(
            instrument,
            user,
            side,
            order_type=OrderType.MARKET,
            time_in_force=TimeInForce.IOC,
            price=price if side is Side.SELL else None,
            quote_quantity=budget,
            self_trade_prevention=prevention,
        )

    @rule(
        instrument=instruments,
        user=users,
        side=sides,
        order_type=st.sampled_from(
            [OrderType.STOP, OrderType.STOP_LIMIT, OrderType.TAKE_PROFIT, OrderType.TAKE_PROFIT_LIMIT]
        ),
        price=prices,
        trigger_price=prices,
        quantity=quantities,
    )
    def place_triggered(self, instrument: Any, user: str, side: Side, **terms: Any) -> None:
        self.place(instrument, user, side, **terms)

    @precondition(lambda self: self.order_ids)
    @rule(pick=st.integers(min_value=0), user=st.none() | users)
    def cancel(self, pick: int, user: str | None) -> None:
        order_id, owner, symbol = self.pick_order(pick)
        self.send(CancelOrder, symbol, user_id=user or owner, order_id=order_id)

    @precondition(lambda self: self.auditor.open)
    @rule(pick=st.integers(min_value=0), price=st.none() | prices, quantity=st.none() | quantities, extra=st.booleans())
    def amend(self, pick: int, price: int | None, quantity: int | None, extra: bool) -> None:
        order_id = sorted(self.auditor.open)[pick % len(self.auditor.open)]
        order = self.auditor.open[order_id]
        instrument = self.auditor.instruments[order.terms.symbol]
        hold = 0
        if extra:
            per_lot = instrument.lot_units
            if order.terms.side is Side.BUY:
                per_lot = (price or order.price or 0) * instrument.tick_lot_units
            wanted = (quantity or order.filled + (order.left or 0)) - order.filled
            hold = max(0, wanted * per_lot - order.hold)
        if hold and not self.auditor.take_hold(order.terms.user_id, order.terms.hold_asset, hold):
            hold = 0
        self.send(
            AmendOrder,
            order.terms.symbol,
            user_id=order.terms.user_id,
            order_id=order_id,
            price=price,
            quantity=quantity,
            hold=hold,
            hold_asset=order.terms.hold_asset,
        )

    @rule(instrument=instruments, user=users)
    def cancel_all(self, instrument: Any, user: str) -> None:
        self.send(CancelAllOrders, instrument.symbol, user_id=user)

    @rule(instrument=instruments, user=users, in_ms=st.none() | st.integers(min_value=-5, max_value=3_000))
    def set_timer(self, instrument: Any, user: str, in_ms: int | None) -> None:
        deadline_ms = None if in_ms is None else self.at_ms + in_ms
        self.send(SetCancelTimer, instrument.symbol, user_id=user, deadline_ms=deadline_ms)

    @rule(instrument=instruments, status=st.sampled_from([*[SymbolStatus.TRADING] * 4, *SymbolStatus]))
    def set_status(self, instrument: Any, status: SymbolStatus) -> None:
        self.send(SetSymbolStatus, instrument.symbol, user_id="op", status=status)

    @rule(user=users, asset=st.sampled_from(["USD", "BTC", "ETH"]), amount=st.integers(min_value=1, max_value=900))
    def deposit(self, user: str, asset: str, amount: int) -> None:
        self.send(DepositFunds, CASH_DESK, user_id="op", account_id=user, asset=asset, amount=amount, transfer_id="in")

    @rule(user=users, amount=st.integers(min_value=1, max_value=900))
    def withdraw(self, user: str, amount: int) -> None:
        if self.auditor.take_hold(user, "USD", amount):
            self.send(
                WithdrawFunds, CASH_DESK, user_id="op", account_id=user, asset="USD", amount=amount, transfer_id="out"
            )

    @rule(pick=st.integers(min_value=0))
    def repeat(self, pick: int) -> None:
        """SQS delivers twice, the sweeper sends again: nothing happens."""
        command = self.sent[pick % len(self.sent)]
        assert self.fast.execute(command, self.at_ms) == []
        assert self.naive.execute(command, self.at_ms) == []

    @rule(milliseconds=st.sampled_from([0, 1, 700, 3_000]))
    def pass_time(self, milliseconds: int) -> None:
        self.close_slot()
        self.at_ms += milliseconds
        self.take_in(self.fast.begin_slot(self.at_ms), self.naive.begin_slot(self.at_ms))

    @rule()
    def outlive_the_window(self) -> None:
        self.pass_time(DEDUP_WINDOW_MS)
        self.sent = [command for command in self.sent if command.command_id in self.auditor.open] or self.sent[:0]
        self.deposit("ann", "USD", 1)

    @rule()
    def restart_from_snapshot(self) -> None:
        self.close_slot()
        self.fast = PartitionEngine.restore(self.fast.snapshot(), fill_limit=FILL_LIMIT)

    @rule()
    def restart_from_journal(self) -> None:
        self.close_slot()
        self.naive = PartitionEngine.restore(self.folded.snapshot(), new_book=NaiveBook, fill_limit=FILL_LIMIT)

    # --- how it is done and checked ----------------------------------------------------------------------------

    def next_id(self) -> int:
        self.last_id += 1
        return self.last_id

    def place(self, instrument: Any, user: str, side: Side, **terms: Any) -> None:
        asset = hold_asset(side, instrument)
        values = {"order_type": OrderType.LIMIT, "time_in_force": TimeInForce.GTC} | terms
        asked = OrderTerms(
            order_id=self.next_id(),
            user_id=user,
            client_order_id="",
            symbol=instrument.symbol,
            side=side,
            hold=0,
            hold_asset=asset,
            entered_at_ms=self.at_ms,
            **values,
        )
        hold = required_hold(asked, instrument)
        if self.auditor.take_hold(user, asset, hold):
            fields = {name: getattr(asked, name) for name in asked.__dataclass_fields__}
            self.execute(PlaceOrder(**(fields | {"hold": hold})))
            self.order_ids.append(asked.order_id)

    def pick_order(self, pick: int) -> tuple[int, str, str]:
        order_id = self.order_ids[pick % len(self.order_ids)]
        order = self.auditor.open.get(order_id)
        return (order_id, order.terms.user_id, order.terms.symbol) if order else (order_id, "ann", "BTCUSD")

    def send(self, kind: Any, symbol: str, **values: Any) -> None:
        self.execute(kind(command_id=self.next_id(), symbol=symbol, entered_at_ms=self.at_ms, **values))

    def execute(self, command: Command) -> None:
        events = self.fast.execute(command, self.at_ms)
        assert events, "every command leaves a trace, so that a repeat is known"
        self.take_in(events, self.naive.execute(command, self.at_ms))
        self.sent.append(command)

    def take_in(self, fast: list[Event], naive: list[Event]) -> None:
        assert fast == naive
        self.slot += fast
        self.auditor.observe(fast)
        for symbol in self.fast.instruments:
            bids, asks = self.fast.depth(symbol, 100)
            assert (bids, asks) == self.naive.depth(symbol, 100)
            assert not bids or not asks or bids[0][0] < asks[0][0], "a book is never crossed at rest"
            assert all(quantity > 0 for _, quantity in [*bids, *asks])
            assert [price for price, _ in bids] == sorted({price for price, _ in bids}, reverse=True)
            assert [price for price, _ in asks] == sorted({price for price, _ in asks})

    def close_slot(self) -> None:
        if not self.slot:
            return
        self.slot_number += 1
        slot = Slot(
            partition=0,
            n=self.slot_number,
            at_ms=self.fast.at_ms,
            fed_through=0,
            writer="property",
            events=tuple(self.slot),
        )
        self.slot = []
        decoded = decode_slot(encode_slot(slot))
        assert decoded == slot
        self.folded.apply_slot(replace(decoded))
        expected = self.fast.state_hash()
        assert self.naive.state_hash() == expected
        assert self.folded.state_hash() == expected
        assert PartitionEngine.restore(self.fast.snapshot()).state_hash() == expected

    def teardown(self) -> None:
        if hasattr(self, "fast"):
            self.close_slot()


TestMatching = Matching.TestCase
TestMatching.settings = settings(
    max_examples=120 * EXAMPLES,
    stateful_step_count=60,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much],
)
