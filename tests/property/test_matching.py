"""The fast book against the naive one, event for event; the fold, snapshots and all money after every step."""

import os
from dataclasses import replace
from typing import Any, get_args

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import precondition, rule

from exchange_core.commands import (
    CASH_DESK,
    AmendOrder,
    CancelAllOrders,
    CancelOrder,
    ListInstrument,
    SetCancelTimer,
    SetSymbolStatus,
    WithdrawFunds,
)
from exchange_core.engine import PartitionEngine
from exchange_core.events import CommandRefused, Event, OrderDone, OrderRejected
from exchange_core.instruments import SymbolStatus
from exchange_core.naive_book import NaiveBook
from exchange_core.orders import OrderType, Reason, SelfTradePrevention, Side, TimeInForce
from exchange_core.topology import ORDER_MAX_AGE_MS
from tests.property.exchange_machine import FILL_LIMIT, INSTRUMENTS, LATER, LISTED, USERS, ExchangeMachine

EXAMPLES = int(os.environ.get("CROSSBOOK_EXAMPLES", "1"))
"""Multiplies the work: 1 takes some ten seconds, `make test` does 20 (2,000 examples)."""

prices = st.integers(min_value=97, max_value=103) | st.integers(min_value=86, max_value=114)
quantities = st.integers(min_value=1, max_value=40)
users = st.sampled_from(USERS)
sides = st.sampled_from(Side)
instruments = st.sampled_from([*LISTED * 4, LATER])
preventions = st.sampled_from(SelfTradePrevention)
triggered_types = st.sampled_from(
    [OrderType.STOP, OrderType.STOP_LIMIT, OrderType.TAKE_PROFIT, OrderType.TAKE_PROFIT_LIMIT]
)
lives_ms = st.none() | st.integers(min_value=-10, max_value=4_000)
delays_ms = st.sampled_from([0, 0, 0, 0, ORDER_MAX_AGE_MS, ORDER_MAX_AGE_MS + 1])
"""How long a command was on its way: some come when they are too old to trade."""
anything = st.fixed_dictionaries(
    {
        "order_type": st.sampled_from(OrderType),
        "time_in_force": st.sampled_from(TimeInForce),
        "price": st.none() | prices | st.integers(min_value=0, max_value=3),
        "quantity": st.none() | quantities | st.sampled_from([0, 10_001]),
    },
    optional={
        "quote_quantity": st.none() | st.integers(min_value=0, max_value=2_000),
        "trigger_price": st.none() | prices,
        "display_quantity": st.none() | st.integers(min_value=0, max_value=41),
        "post_only": st.booleans(),
        "self_trade_prevention": preventions,
        "too_much": st.sampled_from([0, 0, -1, 1]),
    },
)


