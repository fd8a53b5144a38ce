"""A wallet changes once a slot, however runs are cut, repeated, crossed or broken off."""

from itertools import chain
from random import Random

import pytest

from exchange_adapters.projection_rows import instruments_after
from exchange_adapters.sim import Faults, SimWallets
from exchange_adapters.sim.virtual_time import in_virtual_time
from exchange_core.codec import Slot
from exchange_core.commands import CASH_DESK
from exchange_core.errors import Fatal, Unavailable
from exchange_core.events import FundsDeposited, FundsWithdrawn
from exchange_core.ledger import postings, wallet_deltas
from exchange_persister.settlement import Settlement, WalletStep, seen_commands, wallet_changes
from tests.unit.persister.journals import START_MS, RandomMarket

Balances = dict[tuple[str, str], tuple[int, int]]


def expected_balances(*journals: list[Slot]) -> Balances:
    totals: dict[tuple[str, str], tuple[int, int]] = {}
    for slots in journals:
        instruments = instruments_after({}, slots)
        posted = chain.from_iterable(
            postings(event, instruments, slot.partition) for slot in slots for event in slot.events
        )
        for wallet, delta in wallet_deltas(posted).items():
            available, held = totals.get(wallet, (0, 0))
            totals[wallet] = (available + delta.available, held + delta.held)
    return totals


def balances(wallets: SimWallets) -> Balances:
    return {(one.user_id, one.asset): (one.available, one.held) for one in wallets.all_wallets()}


async def settle(wallets: SimWallets, slots: list[Slot], first: int, last: int, calls_max: int = 8) -> None:
    run = [slot for slot in slots if first <= slot.n <= last]
    changes = wallet_changes(run, instruments_after({}, slots))
    await Settlement(wallets, calls_max=calls_max).settle(run, changes)


@pytest.mark.parametrize("seed", range(10))
@in_virtual_time
async def test_runs_cut_anywhere_and_repeated_add_up_to_the_journal(seed: int) -> None:
    random = Random(seed)
    slots = RandomMarket(random).slots(40)
    wallets = SimWallets()
    position = 0
    while position < len(slots):
        # GIVEN a persister that settled some run but died before the database moved, maybe several times
        for _ in range(random.randint(0, 3)):
            await settle(wallets, slots, position + 1, random.randint(position + 1, len(slots)))
        # WHEN another one settles a run of another length from the same position, and moves it
        last = random.randint(position + 1, len(slots))
        await settle(wallets, slots, position + 1, last)
        position = last
    # THEN every wallet has every slot once
    assert balances(wallets) == expected_balances(slots)


@in_virtual_time
async def test_a_late_settlement_of_a_frozen_persister_changes_nothing() -> None:
    slots = RandomMarket(Random(3)).slots(30)
    wallets = SimWallets()
    await settle(wallets, slots, 1, 10)
    await settle(wallets, slots, 11, 30)
    for first, last in ((1, 10), (1, 25), (5, 30), (11, 30)):
        await settle(wallets, slots, first, last)
    assert balances(wallets) == expected_balances(slots)


@in_virtual_time
async def test_a_wallet_whose_run_adds_up_to_nothing_is_marked_all_the_same() -> None:
    """Found by thought: +5 in slot 1 and -5 in slot 2. One persister settles slot 1 and dies; the next one takes both
    slots as a run with no net change, leaves the wallet out, and moves the position: the 5 would stay for ever."""
    slots = [_cash_slot(1, FundsDeposited, 5), _cash_slot(2, FundsWithdrawn, 5)]
    wallets = SimWallets()
    await settle(wallets, slots, 1, 1)
    await settle(wallets, slots, 1, 2)
    assert balances(wallets) == expected_balances(slots) == {("alice", "USD"): (5, -5)}
    # AND the safeguard is what makes it so: without the mark the next run finds 5 too much
    careless = SimWallets()
    await settle(careless, slots, 1, 1)
    changes = wallet_changes(slots, {})
    moving = {wallet: steps for wallet, steps in changes.items() if sum(s.available + s.held for s in steps)}
    await Settlement(careless, calls_max=1).settle(slots, moving)
    assert balances(careless) != expected_balances(slots)
    assert changes[("alice", "USD")][0] == WalletStep(slot=1, available=5, held=0)


@pytest.mark.parametrize("faults", [["lost"], ["after"], ["before", "after", "throttled"], ["conflict", "after"]])
@in_virtual_time
async def test_faults_of_the_wallet_store_are_settled_by_repeating(faults: list[str]) -> None:
    slots = RandomMarket(Random(7)).slots(20)
    broken = Faults()
    broken.script("wallets.settle", [*faults, None] * 3)
    broken.script("wallets.mark_seen", faults)
    wallets = SimWallets(faults=broken)
    await settle(wallets, slots, 1, 20, calls_max=1)
    assert not broken.unspent
    assert balances(wallets) == expected_balances(slots)


@in_virtual_time
async def test_a_store_that_stays_down_is_told_after_all_wallets_were_tried() -> None:
    slots = RandomMarket(Random(7)).slots(3)
    broken = Faults()
    broken.down("wallets")
    with pytest.raises(Unavailable):
        await settle(SimWallets(faults=broken), slots, 1, 3)


@in_virtual_time
async def test_a_wrong_set_up_is_not_repeated() -> None:
    class Forbidden(SimWallets):
        calls = 0

        async def settle(self, *_: object, **__: object) -> None:
            self.calls += 1
            raise Fatal("not allowed")

    wallets = Forbidden()
    slots = RandomMarket(Random(7)).slots(1)
    changes = wallet_changes(slots, {})
    with pytest.raises(Fatal):
        await Settlement(wallets, calls_max=1).settle(slots, changes)
    assert wallets.calls == len(changes)


def test_every_command_is_seen_once() -> None:
    slots = RandomMarket(Random(2)).slots(50)
    seen = seen_commands(slots)
    assert len(seen) == len(set(seen))
    assert set(seen) == {event.cause for slot in slots for event in slot.events}


def _cash_slot(n: int, kind: type[FundsDeposited] | type[FundsWithdrawn], amount: int) -> Slot:
    event = kind(
        seq=n,
        symbol=CASH_DESK,
        cause=n,
        user_id="alice",
        asset="USD",
        amount=amount,
        transfer_id=str(n),
        operator_id="operator",
    )
    return Slot(partition=0, n=n, at_ms=START_MS, fed_through=n - 1, writer="w", events=(event,))
