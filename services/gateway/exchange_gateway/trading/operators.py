"""What operators do: list instruments, move funds in and out, open and halt symbols. Every one is a journaled command.

Deposits, withdrawals and listings are promised like orders, by an intent, under owners of their own: a transfer id and
a symbol are each used once in the whole exchange, whichever operator names them.
"""

import asyncio
import dataclasses
from collections.abc import Mapping
from decimal import Decimal
from typing import Any, Final, TypeVar

import structlog

from exchange_adapters.group_commit import QueueFullError
from exchange_adapters.tokens import Principal
from exchange_core.codec import encode_commands
from exchange_core.commands import CASH_DESK, Command, DepositFunds, ListInstrument, SetSymbolStatus, WithdrawFunds
from exchange_core.errors import PortError
from exchange_core.instruments import Instrument, InvalidInstrumentError, SymbolStatus, partition_of
from exchange_core.money import MAX_AMOUNT_UNITS, InexactAmountError, to_steps, to_units
from exchange_core.ports import Clock, Intent, WalletHolds
from exchange_core.wire import to_plain
from exchange_gateway.fields import decimal, invalid
from exchange_gateway.market.catalogue import InstrumentCatalogue
from exchange_gateway.problems import Code, ProblemError
from exchange_gateway.trading.commands_out import CommandDesk, OutgoingCommand
from exchange_gateway.trading.holds import HoldDesk, HoldRequest, Repeated
from exchange_gateway.trading.nodes import NodeLease
from exchange_gateway.trading.order_form import digest
from exchange_gateway.trading.orders import SEND_WAIT_S, raise_refusal, send_surely

LISTINGS_OWNER: Final = "$LISTINGS"
"""Owns the intents of listings, by symbol; no user can have this id."""
_OPTIONAL_INTEGERS: Final = {
    "max_open_orders": 200,
    "breaker_bps": 0,
    "breaker_window_ms": 0,
    "breaker_halt_ms": 0,
}

Transfer = TypeVar("Transfer", DepositFunds, WithdrawFunds)

log = structlog.get_logger()


