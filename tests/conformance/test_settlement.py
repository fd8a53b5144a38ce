"""What the persister relies on: a slot changes a wallet once, however often it is settled."""

import asyncio

import pytest

from exchange_core.errors import Conflict
from exchange_core.ports import AlreadySettledError, Wallet
from tests.conformance.wallet_story import fund, make_intent, pockets


async def test_a_settlement_makes_the_wallet_and_notes_the_slot(world, user_id):
    settled = await world.settlement.settle(user_id, "BTC", 3, first=5, last=5, available=70, held=0)
    assert settled == Wallet(user_id=user_id, asset="BTC", available=70, held=0, applied={3: 5})
    assert list(await world.holds.balances(user_id)) == [settled]


async def test_deltas_add_up_in_both_pockets(world, user_id):
    await world.settlement.settle(user_id, "BTC", 0, first=1, last=4, available=10**18, held=0)
    await world.holds.commit({(user_id, "BTC"): 400}, [make_intent(user_id)])
    settled = await world.settlement.settle(user_id, "BTC", 0, first=5, last=9, available=150, held=-300)
    (wallet,) = await world.holds.balances(user_id)
    assert settled == wallet
    assert (wallet.available, wallet.held, dict(wallet.applied)) == (10**18 - 250, 100, {0: 9})


async def test_slots_settled_already_are_refused_and_change_nothing(world, user_id):
    await world.settlement.settle(user_id, "BTC", 0, first=3, last=7, available=100, held=0)
    for first, last in ((3, 7), (1, 9), (7, 7), (7, 12)):
        with pytest.raises(AlreadySettledError) as refusal:
            await world.settlement.settle(user_id, "BTC", 0, first=first, last=last, available=1, held=1)
        assert refusal.value.applied == 7
        assert [refusal.value.wallet] == list(await world.holds.balances(user_id))
    await world.settlement.settle(user_id, "BTC", 0, first=8, last=12, available=1, held=0)
    (wallet,) = await world.holds.balances(user_id)
    assert (wallet.available, wallet.held, dict(wallet.applied)) == (101, 0, {0: 12})


async def test_a_wallet_need_not_be_touched_by_every_slot(world, user_id):
    await world.settlement.settle(user_id, "BTC", 0, first=3, last=3, available=1, held=0)
    await world.settlement.settle(user_id, "BTC", 0, first=90, last=99, available=1, held=0)
    assert await pockets(world, user_id) == {"BTC": (2, 0)}


async def test_partitions_and_assets_are_settled_apart(world, user_id):
    await world.settlement.settle(user_id, "BTC", 0, first=9, last=9, available=1, held=0)
    await world.settlement.settle(user_id, "BTC", 1, first=2, last=2, available=10, held=0)
    await world.settlement.settle(user_id, "USDT", 0, first=1, last=1, available=100, held=0)
    wallets = {wallet.asset: wallet for wallet in await world.holds.balances(user_id)}
    assert dict(wallets["BTC"].applied) == {0: 9, 1: 2}
    assert dict(wallets["USDT"].applied) == {0: 1}
    assert await pockets(world, user_id) == {"BTC": (11, 0), "USDT": (100, 0)}


async def test_of_many_settlements_of_one_slot_exactly_one_counts(world, user_id):
    await fund(world, user_id, "BTC", 100)

    async def settle() -> bool:
        try:
            await world.settlement.settle(user_id, "BTC", 0, first=1, last=2, available=5, held=0)
        except Conflict:
            return False
        return True

    assert sum(await asyncio.gather(*(settle() for _ in range(10)))) == 1
    assert await pockets(world, user_id) == {"BTC": (105, 0)}


async def test_a_fee_account_is_a_wallet_like_others(world):
    user_id = f"$fees:{world.fresh('partition')}"
    await world.settlement.settle(user_id, "USDT", 0, first=1, last=1, available=3, held=0)
    assert await pockets(world, user_id) == {"USDT": (3, 0)}
