"""What each wallet must hold by the journal: up to where the database stands, and slot by slot beyond. Pure.

Kept in mind is a sum a wallet, and the slots that the database does not have: however long the journal is.
"""

from collections import defaultdict, deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from itertools import chain

from exchange_core.codec import Slot
from exchange_core.instruments import Instrument
from exchange_core.ledger import Delta, hold_before, postings, wallet_deltas
from exchange_core.ports import Wallet

WalletKey = tuple[str, str]
"""(user_id, asset)"""


@dataclass(slots=True)
class _Account:
    """A wallet by the journal: what it holds with all slots that the database has, the last of these that touched it
    by partition, and what the slots beyond add to it by (partition, slot)."""

    available: int = 0
    held: int = 0
    last: dict[int, int] = field(default_factory=dict)
    later: dict[tuple[int, int], Delta] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class _LaterSlot:
    """A slot that the database does not have: the wallets it touches, and the commands it shows."""

    n: int
    wallets: Iterable[WalletKey]
    commands: frozenset[int]


@dataclass(frozen=True, slots=True)
class Discrepancy:
    """By how many units a wallet is off. `unknown` is a slot (partition, n) that the wallet has and the journal lacks,
    `unsettled` one that the database has and the wallet lacks: then the units say nothing."""

    available: int = 0
    held: int = 0
    unknown: tuple[int, int] | None = None
    unsettled: tuple[int, int] | None = None

    def __str__(self) -> str:
        if self.unknown is not None:
            return f"slot {self.unknown[0]}:{self.unknown[1]} is in the wallet and not in the journal"
        if self.unsettled is not None:
            return f"slot {self.unsettled[0]}:{self.unsettled[1]} is in the database and not in the wallet"
        return f"available is {self.available:+}, held {self.held:+} beside the journal"


@dataclass(slots=True)
class WalletBooks:
    """The journal's side of the comparison. `heads` maps a partition to the last slot taken in, `settled` to the last
    one that the database has."""

    heads: dict[int, int] = field(default_factory=dict)
    settled: dict[int, int] = field(default_factory=dict)
    _accounts: defaultdict[WalletKey, _Account] = field(default_factory=lambda: defaultdict(_Account))
    _later: dict[int, deque[_LaterSlot]] = field(default_factory=dict)

    @property
    def wallets(self) -> Iterable[WalletKey]:
        """Every wallet that the journal has touched, in the order in which it did first."""
        return self._accounts.keys()

    def add(self, slot: Slot, instruments: Mapping[str, Instrument]) -> set[WalletKey]:
        """Take in the next slot of its partition; returns the wallets it touches."""
        assert slot.n == self.heads.get(slot.partition, 0) + 1, "the journal has no gaps"
        self.heads[slot.partition] = slot.n
        deltas = wallet_deltas(
            chain.from_iterable(postings(event, instruments, slot.partition) for event in slot.events)
        )
        touched = set(deltas)
        for event in slot.events:
            hold = hold_before(event, instruments)
            if hold is not None:
                account = self._accounts[hold[:2]]
                account.available -= hold[2]
                account.held += hold[2]
                touched.add(hold[:2])
        for key, delta in deltas.items():
            self._accounts[key].later[slot.partition, slot.n] = delta
        commands = frozenset(event.cause for event in slot.events)
        self._later.setdefault(slot.partition, deque()).append(_LaterSlot(slot.n, list(deltas), commands))
        return touched

    def settle(self, partition: int, position: int) -> None:
        """The database has all slots of the partition up to `position`, and so have the wallets."""
        self.settled[partition] = min(position, self.heads.get(partition, 0))
        later = self._later.get(partition)
        while later and later[0].n <= self.settled[partition]:
            slot = later.popleft()
            for key in slot.wallets:
                account = self._accounts[key]
                delta = account.later.pop((partition, slot.n))
                account.available += delta.available
                account.held += delta.held
                account.last[partition] = slot.n

    def discrepancy(self, wallet: Wallet, pending: Iterable[tuple[int, int]]) -> Discrepancy | None:
        """How the wallet differs from the journal, if it does. `pending` are (command id, units) of the holds of this
        wallet whose commands are not marked as seen. What a journaled command held was held before it came there.

        True of a wallet that was read while nothing of it moved, with the whole journal taken in afterwards."""
        for partition, slot in sorted(wallet.applied.items()):
            if slot > self.heads.get(partition, 0):
                return Discrepancy(unknown=(partition, slot))
        account = self._accounts.get((wallet.user_id, wallet.asset)) or _Account()
        for partition, slot in sorted(account.last.items()):
            if slot > wallet.applied.get(partition, 0):
                return Discrepancy(unsettled=(partition, slot))
        available, held = account.available, account.held
        for (partition, slot), delta in account.later.items():
            if slot <= wallet.applied.get(partition, 0):
                available, held = available + delta.available, held + delta.held
        for command_id, units in pending:
            if not self._is_journaled(command_id):
                available, held = available - units, held + units
        if (available, held) == (wallet.available, wallet.held):
            return None
        return Discrepancy(wallet.available - available, wallet.held - held)

    def _is_journaled(self, command_id: int) -> bool:
        """Of the commands that the database does not have yet; those it has are marked as seen."""
        return any(command_id in slot.commands for later in self._later.values() for slot in later)
