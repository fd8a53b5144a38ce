"""Wallets and intents: DynamoDB."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from exchange_core.errors import Conflict


@dataclass(frozen=True, slots=True, kw_only=True)
class Wallet:
    """A user's balance in one asset, in units. `applied` maps a partition to its last slot settled here."""

    user_id: str
    asset: str
    available: int
    held: int
    applied: Mapping[int, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Intent:
    """A command that was promised, stored with its hold in one transaction.

    Stands in the `intents` table as up to three items: (user_id, `order#<id>`) with the command, (user_id,
    `client#<client_order_id>`) with order id and digest if the client gave one, and (`pending#<partition>#<key>`,
    `<id, 19 digits>`) with the command, which the persister deletes once the journal has shown the order.
    `command` is the text of `codec.encode_commands` for this one command; `body_digest` tells a repeat from a clash.
    An operator's intent `is_kept` for ever: a transfer id that could be used again would credit again.
    """

    user_id: str
    order_id: int
    client_order_id: str | None
    body_digest: str
    partition: int
    group: str
    command: str
    created_at_ms: int
    is_kept: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Pending:
    """An intent that no journal slot has shown yet."""

    order_id: int
    group: str
    command: str
    created_at_ms: int


class HoldRefusedError(Conflict):
    """The transaction did not happen. `short` gives the available units of each wallet that did not cover its
    hold, `taken` the (user_id, client_order_id) pairs that exist already."""

    def __init__(self, short: Mapping[tuple[str, str], int], taken: frozenset[tuple[str, str]]) -> None:
        super().__init__("hold refused")
        self.short = short
        self.taken = taken


class WalletHolds(Protocol):
    """The gateway's half of wallets and intents."""

    async def commit(self, holds: Mapping[tuple[str, str], int], intents: Sequence[Intent]) -> None:
        """In one transaction: move units from available to held for each (user_id, asset), and store the intents.

        At most MAX_TRANSACTION_ITEMS items (one a wallet, `item_count` an intent). Raises HoldRefusedError;
        Conflict when it collided with another transaction (try again); Ambiguous (an intent read back tells).
        """
        ...

    async def balances(self, user_id: str) -> Sequence[Wallet]:
        """All wallets of a user, read consistently, by asset."""
        ...

    async def intent(self, user_id: str, order_id: int) -> Intent | None:
        """The intent of this user's order, read consistently."""
        ...

    async def intent_by_client_id(self, user_id: str, client_order_id: str) -> Intent | None:
        """The same by the client's id."""
        ...

    async def pending(self, partition: int, created_before_ms: int, limit: int) -> Sequence[Pending]:
        """The oldest intents not yet seen in the journal."""
        ...


MAX_TRANSACTION_ITEMS = 100


def item_count(intent: Intent) -> int:
    """How many items of a transaction an intent takes."""
    return 2 if intent.client_order_id is None else 3


class AlreadySettledError(Conflict):
    """The wallet has settled slots of this partition up to `applied` already; `wallet` is how it stands."""

    def __init__(self, wallet: Wallet, partition: int) -> None:
        self.wallet = wallet
        self.applied = wallet.applied[partition]
        super().__init__(f"applied up to slot {self.applied}")


class WalletSettlement(Protocol):
    """The persister's half of wallets and intents."""

    async def settle(
        self, user_id: str, asset: str, partition: int, *, first: int, last: int, available: int, held: int
    ) -> Wallet:
        """Add the deltas and set applied[partition] = last, on condition that applied[partition] < first; returns the
        wallet as that leaves it.

        The wallet is created if it does not exist. Raises AlreadySettledError when the condition fails.
        """
        ...

    async def mark_seen(self, partition: int, order_ids: Sequence[int]) -> None:
        """Delete the pending items of these orders; those that do not exist are passed over."""
        ...


class WalletReader(Protocol):
    """What the reconciler may read of wallets and intents."""

    async def wallet(self, user_id: str, asset: str) -> Wallet | None:
        """One wallet, read consistently."""
        ...

    async def all_pending(self, partition: int) -> Sequence[Pending]:
        """Every intent of the partition that is not marked as seen, in order of their ids, read consistently."""
        ...


class WalletRestore(Protocol):
    """What `rebuild` may do with wallets and intents, while no service runs."""

    async def replace(self, wallets: Sequence[Wallet]) -> None:
        """The table then holds these wallets, as they are given, and no others. A repeat is harmless."""
        ...

    async def all_pending(self, partition: int) -> Sequence[Pending]:
        """Every intent of the partition that is not marked as seen, in order of their ids, read consistently."""
        ...

    async def mark_seen(self, partition: int, order_ids: Sequence[int]) -> None:
        """As WalletSettlement.mark_seen."""
        ...
