"""Placing, canceling and finding orders: what a promise is, and that it is kept.

An order is promised once its hold and intent are committed; sending it is attempted at once and repeated by the
sweeper. A cancel is promised once the queue has it. An order that was promised is found from then on: in the database
when it is settled, in the intents until then.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import structlog

from exchange_adapters.emf import recorder
from exchange_adapters.group_commit import QueueFullError
from exchange_adapters.metrics import ORDERS_ACCEPTED, ORDERS_REFUSED
from exchange_adapters.tokens import Principal
from exchange_core.codec import decode_commands, encode_commands
from exchange_core.commands import AmendOrder, CancelOrder, PlaceOrder
from exchange_core.errors import PortError
from exchange_core.ids import parse_id
from exchange_core.money import units_text
from exchange_core.orders import OrderStatus
from exchange_core.ports import Clock, DatabaseReader, FillView, Intent, OrderView, WalletHolds
from exchange_core.topology import ORDER_MAX_AGE_MS, QUEUED_AT_ONCE_MS
from exchange_core.wire import DecodeError
from exchange_gateway.market.catalogue import InstrumentCatalogue
from exchange_gateway.market.prices import PriceBoard
from exchange_gateway.problems import Code, ProblemError
from exchange_gateway.stages import Stages
from exchange_gateway.trading.commands_out import CommandDesk, OutgoingCommand
from exchange_gateway.trading.holds import (
    Admitted,
    ClientIdTaken,
    FundsShort,
    HoldDesk,
    HoldRequest,
    OutcomeUnknown,
    Repeated,
    Verdict,
)
from exchange_gateway.trading.nodes import NodeLease
from exchange_gateway.trading.open_orders import OpenOrderGuard
from exchange_gateway.trading.order_form import OrderRequest
from exchange_gateway.trading.validation import price_order

SEND_WAIT_S: Final = 1.0
"""How long the answer to an order waits for the queue; the promise holds without it."""
CANCEL_WAIT_S: Final = 3.0
FILLS_SHOWN_MAX: Final = 1_000
_REMEMBERED_SENDS: Final = 50_000
_REMEMBERED_UNSENT: Final = 5_000
COMMAND_BYTES: Final = 220
"""About what a cancel takes in a message."""

log = structlog.get_logger()


@dataclass(frozen=True, slots=True, kw_only=True)
class Placed:
    """A promised order. Where the client gave no id of its own, the order's id is both."""

    order_id: int
    client_order_id: str | None

    @property
    def client_order_text(self) -> str:
        """What the client may call it."""
        return self.client_order_id or str(self.order_id)


@dataclass(frozen=True, slots=True, kw_only=True)
class OnItsWay:
    """An order that was promised and is not settled yet: the command as sent."""

    order: PlaceOrder


@dataclass(frozen=True, slots=True, kw_only=True)
class CancelSent:
    """A cancel that is in the queue, and the order as it was found."""

    command_id: int
    found: OrderView | OnItsWay


