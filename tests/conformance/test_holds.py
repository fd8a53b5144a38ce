"""What the gateway relies on: holds and intents are taken together or not at all, and a refusal says all of why."""

import asyncio
from dataclasses import replace

import pytest

from exchange_core.errors import Ambiguous
from exchange_core.ports import MAX_TRANSACTION_ITEMS, HoldRefusedError, item_count
from tests.conformance.wallet_story import BORN_MS, commit_through_conflicts, fund, make_intent, pockets


async def test_a_hold_moves_units_from_available_to_held(world, user_id):
    await fund(world, user_id, "USDT", 10**18)
    await world.holds.commit({(user_id, "USDT"): 400}, [make_intent(user_id)])
    assert await pockets(world, user_id) == {"USDT": (10**18 - 400, 400)}


async def test_all_that_is_available_can_be_held(world, user_id):
    await fund(world, user_id, "USDT", 100)
    await world.holds.commit({(user_id, "USDT"): 100}, [make_intent(user_id)])
    assert await pockets(world, user_id) == {"USDT": (0, 100)}


async def test_a_wallet_that_does_not_cover_refuses_and_tells_what_it_has(world, user_id):
    await fund(world, user_id, "USDT", 100)
    intent = make_intent(user_id, client_order_id="mine")
    with pytest.raises(HoldRefusedError) as refusal:
        await world.holds.commit({(user_id, "USDT"): 101}, [intent])
    assert refusal.value.short == {(user_id, "USDT"): 100}
    assert refusal.value.taken == frozenset()
    assert await pockets(world, user_id) == {"USDT": (100, 0)}
    assert await world.holds.intent(user_id, intent.order_id) is None
    assert await world.holds.intent_by_client_id(user_id, "mine") is None


async def test_a_wallet_that_does_not_exist_has_nothing(world, user_id):
    with pytest.raises(HoldRefusedError) as refusal:
        await world.holds.commit({(user_id, "USDT"): 1}, [make_intent(user_id)])
    assert refusal.value.short == {(user_id, "USDT"): 0}
    assert await pockets(world, user_id) == {}


async def test_what_is_held_cannot_be_held_again(world, user_id):
    await fund(world, user_id, "USDT", 100)
    await world.holds.commit({(user_id, "USDT"): 60}, [make_intent(user_id)])
    with pytest.raises(HoldRefusedError) as refusal:
        await world.holds.commit({(user_id, "USDT"): 60}, [make_intent(user_id)])
    assert refusal.value.short == {(user_id, "USDT"): 40}


async def test_one_short_wallet_refuses_the_others_too(world):
    rich, poor = world.fresh("user"), world.fresh("user")
    await fund(world, rich, "USDT", 100)
    await fund(world, rich, "BTC", 100)
    await fund(world, poor, "USDT", 5)
    intents = [make_intent(rich), make_intent(poor)]
    holds = {(rich, "USDT"): 10, (poor, "USDT"): 10, (rich, "BTC"): 10, (poor, "BTC"): 10}
    with pytest.raises(HoldRefusedError) as refusal:
        await world.holds.commit(holds, intents)
    assert refusal.value.short == {(poor, "USDT"): 5, (poor, "BTC"): 0}
    assert await pockets(world, rich) == {"BTC": (100, 0), "USDT": (100, 0)}
    assert await world.holds.intent(rich, intents[0].order_id) is None


async def test_a_client_id_is_taken_once_for_each_user(world, user_id):
    other = world.fresh("user")
    for user in (user_id, other):
        await fund(world, user, "USDT", 100)
    first = make_intent(user_id, client_order_id="mine")
    await world.holds.commit({(user_id, "USDT"): 10}, [first])
    await world.holds.commit({(other, "USDT"): 10}, [make_intent(other, client_order_id="mine")])
    with pytest.raises(HoldRefusedError) as refusal:
        await world.holds.commit({(user_id, "USDT"): 10}, [make_intent(user_id, client_order_id="mine")])
    assert refusal.value.short == {}
    assert refusal.value.taken == frozenset({(user_id, "mine")})
    assert await pockets(world, user_id) == {"USDT": (90, 10)}
    assert await world.holds.intent_by_client_id(user_id, "mine") == first


async def test_a_refusal_names_every_short_wallet_and_every_taken_id(world, user_id):
    await fund(world, user_id, "USDT", 100)
    taken = [make_intent(user_id, client_order_id=f"taken-{number}") for number in range(2)]
    await world.holds.commit({(user_id, "USDT"): 10}, taken)
    again = [replace(make_intent(user_id), client_order_id=intent.client_order_id) for intent in taken]
    with pytest.raises(HoldRefusedError) as refusal:
        await world.holds.commit(
            {(user_id, "BTC"): 1, (user_id, "USDT"): 91}, [*again, make_intent(user_id, client_order_id="free")]
        )
    assert refusal.value.short == {(user_id, "USDT"): 90, (user_id, "BTC"): 0}
    assert refusal.value.taken == frozenset({(user_id, "taken-0"), (user_id, "taken-1")})