class Matching(ExchangeMachine):
    # --- orders --------------------------------------------------------------------------------------------------

    @rule(instrument=instruments, orders=st.lists(st.tuples(users, sides, prices, quantities), min_size=1, max_size=8))
    def place_limits(self, instrument: Any, orders: list[tuple[str, Side, int, int]]) -> None:
        for user, side, price, quantity in orders:
            self.place(instrument, user, side, price=price, quantity=quantity)

    @rule(
        instrument=instruments,
        user_id=users,
        side=sides,
        price=prices,
        quantity=quantities,
        time_in_force=st.sampled_from([TimeInForce.IOC, TimeInForce.FOK, TimeInForce.GTC]),
        self_trade_prevention=preventions,
        late_ms=delays_ms,
    )
    def place_taker(self, **terms: Any) -> None:
        self.place(**terms)

    @rule(
        instrument=instruments,
        user_id=users,
        side=sides,
        price=prices,
        quantity=quantities,
        life_ms=lives_ms,
        post_only=st.booleans(),
        display_quantity=st.none() | st.integers(min_value=1, max_value=10),
    )
    def place_maker(self, life_ms: int | None, **terms: Any) -> None:
        self.place(**self.dated(terms, life_ms))

    @rule(
        instrument=instruments,
        user_id=users,
        side=sides,
        price=prices,
        quantity=st.integers(min_value=5, max_value=40),
        display_quantity=st.integers(min_value=1, max_value=5),
        self_trade_prevention=preventions,
    )
    def place_iceberg(self, **terms: Any) -> None:
        self.place(**terms)

    @rule(
        instrument=instruments,
        user_id=users,
        side=sides,
        price=prices,
        quantity=quantities,
        time_in_force=st.sampled_from([TimeInForce.IOC, TimeInForce.FOK]),
        self_trade_prevention=preventions,
    )
    def place_market(self, **terms: Any) -> None:
        self.place(order_type=OrderType.MARKET, **terms)

    @rule(
        instrument=instruments,
        user_id=users,
        side=sides,
        price=prices,
        quote_quantity=st.integers(min_value=1, max_value=9_000),
        self_trade_prevention=preventions,
    )
    def place_budget(self, side: Side, price: int, **terms: Any) -> None:
        protection = price if side is Side.SELL else None
        ioc = TimeInForce.IOC
        self.place(side=side, order_type=OrderType.MARKET, time_in_force=ioc, price=protection, **terms)

    @rule(
        instrument=instruments,
        user_id=users,
        side=sides,
        order_type=triggered_types,
        price=prices,
        trigger_price=prices,
        quantity=quantities,
        self_trade_prevention=preventions,
    )
    def place_triggered(self, **terms: Any) -> None:
        self.place(**terms)

    @rule(
        instrument=instruments,
        user_id=users,
        side=sides,
        order_type=st.sampled_from([OrderType.STOP_LIMIT, OrderType.TAKE_PROFIT_LIMIT]),
        time_in_force=st.sampled_from([TimeInForce.GTC, TimeInForce.IOC, TimeInForce.FOK]),
        price=prices,
        trigger_price=prices,
        quantity=st.integers(min_value=5, max_value=40),
        life_ms=lives_ms,
        post_only=st.booleans(),
        display_quantity=st.none() | st.integers(min_value=1, max_value=5),
    )
    def place_triggered_limit(self, life_ms: int | None, **terms: Any) -> None:
        """What triggers may itself be dated, post-only, an iceberg, or have to fill at once."""
        if terms["time_in_force"] is not TimeInForce.GTC:
            self.place(**terms | {"post_only": False, "display_quantity": None})
        else:
            self.place(**self.dated(terms, life_ms))

    @rule(instrument=instruments, user_id=users, side=sides, terms=anything, life_ms=lives_ms)
    def place_anything(self, terms: dict[str, Any], life_ms: int | None, **who: Any) -> None:
        """Most of these make no sense, and are refused with their hold given back."""
        expires_at_ms = None if life_ms is None else self.at_ms + life_ms
        self.place(**who, **terms, expires_at_ms=expires_at_ms)

    # --- what becomes of them ------------------------------------------------------------------------------------

    @precondition(lambda self: self.order_ids)
    @rule(pick=st.integers(min_value=0), user=st.none() | users, instrument=st.none() | instruments)
    def cancel(self, pick: int, user: str | None, instrument: Any) -> None:
        """Also what is over, what is somebody else's, and under the wrong symbol."""
        order_id = self.order_ids[pick % len(self.order_ids)]
        order = self.auditor.open.get(order_id)
        owner, symbol = (order.terms.user_id, order.terms.symbol) if order else ("ann", LISTED[0].symbol)
        self.send(CancelOrder, instrument.symbol if instrument else symbol, user_id=user or owner, order_id=order_id)

    @precondition(lambda self: self.auditor.open)
    @rule(
        pick=st.integers(min_value=0),
        price=st.none() | prices,
        quantity=st.none() | quantities,
        has_extra=st.sampled_from([True, True, False]),
        too_much=st.sampled_from([0, 0, 0, -1, 5]),
        user=st.sampled_from([*[None] * 9, *USERS]),
        late_ms=delays_ms,
    )
    def amend(self, pick: int, has_extra: bool, too_much: int, user: str | None, late_ms: int, **wanted: Any) -> None:
        order_id = sorted(self.auditor.open)[pick % len(self.auditor.open)]
        order = self.auditor.open[order_id]
        hold, owner = 0, user or order.terms.user_id
        if has_extra:
            left = (wanted["quantity"] or order.filled + (order.left or 0)) - order.filled
            changed = replace(order, price=wanted["price"] or order.price, left=left)
            hold = max(0, self.auditor.exposure(changed) - order.hold + too_much)
        if hold and not self.take_hold(owner, order.terms.hold_asset, hold):
            hold = 0
        self.send(
            AmendOrder,
            order.terms.symbol,
            user_id=owner,
            order_id=order_id,
            hold=hold,
            hold_asset=order.terms.hold_asset,
            late_ms=late_ms,
            **wanted,
        )

    @precondition(lambda self: self.auditor.open)
    @rule(pick=st.integers(min_value=0), by=st.integers(min_value=1, max_value=5))
    def shrink(self, pick: int, by: int) -> None:
        """Who asks for less keeps his place."""
        order_id = sorted(self.auditor.open)[pick % len(self.auditor.open)]
        order = self.auditor.open[order_id]
        quantity = order.filled + (order.left or 0) - by
        self.send(AmendOrder, order.terms.symbol, user_id=order.terms.user_id, order_id=order_id, quantity=quantity)

    @precondition(lambda self: self.order_ids)
    @rule(pick=st.integers(min_value=0), user=users, quantity=quantities, hold=st.integers(min_value=0, max_value=50))
    def amend_what_may_be_over(self, pick: int, user: str, quantity: int, hold: int) -> None:
        """An amend that comes too late gives back what was set aside for it."""
        order_id = self.order_ids[pick % len(self.order_ids)]
        hold = hold if self.take_hold(user, "USD", hold) else 0
        symbol = LISTED[0].symbol
        self.send(AmendOrder, symbol, user_id=user, order_id=order_id, quantity=quantity, hold=hold, hold_asset="USD")

    @rule(instrument=instruments, user=users)
    def cancel_all(self, instrument: Any, user: str) -> None:
        self.send(CancelAllOrders, instrument.symbol, user_id=user)

    @rule(instrument=instruments, user=users, in_ms=st.none() | st.integers(min_value=-5, max_value=3_000))
    def set_timer(self, instrument: Any, user: str, in_ms: int | None) -> None:
        deadline_ms = None if in_ms is None else self.at_ms + in_ms
        self.send(SetCancelTimer, instrument.symbol, user_id=user, deadline_ms=deadline_ms)

    # --- operators -----------------------------------------------------------------------------------------------

    @rule(instrument=instruments, status=st.sampled_from([*[SymbolStatus.TRADING] * 4, *SymbolStatus]))
    def set_status(self, instrument: Any, status: SymbolStatus) -> None:
        self.send(SetSymbolStatus, instrument.symbol, user_id="op", status=status)

    @rule(instrument=st.sampled_from(INSTRUMENTS), changes=st.sampled_from([{}, {"partition": 1}, {"base": "USDX"}]))
    def list_instrument(self, instrument: Any, changes: dict[str, Any]) -> None:
        """One is new, the others are there already; of another partition, none may be listed."""
        self.send(ListInstrument, instrument.symbol, user_id="op", instrument=replace(instrument, **changes))

    @rule(
        user=st.sampled_from([*USERS, "", "$fees:0"]),
        asset=st.sampled_from(["USD", "BTC", "ETH", ""]),
        amount=st.integers(min_value=0, max_value=900),
    )
    def deposit(self, user: str, asset: str, amount: int) -> None:
        self.credit(user, asset, amount)

    @rule(user=users, asset=st.sampled_from(["USD", "BTC", "ETH"]), amount=st.integers(min_value=1, max_value=900))
    def withdraw(self, user: str, asset: str, amount: int) -> None:
        if self.take_hold(user, asset, amount):
            values = {"account_id": user, "asset": asset, "amount": amount, "transfer_id": "out"}
            self.send(WithdrawFunds, CASH_DESK, user_id="op", **values)

    # --- what the queue and the machine do -----------------------------------------------------------------------

    @precondition(lambda self: self.sent)
    @rule(pick=st.integers(min_value=0))
    def repeat(self, pick: int) -> None:
        """SQS delivers twice, the sweeper sends again: nothing happens."""
        command = self.sent[pick % len(self.sent)]
        assert self.fast.execute(command, self.at_ms) == []
        assert self.naive.execute(command, self.at_ms) == []

    @rule(group=st.sampled_from([LISTED[0].symbol, "NOSUCH", CASH_DESK, ""]))
    def receive_rubbish(self, group: str) -> None:
        """What cannot be decoded is refused, once."""
        cause = self.next_id()
        refused = self.fast.refuse_undecodable(group, cause, "digest")
        assert refused
        self.take_in(refused, self.naive.refuse_undecodable(group, cause, "digest"))
        assert self.fast.refuse_undecodable(group, cause, "digest") == []
        assert self.naive.refuse_undecodable(group, cause, "digest") == []

    @rule(milliseconds=st.sampled_from([0, 1, 700, 3_000]))
    def pass_time(self, milliseconds: int) -> None:
        self.close_slot()
        self.begin_slot(milliseconds)

    @rule()
    def outlive_the_window(self) -> None:
        self.forget()
        self.credit("ann", "USD", 1)

    @rule(milliseconds=st.sampled_from([0, 1, 3_000]))
    def lose_the_slot(self, milliseconds: int) -> None:
        self.crash(milliseconds)

    @rule()
    def restart_from_snapshot(self) -> None:
        self.close_slot()
        self.fast = PartitionEngine.restore(self.fast.snapshot(), fill_limit=FILL_LIMIT)

    @rule()
    def restart_from_journal(self) -> None:
        self.close_slot()
        self.naive = PartitionEngine.restore(self.folded.snapshot(), new_book=NaiveBook, fill_limit=FILL_LIMIT)
        assert not self.naive.begin_slot(self.at_ms), "what time brought is in the journal"

    def dated(self, terms: dict[str, Any], life_ms: int | None) -> dict[str, Any]:
        """The same, good till a date if it has a life."""
        if life_ms is None:
            return terms
        return terms | {"time_in_force": TimeInForce.GTD, "expires_at_ms": self.at_ms + life_ms}


