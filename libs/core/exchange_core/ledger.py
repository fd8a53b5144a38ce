"""What each event does to the wallets, as double-entry postings: the one place that says it.

A posting moves units of an asset between two accounts of one user or of two: a wallet's `available` and `held`, the
partition's fee account, and the world outside. Every entry balances to zero over all accounts, so money is conserved by
construction. The hold itself is not a posting of the journal: the gateway took it (rule 2) before the order came. What
it took can be told from the command, and from the event that shows the command.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum

from exchange_core.commands import AmendOrder, Command, PlaceOrder, WithdrawFunds
from exchange_core.events import (
    CommandRefused,
    Event,
    FundsDeposited,
    FundsWithdrawn,
    OrderAccepted,
    OrderAmended,
    OrderDecremented,
    OrderDone,
    OrderRejected,
    TradeExecuted,
)
from exchange_core.holds import hold_asset
from exchange_core.instruments import Instrument
from exchange_core.orders import Side

OUTSIDE = "$outside"
"""The account that deposits come from and withdrawals go to; it has no wallet."""


def fee_account(partition: int) -> str:
    """The user id that collects a partition's fees."""
    return f"$fees:{partition}"


class Pocket(StrEnum):
    """The two halves of a wallet."""

    AVAILABLE = "available"
    HELD = "held"


class PostingKind(StrEnum):
    """Why money moved; shown in the ledger."""

    TRADE = "trade"
    FEE = "fee"
    RELEASE = "release"
    DEPOSIT = "deposit"
    WITHDRAWAL = "withdrawal"


@dataclass(frozen=True, slots=True, kw_only=True)
class Posting:
    """`amount` > 0 units of `asset` from one (user, pocket) to another."""

    kind: PostingKind
    asset: str
    amount: int
    from_user: str
    from_pocket: Pocket
    to_user: str
    to_pocket: Pocket


@dataclass(slots=True)
class Delta:
    """The change of one wallet, in units."""

    available: int = 0
    held: int = 0


def postings(event: Event, instruments: Mapping[str, Instrument], partition: int) -> Iterator[Posting]:
    """The postings of one event; `instruments` must hold the event's symbol if it names one that trades."""
    match event:
        case TradeExecuted():
            yield from _trade(event, instruments[event.symbol], partition)
        case OrderRejected() if event.hold:
            yield from _release(event.user_id, event.hold_asset, event.hold)
        case OrderDone() | OrderAmended() | OrderDecremented() if event.released:
            yield from _release(event.user_id, hold_asset(event.side, instruments[event.symbol]), event.released)
        case CommandRefused() if event.released:
            yield from _release(event.user_id, event.asset, event.released)
        case FundsDeposited():
            yield Posting(
                kind=PostingKind.DEPOSIT,
                asset=event.asset,
                amount=event.amount,
                from_user=OUTSIDE,
                from_pocket=Pocket.AVAILABLE,
                to_user=event.user_id,
                to_pocket=Pocket.AVAILABLE,
            )
        case FundsWithdrawn():
            yield Posting(
                kind=PostingKind.WITHDRAWAL,
                asset=event.asset,
                amount=event.amount,
                from_user=event.user_id,
                from_pocket=Pocket.HELD,
                to_user=OUTSIDE,
                to_pocket=Pocket.AVAILABLE,
            )
        case _:
            return


def wallet_deltas(posted: Iterator[Posting]) -> dict[tuple[str, str], Delta]:
    """(user_id, asset) → change, over any number of postings; the outside world left out."""
    deltas: dict[tuple[str, str], Delta] = {}
    for posting in posted:
        for user, pocket, amount in (
            (posting.from_user, posting.from_pocket, -posting.amount),
            (posting.to_user, posting.to_pocket, posting.amount),
        ):
            if user == OUTSIDE:
                continue
            delta = deltas.setdefault((user, posting.asset), Delta())
            if pocket is Pocket.AVAILABLE:
                delta.available += amount
            else:
                delta.held += amount
    return deltas


Hold = tuple[str, str, int]
"""(user_id, asset, units > 0) that the gateway moved from `available` to `held`."""


def hold_of(command: Command) -> Hold | None:
    """What the gateway took before it promised the command."""
    match command:
        case PlaceOrder() | AmendOrder() if command.hold > 0:
            return command.user_id, command.hold_asset, command.hold
        case WithdrawFunds():
            return command.account_id, command.asset, command.amount
    return None


def hold_before(event: Event, instruments: Mapping[str, Instrument]) -> Hold | None:
    """What the gateway had taken for the command that the event is the first to show."""
    match event:
        case OrderAccepted() | OrderRejected() if event.hold:
            return event.user_id, event.hold_asset, event.hold
        case OrderAmended() if event.taken:
            return event.user_id, hold_asset(event.side, instruments[event.symbol]), event.taken
        case CommandRefused() if event.released:
            return event.user_id, event.asset, event.released
        case FundsWithdrawn():
            return event.user_id, event.asset, event.amount
    return None


def _trade(trade: TradeExecuted, instrument: Instrument, partition: int) -> Iterator[Posting]:
    base_units = trade.quantity * instrument.lot_units
    quote_units = trade.price * trade.quantity * instrument.tick_lot_units
    taker_buys = trade.taker_side is Side.BUY
    buyer, seller = trade.maker_user_id, trade.taker_user_id
    buyer_fee, seller_fee = trade.maker_fee, trade.taker_fee
    if taker_buys:
        buyer, seller, buyer_fee, seller_fee = seller, buyer, seller_fee, buyer_fee
    fees = fee_account(partition)
    for asset, units, fee, payer, receiver in (
        (instrument.base, base_units, buyer_fee, seller, buyer),
        (instrument.quote, quote_units, seller_fee, buyer, seller),
    ):
        for kind, amount, to_user in (
            (PostingKind.TRADE, units - fee, receiver),
            (PostingKind.FEE, fee, fees),
        ):
            if amount:
                yield Posting(
                    kind=kind,
                    asset=asset,
                    amount=amount,
                    from_user=payer,
                    from_pocket=Pocket.HELD,
                    to_user=to_user,
                    to_pocket=Pocket.AVAILABLE,
                )
    if trade.taker_release:
        yield from _release(trade.taker_user_id, instrument.quote, trade.taker_release)


def _release(user_id: str, asset: str, amount: int) -> Iterator[Posting]:
    yield Posting(
        kind=PostingKind.RELEASE,
        asset=asset,
        amount=amount,
        from_user=user_id,
        from_pocket=Pocket.HELD,
        to_user=user_id,
        to_pocket=Pocket.AVAILABLE,
    )
