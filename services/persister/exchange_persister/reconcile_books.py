"""What each wallet must hold by the journal: up to where the database stands, and slot by slot beyond. Pure."""

from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from itertools import chain

from exchange_core.codec import Slot
from exchange_core.instruments import Instrument
from exchange_core.ledger import Delta, hold_before, postings, wallet_deltas
from exchange_core.ports import Wallet

WalletKey = tuple[str, str]
"""(user_id, asset)"""


@dataclass(frozen=True, slots=True)
class _Entry:
    """What one slot's postings do to one wallet."""

    partition: int
    slot: int
    available: int
    held: int


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
    _balances: dict[WalletKey, Delta] = field(default_factory=dict)
    _later: dict[WalletKey, deque[_Entry]] = field(default_factory=dict)
    _commands: dict[int, deque[tuple[int, frozenset[int]]]] = field(default_factory=dict)

    @property
    def wallets(self) -> Iterable[WalletKey]:
        """Every wallet that the journal has touched, in the order in which it did first."""
        return self._balances.keys()

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
                self._balance(hold[:2]).available -= hold[2]
                self._balance(hold[:2]).held += hold[2]
                touched.add(hold[:2])
        for key, delta in deltas.items():
            self._balance(key)
            entry = _Entry(slot.partition, slot.n, delta.available, delta.held)
            self._later.setdefault(key, deque()).append(entry)
        causes = frozenset(event.cause for event in slot.events)
        self._commands.setdefault(slot.partition, deque()).append((slot.n, causes))
        return touched

    def settle(self, partition: int, position: int) -> None:
        """The database has all slots of the partition up to `position`."""
        self.settled[partition] = min(position, self.heads.get(partition, 0))
        commands = self._commands.get(partition)
        while commands and commands[0][0] <= self.settled[partition]:
            commands.popleft()

    def discrepancy(self, wallet: Wallet, pending: Iterable[tuple[int, int]]) -> Discrepancy | None:
        """How the wallet differs from the journal, if it does. `pending` are (command id, units) of the holds of this
        wallet whose commands are not marked as seen. What a journaled command held was held before it came there.

        True of a wallet that was read while nothing of it moved, with the whole journal taken in afterwards."""
        for partition, slot in sorted(wallet.applied.items()):
            if slot > self.heads.get(partition, 0):
                return Discrepancy(unknown=(partition, slot))
        key = (wallet.user_id, wallet.asset)
        balance = self._balances.get(key, Delta())
        available, held = balance.available, balance.held
        for entry in self._later.get(key, ()):
            if entry.slot <= wallet.applied.get(entry.partition, 0):
                available, held = available + entry.available, held + entry.held
            elif entry.slot <= self.settled.get(entry.partition, 0):
                return Discrepancy(unsettled=(entry.partition, entry.slot))
        for command_id, units in pending:
            if not self._is_journaled(command_id):
                available, held = available - units, held + units
        if (available, held) == (wallet.available, wallet.held):
            return None
        return Discrepancy(wallet.available - available, wallet.held - held)

    def confirm(self, key: WalletKey) -> None:
        """The wallet was found right: what is settled of it need not be told slot by slot any more."""
        later = self._later.get(key)
        kept: deque[_Entry] = deque()
        for entry in later or ():
            if entry.slot <= self.settled.get(entry.partition, 0):
                self._balances[key].available += entry.available
                self._balances[key].held += entry.held
            else:
                kept.append(entry)
        if kept:
            self._later[key] = kept
        else:
            self._later.pop(key, None)

    def _balance(self, key: WalletKey) -> Delta:
        return self._balances.setdefault(key, Delta())

    def _is_journaled(self, command_id: int) -> bool:
        """Of the commands that the database does not have yet; those it has are marked as seen."""
        return any(command_id in causes for commands in self._commands.values() for _, causes in commands)