class OperatorDesk:
    """Turns operators' requests into commands. Every answer is the id of the command that was promised."""

    def __init__(
        self,
        *,
        clock: Clock,
        node: NodeLease,
        catalogue: InstrumentCatalogue,
        holds: HoldDesk,
        intents: WalletHolds,
        commands: CommandDesk,
        partitions: int,
    ) -> None:
        self._clock = clock
        self._node = node
        self._catalogue = catalogue
        self._holds = holds
        self._intents = intents
        self._commands = commands
        self._partitions = partitions

    async def deposit(self, operator: Principal, body: Mapping[str, Any], trace_id: str) -> int:
        """Credit an account; the same transfer id with the same body is the same deposit."""
        deposit = self._read_transfer(DepositFunds, operator, body, trace_id)
        return await self._promise(
            deposit,
            owner=CASH_DESK,
            key=deposit.transfer_id,
            partition=partition_of(deposit.account_id, self._partitions),
            body_digest=digest(deposit.account_id, deposit.asset, deposit.amount),
            clash=Code.DUPLICATE_TRANSFER_ID,
        )

    async def withdraw(self, operator: Principal, body: Mapping[str, Any], trace_id: str) -> int:
        """Debit an account, its funds held first; the same transfer id with the same body is the same withdrawal, and
        one that a deposit has is taken."""
        withdrawal = self._read_transfer(WithdrawFunds, operator, body, trace_id)
        return await self._promise(
            withdrawal,
            owner=CASH_DESK,
            key=withdrawal.transfer_id,
            partition=partition_of(withdrawal.account_id, self._partitions),
            body_digest=digest("withdrawal", withdrawal.account_id, withdrawal.asset, withdrawal.amount),
            clash=Code.DUPLICATE_TRANSFER_ID,
        )

    async def list_instrument(self, operator: Principal, body: Mapping[str, Any], trace_id: str) -> int | None:
        """List a new instrument; the same definition again is the same listing (None once its id is forgotten)."""
        instrument = self._read_instrument(body)
        body_digest = digest(to_plain(instrument))
        listed = self._catalogue.get(instrument.symbol)
        if listed is not None:
            if dataclasses.replace(listed, status=instrument.status) != instrument:
                raise ProblemError(Code.SYMBOL_EXISTS, f"{instrument.symbol} is listed", field="symbol")
            intent = await self._intents.intent_by_client_id(LISTINGS_OWNER, instrument.symbol)
            return None if intent is None else intent.order_id
        listing = ListInstrument(
            command_id=self._node.next_id(),
            user_id=operator.user_id,
            symbol=instrument.symbol,
            entered_at_ms=self._clock.now_ms(),
            trace_id=trace_id,
            instrument=instrument,
        )
        return await self._promise(
            listing,
            owner=LISTINGS_OWNER,
            key=instrument.symbol,
            partition=instrument.partition,
            body_digest=body_digest,
            clash=Code.SYMBOL_EXISTS,
        )

    async def set_status(self, operator: Principal, symbol: str, body: Mapping[str, Any], trace_id: str) -> int:
        """Open, restrict or halt a symbol; raises ProblemError `queue_unavailable` when it may not have been sent."""
        instrument = self._catalogue.require(symbol, status=404)
        status = SymbolStatus(body["status"])
        command = SetSymbolStatus(
            command_id=self._node.next_id(),
            user_id=operator.user_id,
            symbol=symbol,
            entered_at_ms=self._clock.now_ms(),
            trace_id=trace_id,
            status=status,
        )
        size = len(encode_commands([command]))
        outgoing = OutgoingCommand(group=symbol, command=command, size=size)
        await send_surely(self._commands, self._clock, instrument.partition, [outgoing])
        self._log(command)
        return command.command_id

    async def _promise(
        self,
        command: DepositFunds | WithdrawFunds | ListInstrument,
        *,
        owner: str,
        key: str,
        partition: int,
        body_digest: str,
        clash: Code,
    ) -> int:
        """Store the command's intent, then try to send it; the id of the command that stands."""
        intent = Intent(
            user_id=owner,
            order_id=command.command_id,
            client_order_id=key,
            body_digest=body_digest,
            partition=partition,
            group=command.symbol,
            command=encode_commands([command]),
            created_at_ms=command.entered_at_ms,
            is_kept=True,
        )
        request = HoldRequest(intent=intent)
        if isinstance(command, WithdrawFunds):
            request = HoldRequest(
                intent=intent, asset=command.asset, amount=command.amount, account_id=command.account_id
            )
        verdict = await self._holds.take(request)
        if isinstance(verdict, Repeated):
            return verdict.intent.order_id
        asset = request.asset or ""
        raise_refusal(verdict, asset, self._catalogue.decimals_of(asset) or 0, clash)
        self._log(command)
        outgoing = OutgoingCommand(group=command.symbol, command=command, size=len(intent.command))
        try:
            async with asyncio.timeout(SEND_WAIT_S):
                await self._commands.submit(partition, outgoing)
        except (PortError, QueueFullError, TimeoutError) as error:
            log.warning("command_left_to_sweeper", command_id=str(command.command_id), error=type(error).__name__)
        return command.command_id

    def _read_transfer(
        self, kind: type[Transfer], operator: Principal, body: Mapping[str, Any], trace_id: str
    ) -> Transfer:
        asset = body["asset"]
        return kind(
            command_id=self._node.next_id(),
            user_id=operator.user_id,
            symbol=CASH_DESK,
            entered_at_ms=self._clock.now_ms(),
            trace_id=trace_id,
            account_id=body["user_id"],
            asset=asset,
            amount=self._amount(decimal(body, "amount"), asset),
            transfer_id=body["transfer_id"],
        )

    def _amount(self, number: Decimal, asset: str) -> int:
        decimals = self._catalogue.decimals_of(asset)
        if decimals is None:
            raise ProblemError(Code.UNKNOWN_ASSET, f"no listed instrument has {asset!r}", field="asset")
        try:
            amount = to_units(number, decimals)
        except InexactAmountError as error:
            raise ProblemError(Code.AMOUNT_OUT_OF_RANGE, f"{asset} has {decimals} decimals", field="amount") from error
        if not 0 < amount <= MAX_AMOUNT_UNITS:
            raise ProblemError(Code.AMOUNT_OUT_OF_RANGE, "the amount is out of range", field="amount")
        return amount

    def _read_instrument(self, body: Mapping[str, Any]) -> Instrument:
        """The instrument in a body: quantities, the notional and the reference price in human units."""
        symbol, base, quote = body["symbol"], body["base"], body["quote"]
        base_decimals, quote_decimals = int(body["base_decimals"]), int(body["quote_decimals"])
        tick_size, lot_size = decimal(body, "tick_size"), decimal(body, "lot_size")
        for name, step in (("tick_size", tick_size), ("lot_size", lot_size)):
            if step <= 0:
                raise ProblemError(Code.INVALID_INSTRUMENT, f"{name} must be positive", field=name)
        if not 0 <= quote_decimals <= 12:
            raise ProblemError(Code.INVALID_INSTRUMENT, "decimals must be 0 to 12", field="quote_decimals")
        for asset, decimals in ((base, base_decimals), (quote, quote_decimals)):
            if self._catalogue.decimals_of(asset) not in (None, decimals):
                raise ProblemError(Code.INVALID_INSTRUMENT, f"{asset} has other decimals in another instrument")
        partition = int(body.get("partition", partition_of(symbol, self._partitions)))
        if not 0 <= partition < self._partitions:
            raise invalid("partition", f"partition must be 0 to {self._partitions - 1}")
        try:
            return Instrument(
                symbol=symbol,
                base=base,
                quote=quote,
                base_decimals=base_decimals,
                quote_decimals=quote_decimals,
                tick_size=tick_size,
                lot_size=lot_size,
                min_quantity=to_steps(decimal(body, "min_quantity"), lot_size),
                max_quantity=to_steps(decimal(body, "max_quantity"), lot_size),
                min_notional=to_units(decimal(body, "min_notional"), quote_decimals),
                maker_fee_bps=int(body["maker_fee_bps"]),
                taker_fee_bps=int(body["taker_fee_bps"]),
                band_bps=int(body["band_bps"]),
                reference_price=to_steps(decimal(body, "reference_price"), tick_size),
                partition=partition,
                status=SymbolStatus(body.get("status", SymbolStatus.TRADING)),
                **{name: int(body.get(name, default)) for name, default in _OPTIONAL_INTEGERS.items()},
            )
        except (InvalidInstrumentError, InexactAmountError) as error:
            raise ProblemError(Code.INVALID_INSTRUMENT, str(error)) from error

    def _log(self, command: Command) -> None:
        """The audit trail: who ordered what."""
        log.info(
            "operator_command_accepted",
            kind=type(command).__name__,
            command_id=str(command.command_id),
            operator_id=command.user_id,
            symbol=command.symbol,
        )
