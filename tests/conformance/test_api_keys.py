"""What gateways rely on to know bots' keys."""

from dataclasses import replace

from exchange_core.ports import ApiKey, KeyScope


def key(user_id: str, number: int = 1) -> ApiKey:
    return ApiKey(
        user_id=user_id,
        key_id=f"{user_id}.{number:016x}",
        name="market maker, № 1",
        scopes=frozenset({KeyScope.READ, KeyScope.TRADE}),
        salt=bytes(range(16)),
        master="1",
        created_at_ms=1_771_322_400_123,
    )


async def test_a_key_comes_back_as_it_was_stored_and_only_under_its_user(world, user_id):
    stored = key(user_id)
    assert await world.api_keys.get(user_id, stored.key_id) is None
    await world.api_keys.put(stored)
    assert await world.api_keys.get(user_id, stored.key_id) == stored
    assert await world.api_keys.get(world.fresh("user"), stored.key_id) is None


async def test_a_key_that_is_there_stays_as_it_is(world, user_id):
    stored = key(user_id)
    await world.api_keys.put(stored)
    await world.api_keys.put(replace(stored, scopes=frozenset({KeyScope.READ}), salt=b"another"))
    assert await world.api_keys.get(user_id, stored.key_id) == stored


async def test_a_user_sees_the_own_keys_by_id_until_they_are_revoked(world, user_id):
    stranger = world.fresh("user")
    keys = [key(user_id, number) for number in (3, 1, 2)]
    for one in (*keys, key(stranger)):
        await world.api_keys.put(one)
    assert await world.api_keys.of_user(user_id) == [keys[1], keys[2], keys[0]]
    for _ in range(2):
        await world.api_keys.revoke(user_id, keys[0].key_id)
    await world.api_keys.revoke(user_id, key(stranger).key_id)
    assert await world.api_keys.get(user_id, keys[0].key_id) is None
    assert await world.api_keys.of_user(user_id) == [keys[1], keys[2]]
    assert await world.api_keys.of_user(stranger) == [key(stranger)]