REASONS = {
    CommandRefused: (
        Reason.INSUFFICIENT_HOLD,
        Reason.INVALID,
        Reason.ORDER_CLOSED,
        Reason.ORDER_NOT_FOUND,
        Reason.PRICE_BAND,
        Reason.QUANTITY_NOT_ABOVE_FILLED,
        Reason.SYMBOL_EXISTS,
        Reason.SYMBOL_HALTED,
        Reason.SYMBOL_UNKNOWN,
        Reason.TOO_LATE,
        Reason.UNDECODABLE,
    ),
    OrderDone: (
        Reason.BUDGET_SPENT,
        Reason.CANCEL_TIMER,
        Reason.DATE_REACHED,
        Reason.FILL_LIMIT,
        Reason.FILL_OR_KILL,
        Reason.FILLED,
        Reason.IMMEDIATE_OR_CANCEL,
        Reason.NO_LIQUIDITY,
        Reason.PRICE_BAND,
        Reason.SELF_TRADE,
        Reason.TOO_LATE,
        Reason.USER_CANCELED,
        Reason.WOULD_TAKE,
    ),
    OrderRejected: (
        Reason.DATE_REACHED,
        Reason.INSUFFICIENT_HOLD,
        Reason.INVALID,
        Reason.SYMBOL_HALTED,
        Reason.SYMBOL_UNKNOWN,
        Reason.TOO_MANY_OPEN_ORDERS,
    ),
}
EVERYTHING = {kind.__name__ for kind in get_args(Event) if kind not in REASONS} | {
    f"{kind.__name__} {reason}" for kind, reasons in REASONS.items() for reason in reasons
}
"""All that can become of an order or a command."""


class TestMatching(Matching.TestCase):
    settings = settings(
        max_examples=100 * EXAMPLES,
        stateful_step_count=50,
        deadline=None,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much],
    )

    @classmethod
    def tearDownClass(cls) -> None:
        """A long run has been through all that can become of an order, or it proves less than it says."""
        super().tearDownClass()
        if EXAMPLES >= 10:
            assert not (missing := EVERYTHING - Matching.endings.keys()), missing