class OrderDesk:
    """What clients may do with orders. Its own state, which orders it knows to be in the queue, only spares repeats."""

    def __init__(
        self,
        *,
        clock: Clock,
        node: NodeLease,
        catalogue: InstrumentCatalogue,
        prices: PriceBoard,
        holds: HoldDesk,
        intents: WalletHolds,
        commands: CommandDesk,
        reader: DatabaseReader,
        open_orders: OpenOrderGuard,
    ) -> None:
        self._clock = clock
        self._node = node
        self._catalogue = catalogue
        self._prices = prices
        self._holds = holds
        self._intents = intents
        self._commands = commands
        self._reader = reader
        self._open_orders = open_orders
        self._sent: OrderedDict[int, None] = OrderedDict()
        self._unsent: OrderedDict[int, PlaceOrder] = OrderedDict()

    async def place(self, principal: Principal, request: OrderRequest, stages: Stages, trace_id: str) -> Placed:
        """Promise an order; raises ProblemError when it is refused for certain, or when that is not known."""
        try:
            placed = await self._place(principal, request, stages, trace_id)
        except ProblemError as problem:
            if problem.status < 500:
                recorder.count(ORDERS_REFUSED)
            raise
        recorder.count(ORDERS_ACCEPTED)
        return placed

    async def _place(self, principal: Principal, request: OrderRequest, stages: Stages, trace_id: str) -> Placed:
        try:
            order = await self._price(principal, request, stages, trace_id)
        except ProblemError as refusal:
            with stages.measure("validate"):
                return await self._placed_before(principal, request, refusal)
        instrument = self._catalogue.require(order.symbol)
        intent = Intent(
            user_id=principal.user_id,
            order_id=order.order_id,
            client_order_id=request.client_order_id,
            body_digest=request.digest(),
            partition=instrument.partition,
            group=order.symbol,
            command=encode_commands([order]),
            created_at_ms=order.entered_at_ms,
        )
        with stages.measure("wallet"):
            verdict = await self._holds.take(HoldRequest(intent=intent, asset=order.hold_asset, amount=order.hold))
        if isinstance(verdict, Repeated):
            return Placed(order_id=verdict.intent.order_id, client_order_id=request.client_order_id)
        raise_refusal(verdict, order.hold_asset, self._catalogue.decimals_of(order.hold_asset) or 0)
        with stages.measure("enqueue"):
            await self.send_softly(intent, order)
        log.info("order_accepted", order_id=str(order.order_id), symbol=order.symbol)
        return Placed(order_id=order.order_id, client_order_id=request.client_order_id)

    async def send_softly(
        self, intent: Intent, command: PlaceOrder | AmendOrder, ahead: Sequence[OutgoingCommand] = ()
    ) -> None:
        """Try to hand a promised command to the queue, after those that must go ahead of it; what fails here is the
        sweeper's."""
        outgoing = OutgoingCommand(group=intent.group, command=command, size=len(intent.command))
        try:
            async with asyncio.timeout(SEND_WAIT_S):
                await asyncio.gather(*[self._commands.submit(intent.partition, one) for one in (*ahead, outgoing)])
        except (PortError, QueueFullError, TimeoutError) as error:
            log.warning("order_left_to_sweeper", order_id=str(intent.order_id), error=type(error).__name__)
            if isinstance(command, PlaceOrder):
                self._unsent[command.order_id] = command
                if len(self._unsent) > _REMEMBERED_UNSENT:
                    self._unsent.popitem(last=False)
        else:
            self._sent[intent.order_id] = None
            if len(self._sent) > _REMEMBERED_SENDS:
                self._sent.popitem(last=False)

    async def _price(self, principal: Principal, request: OrderRequest, stages: Stages, trace_id: str) -> PlaceOrder:
        instrument = self._catalogue.require(request.symbol)

        def verdict(reference_price: int) -> PlaceOrder:
            return price_order(
                request,
                instrument,
                reference_price,
                order_id=self._node.next_id(),
                user_id=principal.user_id,
                now_ms=self._clock.now_ms(),
                trace_id=trace_id,
            )

        order = await self._prices.judge(instrument, request.side, verdict, stages)
        await self._open_orders.require_room(principal.user_id, request, instrument)
        return order

    async def _placed_before(self, principal: Principal, request: OrderRequest, refusal: ProblemError) -> Placed:
        """The market has moved on, but a repeat of what was promised still gets the same answer."""
        if request.client_order_id is None:
            raise refusal
        intent = await self._intents.intent_by_client_id(principal.user_id, request.client_order_id)
        if intent is None or intent.body_digest != request.digest():
            raise refusal
        return Placed(order_id=intent.order_id, client_order_id=request.client_order_id)

    async def find(self, user_id: str, order_id: int) -> OrderView | OnItsWay:
        """The user's own order; raises ProblemError `order_not_found`."""
        view = await self._reader.order(user_id, order_id)
        if view is not None:
            return view
        return _on_its_way(await self._intents.intent(user_id, order_id))

    async def find_by_client_id(self, user_id: str, client_order_id: str) -> OrderView | OnItsWay:
        """The same by the client's id, which is the order's own where the client gave none."""
        view = await self._reader.order_by_client_id(user_id, client_order_id)
        if view is not None:
            return view
        intent = await self._intents.intent_by_client_id(user_id, client_order_id)
        order_id = parse_id(client_order_id)
        if intent is None and order_id is not None:
            found = await self.find(user_id, order_id)
            if not (found.order if isinstance(found, OnItsWay) else found).client_order_id:
                return found
        return _on_its_way(intent)

    async def cancel(self, principal: Principal, order_id: int, stages: Stages, trace_id: str) -> CancelSent:
        """Ask for the end of the user's own order.

        Raises ProblemError `order_not_found`, `order_closed` (an end is final, so a database that lags may say so),
        or `queue_unavailable`. An order that the database has not seen, and that we do not know to be in the queue,
        goes ahead of its cancel once more: its own message may have failed, and the matcher drops a repeat.
        """
        with stages.measure("book"):
            found = await self._find_for_cancel(principal.user_id, order_id)
        if isinstance(found, OrderView) and found.status.is_final:
            raise ProblemError(Code.ORDER_CLOSED, f"the order is {found.status}", order_status=found.status)
        symbol = found.order.symbol if isinstance(found, OnItsWay) else found.symbol
        partition = self._catalogue.require(symbol).partition
        self._open_orders.expect_fewer(principal.user_id, symbol)
        cancel = CancelOrder(
            command_id=self._node.next_id(),
            user_id=principal.user_id,
            symbol=symbol,
            entered_at_ms=self._clock.now_ms(),
            trace_id=trace_id,
            order_id=order_id,
        )
        with stages.measure("enqueue"):
            outgoing = OutgoingCommand(group=symbol, command=cancel, size=COMMAND_BYTES)
            await send_surely(self._commands, self._clock, partition, [*self.to_go_ahead(found), outgoing])
        log.info("cancel_sent", order_id=str(order_id), symbol=symbol)
        return CancelSent(command_id=cancel.command_id, found=found)

    def to_go_ahead(self, found: OrderView | OnItsWay) -> list[OutgoingCommand]:
        """The order itself, if it may not be in the queue yet and a command about it is to follow.

        Not an old order: a repeat must not outlive the matcher's memory of it, and soon it expires anyway.
        """
        if not isinstance(found, OnItsWay) or found.order.order_id in self._sent:
            return []
        return self._still_young([found.order])

    def unsent_orders(self, user_id: str, symbol: str) -> list[OutgoingCommand]:
        """The user's orders that were promised here while the queue was away, to go ahead of a cancel of all."""
        unsent = self._unsent.values()
        return self._still_young([order for order in unsent if (order.user_id, order.symbol) == (user_id, symbol)])

    def _still_young(self, orders: Sequence[PlaceOrder]) -> list[OutgoingCommand]:
        oldest_ms = self._clock.now_ms() - ORDER_MAX_AGE_MS // 2
        return [
            OutgoingCommand(group=order.symbol, command=order, size=3 * COMMAND_BYTES)
            for order in orders
            if order.entered_at_ms > oldest_ms
        ]

    async def _find_for_cancel(self, user_id: str, order_id: int) -> OrderView | OnItsWay:
        """As `find`, but a database that is away does not keep an order from being canceled."""
        try:
            return await self.find(user_id, order_id)
        except PortError:
            return _on_its_way(await self._intents.intent(user_id, order_id))

    async def fills_of(self, view: OrderView) -> list[FillView]:
        """The fills of one order, newest first."""
        if view.filled_quantity == 0 or view.status is OrderStatus.REJECTED:
            return []
        fills = await self._reader.fills(
            view.user_id, symbol=view.symbol, order_id=view.order_id, before=None, limit=FILLS_SHOWN_MAX
        )
        return list(fills)


