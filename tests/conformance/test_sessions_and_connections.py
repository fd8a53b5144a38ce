"""What gateways and fanouts rely on to know who is logged in and who is connected."""

from dataclasses import replace

from exchange_core.ports import Session


def session(session_id: str) -> Session:
    return Session(session_id=session_id, user_id="alice", created_at_ms=1_000, expires_at_ms=4_102_444_800_123)


async def test_a_session_comes_back_as_it_was_stored(world):
    stored = session(world.fresh("session"))
    assert await world.sessions.get(stored.session_id) is None
    await world.sessions.put(stored)
    assert await world.sessions.get(stored.session_id) == stored


async def test_a_revoked_session_stays_revoked(world):
    stored = session(world.fresh("session"))
    await world.sessions.put(stored)
    for _ in range(2):
        await world.sessions.revoke(stored.session_id)
    await world.sessions.put(stored)
    assert await world.sessions.get(stored.session_id) == replace(stored, is_revoked=True)


async def test_a_session_that_does_not_exist_is_not_made_by_revoking_it(world):
    session_id = world.fresh("session")
    await world.sessions.revoke(session_id)
    assert await world.sessions.get(session_id) is None


async def test_a_connection_is_known_until_it_is_forgotten(world):
    connection_id = world.fresh("connection")
    await world.connections.put(connection_id, "fanout-1", 4_102_444_800_000)
    await world.connections.put(connection_id, "fanout-2", 4_102_444_900_000)
    assert await world.connection(connection_id) == "fanout-2"
    for _ in range(2):
        await world.connections.delete(connection_id)
    assert await world.connection(connection_id) is None
