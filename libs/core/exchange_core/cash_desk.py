"""Commands that concern a partition and no order: funds in and out, new instruments; and what is refused there."""

from exchange_core.commands import (
    CASH_DESK,
    COMMAND_NAMES,
    OPERATORS_COMMANDS,
    AmendOrder,
    Command,
    DepositFunds,
    ListInstrument,
    WithdrawFunds,
)
from exchange_core.events import CommandRefused, Event, FundsDeposited, FundsWithdrawn, InstrumentListed
from exchange_core.instruments import Instrument
from exchange_core.money import MAX_AMOUNT_UNITS
from exchange_core.orders import Reason
from exchange_core.partition_state import PartitionState


def deposit(state: PartitionState, command: DepositFunds) -> Event:
    """Let funds in."""
    if not _is_sound(command):
        return refuse(state, command, Reason.INVALID)
    symbol, seq = state.number(CASH_DESK)
    return FundsDeposited(
        seq=seq,
        symbol=symbol,
        cause=command.command_id,
        user_id=command.account_id,
        asset=command.asset,
        amount=command.amount,
        transfer_id=command.transfer_id,
        operator_id=command.user_id,
    )


def withdraw(state: PartitionState, command: WithdrawFunds) -> Event:
    """Let funds out that the gateway has set aside."""
    if not _is_sound(command):
        return refuse(state, command, Reason.INVALID)
    symbol, seq = state.number(CASH_DESK)
    return FundsWithdrawn(
        seq=seq,
        symbol=symbol,
        cause=command.command_id,
        user_id=command.account_id,
        asset=command.asset,
        amount=command.amount,
        transfer_id=command.transfer_id,
        operator_id=command.user_id,
    )


def list_instrument(state: PartitionState, command: ListInstrument) -> Event:
    """Open a new symbol."""
    instrument = command.instrument
    if instrument.symbol in state.symbols:
        return refuse(state, command, Reason.SYMBOL_EXISTS)
    if instrument.partition != state.partition or _contradicts_listed_assets(state, instrument):
        return refuse(state, command, Reason.INVALID)
    state.add_symbol(instrument)
    symbol, seq = state.number(instrument.symbol)
    return InstrumentListed(
        seq=seq, symbol=symbol, cause=command.command_id, instrument=instrument, operator_id=command.user_id
    )


def refuse(state: PartitionState, command: Command, reason: Reason) -> CommandRefused:
    """A command that changes nothing; funds that were set aside for it go back to where they came from."""
    user_id, order_id, asset, released = command.user_id, 0, "", 0
    if isinstance(command, WithdrawFunds):
        user_id, asset, released = command.account_id, command.asset, command.amount
    elif isinstance(command, AmendOrder):
        order_id, asset, released = command.order_id, command.hold_asset, command.hold
    else:
        order_id = getattr(command, "order_id", 0)
    symbol, seq = state.number(command.symbol)
    detail = "" if symbol == command.symbol else command.symbol
    if isinstance(command, DepositFunds | WithdrawFunds):
        detail = command.transfer_id
    return CommandRefused(
        seq=seq,
        symbol=symbol,
        cause=command.command_id,
        user_id=user_id,
        order_id=order_id,
        reason=reason,
        asset=asset,
        released=released if asset and released > 0 else 0,
        detail=detail,
        command=COMMAND_NAMES[type(command)],
        operator_id=command.user_id if isinstance(command, OPERATORS_COMMANDS) else "",
    )


def _is_sound(command: DepositFunds | WithdrawFunds) -> bool:
    """Accounts that begin with a dollar sign are the exchange's own."""
    has_amount = 0 < command.amount <= MAX_AMOUNT_UNITS and command.asset != ""
    return has_amount and command.account_id != "" and not command.account_id.startswith("$")


def _contradicts_listed_assets(state: PartitionState, instrument: Instrument) -> bool:
    """An asset has one smallest unit, whatever it is traded against."""
    decimals = {}
    for listed in state.symbols.values():
        decimals[listed.instrument.base] = listed.instrument.base_decimals
        decimals[listed.instrument.quote] = listed.instrument.quote_decimals
    return (
        decimals.get(instrument.base, instrument.base_decimals) != instrument.base_decimals
        or decimals.get(instrument.quote, instrument.quote_decimals) != instrument.quote_decimals
    )
