"""What only scripted faults can show of wallets and the database; the rest is in tests/conformance."""

import asyncio
from dataclasses import replace

import pytest

from exchange_adapters.sim import Faults, Gate, SimWallets
from exchange_adapters.sim.virtual_time import in_virtual_time
from exchange_core.errors import Ambiguous, Conflict, Fatal
from exchange_core.ports import AlreadySettledError, Intent

INTENT = Intent(
    user_id="alice",
    order_id=1,
    client_order_id="first",
    body_digest="digest",
    partition=0,
    group="BTCUSDT",
    command="{}",
    created_at_ms=1_000,
)


async def wallets_with(units: int, faults: Faults) -> SimWallets:
    wallets = SimWallets(faults=faults)
    await wallets.settle("alice", "USDT", 0, first=1, last=1, available=units, held=0)
    return wallets


@in_virtual_time
async def test_two_transactions_on_one_wallet_collide():
    faults = Faults()
    wallets = await wallets_with(100, faults)
    gate = Gate()
    faults.script("wallets.commit", [gate])
    slow = asyncio.create_task(wallets.commit({("alice", "USDT"): 60}, [INTENT]))
    await gate.reached.wait()
    with pytest.raises(Conflict):
        await wallets.commit({("alice", "USDT"): 60}, [replace(INTENT, order_id=2, client_order_id=None)])
    with pytest.raises(Conflict):
        await wallets.settle("alice", "USDT", 0, first=2, last=2, available=1, held=0)
    gate.open.set()
    await slow
    await wallets.settle("alice", "USDT", 0, first=2, last=2, available=1, held=0)
    (wallet,) = await wallets.balances("alice")
    assert (wallet.available, wallet.held) == (41, 60)


@in_virtual_time
async def test_an_ambiguous_commit_is_settled_by_reading_its_intent():
    faults = Faults()
    wallets = await wallets_with(100, faults)
    faults.script("wallets.commit", ["lost", "after"])
    for is_stored in (False, True):
        with pytest.raises(Ambiguous):
            await wallets.commit({("alice", "USDT"): 60}, [INTENT])
        assert (await wallets.intent("alice", 1) is not None) == is_stored
    with pytest.raises(Ambiguous):
        await wallets.commit({("alice", "USDT"): 40}, [INTENT])
    (wallet,) = await wallets.balances("alice")
    assert (wallet.available, wallet.held) == (40, 60), "held once"


@in_virtual_time
async def test_an_ambiguous_settlement_is_repeated_without_harm():
    faults = Faults()
    wallets = await wallets_with(100, faults)
    faults.script("wallets.settle", ["after"])
    with pytest.raises(Ambiguous):
        await wallets.settle("alice", "USDT", 0, first=2, last=3, available=5, held=0)
    with pytest.raises(AlreadySettledError) as refusal:
        await wallets.settle("alice", "USDT", 0, first=2, last=3, available=5, held=0)
    assert refusal.value.applied == 3
    (wallet,) = await wallets.balances("alice")
    assert wallet.available == 105


@in_virtual_time
async def test_one_transaction_may_not_touch_an_item_twice():
    wallets = await wallets_with(100, Faults())
    with pytest.raises(Fatal):
        await wallets.commit({}, [INTENT, replace(INTENT, order_id=2)])


@in_virtual_time
async def test_a_gateway_killed_in_the_middle_leaves_no_wallet_locked():
    faults = Faults()
    wallets = await wallets_with(100, faults)
    faults.script("wallets.commit", [Gate()])
    killed = asyncio.create_task(wallets.commit({("alice", "USDT"): 60}, [INTENT]))
    await asyncio.sleep(1)
    killed.cancel()
    await asyncio.gather(killed, return_exceptions=True)
    await wallets.commit({("alice", "USDT"): 60}, [INTENT])
