"""A user's own channels: only with a token, only the user's, and not a moment longer than the log-in stands."""

from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest

from exchange_adapters.sim import Gate
from exchange_core.topology import SESSIONS_CHANNEL, user_channel
from exchange_fanout.protocol import ErrorCode
from tests.eventually import eventually
from tests.unit.fanout.support import PATIENCE_S, Fanout, ask, running_fanout, subscribe

ORDER = b'{"event":"order","order_id":"1"}'
BALANCE = b'{"event":"balance","asset":"BTC"}'
OWN = ["orders", "balances"]

Socket = aiohttp.ClientWebSocketResponse


@pytest.fixture
async def fanout() -> AsyncIterator[Fanout]:
    async with running_fanout(session_recheck_s=0.05) as started:
        yield started


async def tell(fanout: Fanout, user_id: str, *messages: bytes) -> None:
    await fanout.redis.publish({}, [(user_channel(user_id), message) for message in messages])


async def log_in(fanout: Fanout, socket: Socket, user_id: str = "alice", session_id: str = "session-1") -> Any:
    answer = await ask(socket, action="auth", token=await fanout.log_in(user_id, session_id))
    assert answer["event"] == "authenticated" and answer["user_id"] == user_id
    return answer


async def own(socket: Socket, channels: list[str] = OWN) -> None:
    answer = await ask(socket, action="subscribe", channels=channels)
    assert answer == {"event": "subscribed", "channels": channels}


async def is_silent(socket: Socket) -> bool:
    """Whatever was sent before the answer to this ping has come before it."""
    return bool((await ask(socket, action="ping"))["event"] == "pong")


async def test_orders_and_balances_come_after_a_log_in_and_each_on_its_channel(fanout: Fanout) -> None:
    async with await fanout.connect() as both, await fanout.connect() as orders:
        for socket, channels in ((both, OWN), (orders, ["orders"])):
            await log_in(fanout, socket)
            await own(socket, channels)
        await tell(fanout, "alice", ORDER, BALANCE)
        assert await both.receive_str(timeout=PATIENCE_S) == ORDER.decode()
        assert await both.receive_str(timeout=PATIENCE_S) == BALANCE.decode()
        assert await orders.receive_str(timeout=PATIENCE_S) == ORDER.decode()
        assert await is_silent(orders)


async def test_nobody_hears_of_another_user(fanout: Fanout) -> None:
    async with await fanout.connect() as alice, await fanout.connect() as bob:
        await log_in(fanout, alice, "alice", "session-1")
        await log_in(fanout, bob, "bob", "session-2")
        await own(alice)
        await own(bob)
        await tell(fanout, "bob", ORDER)
        assert await bob.receive_str(timeout=PATIENCE_S) == ORDER.decode()
        assert await is_silent(alice)
        refused = await ask(alice, action="auth", token=await fanout.log_in("bob", "session-3"), id=4)
        assert (refused["code"], refused["id"]) == ("another_user", 4)
        await tell(fanout, "alice", BALANCE)
        assert await alice.receive_str(timeout=PATIENCE_S) == BALANCE.decode()


async def test_without_a_log_in_there_is_nothing_of_ones_own(fanout: Fanout) -> None:
    async with await fanout.connect() as socket:
        refused = await ask(socket, action="subscribe", channels=["orders"], id="x")
        assert (refused["event"], refused["code"], refused["id"]) == ("error", "authentication_required", "x")
        await subscribe(socket, "BTCUSDT")


async def test_a_token_that_is_no_good_is_refused_with_the_gateways_codes(fanout: Fanout) -> None:
    good = await fanout.log_in("alice", "session-1")
    cases = {
        "token_invalid": [
            "x",
            good[:-6] + "AAAAAA",
            fanout.issuer.token("alice", "session-1", client_id="another"),
            fanout.issuer.token("alice", "session-1", token_use="id"),
        ],
        "token_expired": [fanout.issuer.token("alice", "session-1", exp=1_000)],
        "session_revoked": [
            fanout.issuer.token("alice", "session-of-nobody"),
            fanout.issuer.token("bob", "session-1"),
        ],
    }
    async with await fanout.connect() as socket:
        for code, tokens in cases.items():
            for token in tokens:
                answer = await ask(socket, action="auth", token=token)
                assert (answer["event"], answer["code"]) == ("error", code)
        assert (await ask(socket, action="subscribe", channels=["orders"]))["code"] == "authentication_required"


