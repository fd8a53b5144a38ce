"""The wallets and intents tables in memory, as `exchange_adapters.dynamodb_wallets` finds them in DynamoDB.

A transaction happens whole or not at all, and reports every item that refused it. While one is on its way (the delay
of its call), another write to one of its wallets is refused with Conflict, as DynamoDB does with TransactionConflict.
"""

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Final

from exchange_adapters.sim.faults import Faults
from exchange_adapters.sim.store import SimStore
from exchange_core.errors import Ambiguous, Conflict, Fatal
from exchange_core.ports import (
    MAX_TRANSACTION_ITEMS,
    AlreadySettledError,
    Clock,
    HoldRefusedError,
    Intent,
    Pending,
    Wallet,
    item_count,
)

MAX_INTENTS: Final = 1_000_000
"""DynamoDB keeps any number; a simulation does not outlive this many."""
_WalletKey = tuple[str, str]


@dataclass(slots=True)
class _WalletItem:
    available: int = 0
    held: int = 0
    applied: dict[int, int] = field(default_factory=dict)


class SimWallets(SimStore):
    """WalletHolds, WalletSettlement, WalletReader and WalletRestore in one."""

    def __init__(self, *, clock: Clock | None = None, faults: Faults | None = None) -> None:
        super().__init__(clock=clock, faults=faults)
        self._wallets: dict[_WalletKey, _WalletItem] = {}
        self._orders: dict[tuple[str, int], Intent] = {}
        self._clients: dict[tuple[str, str], int] = {}
        self._pending: dict[int, dict[int, Pending]] = {}
        self._in_transaction: set[_WalletKey] = set()

    async def commit(self, holds: Mapping[_WalletKey, int], intents: Sequence[Intent]) -> None:
        """As WalletHolds.commit. Operation `wallets.commit`.

        A hold of 0 needs no wallet. Ambiguous also when one of the orders is stored already: an earlier attempt took
        place, and an intent read back tells.
        """
        holds = {key: units for key, units in holds.items() if units != 0}
        _check_transaction(holds, intents)
        if not holds and not intents:
            return
        await asyncio.sleep(0)  # the way to the store: who collides there has let others go on
        with self._transaction(holds):
            async with self._faults.call("wallets.commit"):
                self._refuse(holds, intents)
                for key, units in holds.items():
                    self._wallets[key].available -= units
                    self._wallets[key].held += units
                for intent in intents:
                    self._store(intent)

    async def balances(self, user_id: str) -> Sequence[Wallet]:
        """As WalletHolds.balances. Operation `wallets.balances`."""
        async with self._faults.call("wallets.balances", is_read=True):
            return [wallet for wallet in self.all_wallets() if wallet.user_id == user_id]

    async def intent(self, user_id: str, order_id: int) -> Intent | None:
        """As WalletHolds.intent. Operation `wallets.intent`."""
        async with self._faults.call("wallets.intent", is_read=True):
            return self._orders.get((user_id, order_id))

    async def intent_by_client_id(self, user_id: str, client_order_id: str) -> Intent | None:
        """As WalletHolds.intent_by_client_id. Operation `wallets.intent`."""
        async with self._faults.call("wallets.intent", is_read=True):
            order_id = self._clients.get((user_id, client_order_id))
            return None if order_id is None else self._orders.get((user_id, order_id))

    async def pending(self, partition: int, created_before_ms: int, limit: int) -> Sequence[Pending]:
        """As WalletHolds.pending. Operation `wallets.pending`."""
        async with self._faults.call("wallets.pending", is_read=True):
            waiting = self._pending.get(partition, {})
            oldest = (waiting[order_id] for order_id in sorted(waiting))
            return [one for one in oldest if one.created_at_ms < created_before_ms][:limit]

    async def settle(
        self, user_id: str, asset: str, partition: int, *, first: int, last: int, available: int, held: int
    ) -> Wallet:
        """As WalletSettlement.settle. Operation `wallets.settle`."""
        assert 0 < first <= last, "slots are numbered from 1"
        async with self._faults.call("wallets.settle"):
            if (user_id, asset) in self._in_transaction:
                raise Conflict("a transaction on this wallet is on its way")
            wallet = self._wallets.get((user_id, asset), _WalletItem())
            applied = wallet.applied.get(partition, 0)
            if applied >= first:
                raise AlreadySettledError(_as_wallet(user_id, asset, wallet), partition)
            wallet.available += available
            wallet.held += held
            wallet.applied[partition] = last
            self._wallets[user_id, asset] = wallet
            return _as_wallet(user_id, asset, wallet)

    async def mark_seen(self, partition: int, order_ids: Sequence[int]) -> None:
        """As WalletSettlement.mark_seen. Operation `wallets.mark_seen`."""
        async with self._faults.call("wallets.mark_seen"):
            for order_id in order_ids:
                self._pending.get(partition, {}).pop(order_id, None)

    async def wallet(self, user_id: str, asset: str) -> Wallet | None:
        """As WalletReader.wallet. Operation `wallets.balances`."""
        async with self._faults.call("wallets.balances", is_read=True):
            item = self._wallets.get((user_id, asset))
            if item is None:
                return None
            return Wallet(
                user_id=user_id, asset=asset, available=item.available, held=item.held, applied=dict(item.applied)
            )

    async def replace(self, wallets: Sequence[Wallet]) -> None:
        """As WalletRestore.replace. Operation `wallets.replace`."""
        async with self._faults.call("wallets.replace"):
            self._wallets.clear()  # in place: every host's view shares it
            for wallet in wallets:
                item = _WalletItem(wallet.available, wallet.held, dict(wallet.applied))
                self._wallets[wallet.user_id, wallet.asset] = item

    async def all_pending(self, partition: int) -> Sequence[Pending]:
        """As WalletRestore.all_pending. Operation `wallets.pending`."""
        async with self._faults.call("wallets.pending", is_read=True):
            return [one for _, one in sorted(self._pending.get(partition, {}).items())]

    def all_wallets(self) -> list[Wallet]:
        """Every wallet, by user and asset."""
        return [_as_wallet(user_id, asset, item) for (user_id, asset), item in sorted(self._wallets.items())]

    def all_intents(self) -> list[Intent]:
        """Every intent, by user and order id."""
        return [intent for _, intent in sorted(self._orders.items())]

    @contextmanager
    def _transaction(self, keys: Mapping[_WalletKey, int]) -> Iterator[None]:
        if not self._in_transaction.isdisjoint(keys):
            raise Conflict("another transaction on one of these wallets is on its way")
        self._in_transaction.update(keys)
        try:
            yield
        finally:
            self._in_transaction.difference_update(keys)

    def _refuse(self, holds: Mapping[_WalletKey, int], intents: Sequence[Intent]) -> None:
        short: dict[_WalletKey, int] = {}
        for key, units in holds.items():
            wallet = self._wallets.get(key)
            if wallet is None or wallet.available < units:
                short[key] = wallet.available if wallet else 0
        taken = frozenset(
            (intent.user_id, intent.client_order_id)
            for intent in intents
            if intent.client_order_id is not None and (intent.user_id, intent.client_order_id) in self._clients
        )
        if any((intent.user_id, intent.order_id) in self._orders for intent in intents):
            raise Ambiguous("an order of this transaction is stored already")
        if short or taken:
            raise HoldRefusedError(short, taken)

    def _store(self, intent: Intent) -> None:
        assert len(self._orders) < MAX_INTENTS, "a simulation outgrew its intents"
        self._orders[intent.user_id, intent.order_id] = intent
        if intent.client_order_id is not None:
            self._clients[intent.user_id, intent.client_order_id] = intent.order_id
        self._pending.setdefault(intent.partition, {})[intent.order_id] = Pending(
            order_id=intent.order_id,
            group=intent.group,
            command=intent.command,
            created_at_ms=intent.created_at_ms,
        )


def _as_wallet(user_id: str, asset: str, item: _WalletItem) -> Wallet:
    return Wallet(user_id=user_id, asset=asset, available=item.available, held=item.held, applied=dict(item.applied))


def _check_transaction(holds: Mapping[_WalletKey, int], intents: Sequence[Intent]) -> None:
    """What DynamoDB refuses as malformed, whatever the tables hold."""
    assert min(holds.values(), default=0) >= 0, "a hold is never negative"
    assert len(holds) + sum(map(item_count, intents)) <= MAX_TRANSACTION_ITEMS, "the caller bounds it"
    keys: list[tuple[object, ...]] = []
    for intent in intents:
        keys += [(intent.user_id, intent.order_id), (intent.partition, intent.order_id)]
        if intent.client_order_id is not None:
            keys.append((intent.user_id, intent.client_order_id))
    if len(set(keys)) < len(keys):
        raise Fatal("two actions of one transaction touch one item")
