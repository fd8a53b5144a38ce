"""The journal's side of the reconciler's comparison, slot by slot, in memory that does not grow with the journal."""

from random import Random

from exchange_adapters.projection_rows import instruments_after
from exchange_core.codec import Slot
from exchange_core.ports import Wallet
from exchange_persister.reconcile_books import Discrepancy, WalletBooks, WalletKey
from tests.unit.persister.test_rebuild import SolventMarket

BEHIND = 5
"""How many slots the database is behind."""


class Books:
    """The books of one partition's journal, and what each wallet must hold by a plain sum of the slots' effects."""

    def __init__(self) -> None:
        self.books = WalletBooks()
        self.instruments = {}
        self.slots: list[Slot] = []

    def add(self, slot: Slot) -> None:
        self.slots.append(slot)
        self.instruments = instruments_after(self.instruments, [slot])
        self.books.add(slot, self.instruments)

    def wallet(self, key: WalletKey, through: int) -> Wallet:
        """The wallet with all slots up to `through`, by books that kept all of them in mind."""
        whole = WalletBooks()
        for slot in self.slots:
            whole.add(slot, self.instruments)
        applied = {0: through} if through else {}
        empty = Wallet(user_id=key[0], asset=key[1], available=0, held=0, applied=applied)
        off = whole.discrepancy(empty, ()) or Discrepancy()
        return Wallet(user_id=key[0], asset=key[1], available=-off.available, held=-off.held, applied=applied)


def journal(count: int) -> Books:
    market, told = SolventMarket(Random(3), 0), Books()
    for slot in market.slots(count):
        told.add(slot)
        told.books.settle(0, slot.n - BEHIND)
    return told


def test_slots_that_the_database_has_are_kept_as_sums() -> None:
    books = journal(200).books
    in_mind = {slot for account in books._accounts.values() for _, slot in account.later}
    assert in_mind and min(in_mind) > 200 - BEHIND
    assert len(books._later[0]) == BEHIND


def test_a_wallet_is_right_wherever_its_settlement_stands_beyond_the_database() -> None:
    told = journal(60)
    for key in told.books.wallets:
        for through in range(60 - BEHIND, 61):
            assert told.books.discrepancy(told.wallet(key, through), ()) is None


def test_a_wallet_without_a_slot_that_the_database_has_is_told_by_that_slot() -> None:
    told = journal(60)
    for key, account in told.books._accounts.items():
        last = account.last[0]
        assert told.books.discrepancy(told.wallet(key, last - 1), ()) == Discrepancy(unsettled=(0, last))