async def test_without_its_store_no_session_is_taken_on_trust(fanout: Fanout) -> None:
    async with await fanout.connect() as socket:
        token = await fanout.log_in("alice", "session-1")
        fanout.faults.down("sessions")
        assert (await ask(socket, action="auth", token=token))["code"] == "authentication_unavailable"
        fanout.faults.up("sessions")
        assert (await ask(socket, action="auth", token=token))["event"] == "authenticated"


async def ended(socket: Socket) -> Any:
    notice = await socket.receive_json(timeout=PATIENCE_S)
    assert notice["event"] == "auth_ended"
    return notice["code"]


async def test_a_log_out_ends_the_private_channels_of_all_its_connections_and_no_others(fanout: Fanout) -> None:
    async with await fanout.connect() as first, await fanout.connect() as second, await fanout.connect() as other:
        for socket, session_id in ((first, "session-1"), (second, "session-1"), (other, "session-2")):
            await log_in(fanout, socket, "alice", session_id)
            await own(socket)
        await subscribe(first, "BTCUSDT")
        await fanout.sessions.revoke("session-1")
        await fanout.redis.publish({}, [(SESSIONS_CHANNEL, b"session-1")])
        for socket in (first, second):
            assert await ended(socket) == ErrorCode.SESSION_REVOKED
        await tell(fanout, "alice", ORDER)
        assert await other.receive_str(timeout=PATIENCE_S) == ORDER.decode()
        assert await is_silent(second)
        await fanout.publish("BTCUSDT", b'{"event":"trade"}')
        assert (await first.receive_json(timeout=PATIENCE_S))["event"] == "trade", "what is public goes on"
        assert (await ask(first, action="subscribe", channels=["orders"]))["code"] == "authentication_required"
        await log_in(fanout, first, "bob", "session-9")


async def test_a_log_out_that_was_not_heard_is_noticed(fanout: Fanout) -> None:
    async with await fanout.connect() as socket:
        await log_in(fanout, socket)
        await own(socket)
        await fanout.sessions.revoke("session-1")
        assert await ended(socket) == ErrorCode.SESSION_REVOKED


async def test_a_token_ends_at_its_time_unless_another_one_takes_its_place(fanout: Fanout) -> None:
    async with await fanout.connect() as lazy, await fanout.connect() as diligent:
        for socket in (lazy, diligent):
            await log_in(fanout, socket)
            await own(socket)
        fanout.clock.advance(3_000_000)
        await log_in(fanout, diligent)
        fanout.clock.advance(1_000_000)
        assert await ended(lazy) == ErrorCode.TOKEN_EXPIRED
        await tell(fanout, "alice", ORDER)
        assert await diligent.receive_str(timeout=PATIENCE_S) == ORDER.decode()
        assert await is_silent(lazy)


async def test_a_log_out_that_overtakes_the_log_in_wins(fanout: Fanout) -> None:
    gate = Gate()
    async with await fanout.connect() as socket:
        token = await fanout.log_in("alice", "session-1")
        fanout.faults.script("sessions.get", [gate])
        await socket.send_json({"action": "auth", "token": token})
        await gate.reached.wait()
        await fanout.redis.publish({}, [(SESSIONS_CHANNEL, b"session-1")])
        await is_heard(fanout)
        gate.open.set()
        assert (await socket.receive_json(timeout=PATIENCE_S))["code"] == "session_revoked"


async def is_heard(fanout: Fanout) -> None:
    """What was published before has been passed on."""
    async with await fanout.connect() as probe:
        await subscribe(probe, "PROBE")
        await fanout.publish("PROBE", b"{}")
        await probe.receive_str(timeout=PATIENCE_S)


async def test_a_user_stays_while_the_store_of_sessions_is_away(fanout: Fanout) -> None:
    async with await fanout.connect() as socket:
        await log_in(fanout, socket)
        await own(socket)
        fanout.faults.down("sessions")
        calls = fanout.faults.calls["sessions.get"]
        await eventually(lambda: fanout.faults.calls["sessions.get"] > calls + 1)
        await tell(fanout, "alice", ORDER)
        assert await socket.receive_str(timeout=PATIENCE_S) == ORDER.decode()


async def test_nothing_is_left_of_a_connection_that_has_ended(fanout: Fanout) -> None:
    async with await fanout.connect() as socket:
        await log_in(fanout, socket)
        await own(socket)
    await eventually(lambda: not fanout.connections.connections)
    await tell(fanout, "alice", ORDER)
    await is_heard(fanout)