async def send_surely(desk: CommandDesk, clock: Clock, partition: int, outgoing: Sequence[OutgoingCommand]) -> None:
    """Wait until the queue has a command that has no intent, and what goes ahead of it; raises ProblemError
    `queue_unavailable`, also where we were suspended meanwhile: what comes so late may be taken for a repeat."""
    try:
        async with asyncio.timeout(CANCEL_WAIT_S):
            await asyncio.gather(*[desk.submit(partition, one) for one in outgoing])
        if clock.now_ms() - outgoing[-1].command.entered_at_ms > QUEUED_AT_ONCE_MS // 2:
            raise TimeoutError
    except (PortError, TimeoutError) as error:
        raise ProblemError(Code.QUEUE_UNAVAILABLE, "the command may not have been passed on; repeat it") from error


def raise_refusal(verdict: Verdict, asset: str, decimals: int, clash: Code = Code.DUPLICATE_CLIENT_ORDER_ID) -> None:
    """Turn a verdict that is not a promise into its problem."""
    match verdict:
        case Admitted() | Repeated():
            return
        case ClientIdTaken():
            raise ProblemError(clash, "the id was used before, with another body")
        case FundsShort(available=available):
            text = units_text(available, decimals)
            raise ProblemError(Code.INSUFFICIENT_FUNDS, f"{text} {asset} is available", asset=asset, available=text)
        case OutcomeUnknown():
            raise ProblemError(Code.OUTCOME_UNKNOWN, "an attempt broke off and may still take place")


def _on_its_way(intent: Intent | None) -> OnItsWay:
    if intent is not None:
        try:
            (command,) = decode_commands(intent.command)
        except (DecodeError, ValueError) as error:
            log.error("intent_not_readable", order_id=str(intent.order_id), error=str(error))
        else:
            if isinstance(command, PlaceOrder):
                return OnItsWay(order=command)
    raise ProblemError(Code.ORDER_NOT_FOUND, "you have no such order")
