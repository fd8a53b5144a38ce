"""Ending many orders at once, now or when the client falls silent: one command a symbol, to the partition it lives on.

These have no intent: they are promised once the queue has them, and one that may not have got there is told as
`queue_unavailable`. Sending them again is harmless. An order that another gateway promised while the queue was away may
still come after them: a cancel of its own ends it.
"""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

import structlog

from exchange_adapters.group_commit import QueueFullError
from exchange_adapters.tokens import Principal
from exchange_core.commands import CancelAllOrders, SetCancelTimer
from exchange_core.instruments import Instrument
from exchange_core.ports import Clock
from exchange_gateway.market.catalogue import InstrumentCatalogue
from exchange_gateway.problems import Code, ProblemError
from exchange_gateway.trading.commands_out import CommandDesk, OutgoingCommand
from exchange_gateway.trading.nodes import NodeLease
from exchange_gateway.trading.open_orders import OpenOrderGuard
from exchange_gateway.trading.orders import COMMAND_BYTES, OrderDesk, send_surely

log = structlog.get_logger()


class MassCancelDesk:
    """Cancels all of a user's orders, and sets the timer that does so unless it is renewed."""

    def __init__(
        self,
        *,
        clock: Clock,
        node: NodeLease,
        catalogue: InstrumentCatalogue,
        commands: CommandDesk,
        orders: OrderDesk,
        open_orders: OpenOrderGuard,
    ) -> None:
        self._clock = clock
        self._node = node
        self._catalogue = catalogue
        self._commands = commands
        self._orders = orders
        self._open_orders = open_orders

    async def cancel_all(self, principal: Principal, symbol: str | None, trace_id: str) -> dict[str, int]:
        """End the user's orders in one symbol, or in all (None); symbol → id of its command.

        Raises ProblemError `queue_unavailable` with `sent` and `not_sent`, the symbols, if any may not have been sent.
        """
        instruments = self._catalogue.listed() if symbol is None else [self._catalogue.require(symbol, status=404)]
        commands = {
            instrument.symbol: CancelAllOrders(
                command_id=self._node.next_id(),
                user_id=principal.user_id,
                symbol=instrument.symbol,
                entered_at_ms=self._clock.now_ms(),
                trace_id=trace_id,
            )
            for instrument in instruments
        }
        failures = await asyncio.gather(
            *[self._send(instrument, commands[instrument.symbol]) for instrument in instruments]
        )
        _raise_unsent(instruments, failures)
        log.info("cancel_all_sent", symbols=len(commands))
        return {name: command.command_id for name, command in commands.items()}

    async def set_timer(self, principal: Principal, body: Mapping[str, Any], trace_id: str) -> SetCancelTimer:
        """Arm, renew or (0 seconds) disarm the timer of one symbol; raises ProblemError."""
        instrument = self._catalogue.require(body["symbol"])
        timeout_s = int(body["timeout_s"])
        now_ms = self._clock.now_ms()
        command = SetCancelTimer(
            command_id=self._node.next_id(),
            user_id=principal.user_id,
            symbol=instrument.symbol,
            entered_at_ms=now_ms,
            trace_id=trace_id,
            deadline_ms=now_ms + timeout_s * 1000 if timeout_s else None,
        )
        outgoing = OutgoingCommand(group=instrument.symbol, command=command, size=COMMAND_BYTES)
        await send_surely(self._commands, self._clock, instrument.partition, [outgoing])
        return command

    async def _send(self, instrument: Instrument, command: CancelAllOrders) -> Exception | None:
        """Behind the user's orders that this gateway promised and could not send; the error if it failed."""
        self._open_orders.expect_fewer(command.user_id, instrument.symbol)
        ahead = self._orders.unsent_orders(command.user_id, instrument.symbol)
        outgoing = OutgoingCommand(group=instrument.symbol, command=command, size=COMMAND_BYTES)
        try:
            await send_surely(self._commands, self._clock, instrument.partition, [*ahead, outgoing])
        except (ProblemError, QueueFullError) as error:
            return error
        return None


def _raise_unsent(instruments: Sequence[Instrument], failures: Sequence[Exception | None]) -> None:
    by_symbol = {instrument.symbol: failure for instrument, failure in zip(instruments, failures, strict=True)}
    not_sent = [symbol for symbol, failure in by_symbol.items() if failure is not None]
    if not_sent:
        sent = [symbol for symbol, failure in by_symbol.items() if failure is None]
        detail = "not every command may have been passed on; repeat it"
        raise ProblemError(Code.QUEUE_UNAVAILABLE, detail, sent=sent, not_sent=not_sent)