async def test_an_order_that_is_stored_already_is_ambiguous_and_holds_nothing_more(world, user_id):
    """What an earlier, broken-off attempt of the same transaction comes to: the intent read back tells."""
    await fund(world, user_id, "USDT", 100)
    for intent in (make_intent(user_id), make_intent(user_id, client_order_id="mine")):
        await world.holds.commit({(user_id, "USDT"): 10}, [intent])
        with pytest.raises(Ambiguous):
            await world.holds.commit({(user_id, "USDT"): 10}, [intent])
        assert await world.holds.intent(user_id, intent.order_id) == intent
    assert await pockets(world, user_id) == {"USDT": (80, 20)}


async def test_intents_come_back_as_they_were_stored(world, user_id):
    await fund(world, user_id, "USDT", 100)
    named, unnamed = make_intent(user_id, client_order_id="Größe/数量 #1"), make_intent(user_id, partition=1)
    await world.holds.commit({(user_id, "USDT"): 10}, [named, unnamed])
    assert await world.holds.intent(user_id, named.order_id) == named
    assert await world.holds.intent(user_id, unnamed.order_id) == unnamed
    assert await world.holds.intent_by_client_id(user_id, "Größe/数量 #1") == named


async def test_intents_are_their_users_alone(world, user_id):
    await fund(world, user_id, "USDT", 100)
    intent = make_intent(user_id, client_order_id="mine")
    await world.holds.commit({(user_id, "USDT"): 10}, [intent])
    stranger = world.fresh("user")
    assert await world.holds.intent(stranger, intent.order_id) is None
    assert await world.holds.intent_by_client_id(stranger, "mine") is None
    assert await world.holds.intent(user_id, intent.order_id + 1) is None


async def test_a_hold_of_nothing_needs_no_wallet(world, user_id):
    intent = make_intent(user_id)
    await world.holds.commit({(user_id, "USDT"): 0}, [intent])
    assert await world.holds.intent(user_id, intent.order_id) == intent
    assert await pockets(world, user_id) == {}


async def test_a_full_transaction_is_taken(world, user_id):
    await fund(world, user_id, "USDT", 1_000)
    intents = [make_intent(user_id, client_order_id=f"{number}") for number in range(33)]
    assert 1 + sum(map(item_count, intents)) == MAX_TRANSACTION_ITEMS
    await world.holds.commit({(user_id, "USDT"): 330}, intents)
    assert await pockets(world, user_id) == {"USDT": (670, 330)}
    assert await world.holds.intent_by_client_id(user_id, "32") == intents[32]


async def test_concurrent_holds_never_overdraw(world, user_id):
    await fund(world, user_id, "USDT", 100)

    async def hold() -> bool:
        try:
            await commit_through_conflicts(world, {(user_id, "USDT"): 15}, [make_intent(user_id)])
        except HoldRefusedError:
            return False
        return True

    outcomes = await asyncio.gather(*(hold() for _ in range(12)))
    assert sum(outcomes) == 6
    assert await pockets(world, user_id) == {"USDT": (10, 90)}


async def test_balances_come_by_asset(world, user_id):
    for asset in ("USDT", "BTC", "ETH"):
        await fund(world, user_id, asset, 1)
    assert [wallet.asset for wallet in await world.holds.balances(user_id)] == ["BTC", "ETH", "USDT"]


async def test_pending_intents_come_oldest_first(world, partition, user_id):
    intents = [make_intent(user_id, partition=partition, created_at_ms=BORN_MS + number) for number in range(5)]
    for intent in reversed(intents):
        await world.holds.commit({}, [intent])
    pending = await world.holds.pending(partition, BORN_MS + 4, 100)
    assert [(one.order_id, one.group, one.command, one.created_at_ms) for one in pending] == [
        (intent.order_id, intent.group, intent.command, intent.created_at_ms) for intent in intents[:4]
    ]
    assert [one.order_id for one in await world.holds.pending(partition, BORN_MS + 10_000, 2)] == [
        intent.order_id for intent in intents[:2]
    ]
    assert list(await world.holds.pending(partition, BORN_MS, 100)) == []


async def test_pending_intents_are_listed_by_partition(world, user_id):
    here, there = world.partition(), world.partition()
    await world.holds.commit({}, [make_intent(user_id, partition=here)])
    assert len(await world.holds.pending(here, BORN_MS + 10_000, 100)) == 1
    assert list(await world.holds.pending(there, BORN_MS + 10_000, 100)) == []


async def test_what_was_seen_is_pending_no_more_and_its_intent_stays(world, partition, user_id):
    intents = [make_intent(user_id, partition=partition) for _ in range(30)]
    await world.holds.commit({}, intents)
    seen = [intent.order_id for intent in intents[1:]]
    await world.settlement.mark_seen(partition, [*seen, seen[0], 42])
    await world.settlement.mark_seen(partition, seen)
    await world.settlement.mark_seen(partition, [])
    assert [one.order_id for one in await world.holds.pending(partition, BORN_MS + 10_000, 100)] == [
        intents[0].order_id
    ]
    assert await world.holds.intent(user_id, intents[1].order_id) == intents[1]


async def test_a_rebuild_sees_every_intent_that_is_not_marked_as_seen(world, user_id):
    intents = [make_intent(user_id) for _ in range(30)]
    for intent in intents:
        await world.holds.commit({}, [intent])
    partition, ids = intents[0].partition, [intent.order_id for intent in intents]
    await world.restore.mark_seen(partition, ids[:3])
    waiting = [one.order_id for one in await world.restore.all_pending(partition)]
    assert [one for one in waiting if one in ids] == ids[3:]
