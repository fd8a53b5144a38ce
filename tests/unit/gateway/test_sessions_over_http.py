"""Who may come in, and that a log-out is final: over real HTTP, on simulated stores."""

import base64
from collections.abc import AsyncIterator

import orjson
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa

from exchange_adapters.sessions import SESSION_CACHE_S
from exchange_adapters.tokens import KEYS_REFETCH_MIN_S
from exchange_core.topology import SESSIONS_CHANNEL
from tests.eventually import eventually
from tests.unit.gateway.support import ISSUER, PASSWORD, Gateway, running_gateway


@pytest.fixture
async def gateway() -> AsyncIterator[Gateway]:
    async with running_gateway() as started:
        yield started


async def code_of(gateway: Gateway, token: str) -> str:
    headers = {"Authorization": f"Bearer {token}"}
    answer = await gateway.call("GET", "/api/v1/balances", headers=headers)
    if answer.status == 200:
        return "ok"
    assert answer.status == 401
    assert answer.headers["WWW-Authenticate"].startswith("Bearer")
    return answer.code


async def test_sign_up_and_log_in(gateway: Gateway) -> None:
    user_id = await gateway.join("alice")
    assert (await gateway.call("GET", "/api/v1/balances", user="alice")).body == {"balances": []}
    taken = await gateway.call("POST", "/api/v1/users", {"username": "alice", "password": PASSWORD})
    assert (taken.status, taken.code) == (409, "username_taken")
    wrong = await gateway.call("POST", "/api/v1/sessions", {"username": "alice", "password": "no"})
    assert (wrong.status, wrong.code) == (401, "invalid_credentials")
    answer = await gateway.call("POST", "/api/v1/sessions", {"username": "alice", "password": PASSWORD})
    assert answer.body.keys() == {"access_token", "token_type", "expires_in", "refresh_token", "user_id"}
    assert (answer.body["token_type"], answer.body["user_id"]) == ("Bearer", user_id)


async def test_forged_tokens_are_refused(gateway: Gateway) -> None:
    await gateway.join("alice")
    token = gateway.directory.token
    session = "session-1"
    stranger = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    good = token("alice", session)
    assert await code_of(gateway, good) == "ok"
    head, claims, signature = good.split(".")
    none_head = base64.urlsafe_b64encode(orjson.dumps({"alg": "none", "kid": "key-1"})).decode().rstrip("=")
    other_claims = token("bob", session).split(".")[1]
    forged = {
        "no token at all": "x",
        "alg none": f"{none_head}.{claims}.",
        "alg none, signature kept": f"{none_head}.{claims}.{signature}",
        "claims of another": f"{head}.{other_claims}.{signature}",
        "cut signature": f"{head}.{claims}.",
        "another key": token("alice", session, key=stranger),
        "symmetric": token("alice", session, key="s" * 32, header={"alg": "HS256"}),
        "no such key": token("alice", session, header={"kid": "key-9"}),
        "another issuer": token("alice", session, iss=ISSUER + "x"),
        "another client": token("alice", session, client_id="client-2"),
        "an id token": token("alice", session, token_use="id"),
        "no expiry": token("alice", session, exp=None),
        "no session": token("alice", session, origin_jti=None),
        "expiry as text": token("alice", session, exp="9999999999"),
    }
    for name, text in forged.items():
        assert await code_of(gateway, text) == "token_invalid", name
    assert await code_of(gateway, token("alice", session, exp=1_000_000)) == "token_expired"
    assert (await gateway.call("GET", "/api/v1/balances")).code == "token_missing"
    basic = await gateway.call("GET", "/api/v1/balances", headers={"Authorization": "Basic YTpi"})
    assert basic.code == "token_invalid"


async def test_a_token_dies_at_its_time_even_when_it_is_known(gateway: Gateway) -> None:
    await gateway.join("alice")
    assert await code_of(gateway, gateway.tokens["alice"]) == "ok"
    gateway.clock.advance(3_600_000)
    assert await code_of(gateway, gateway.tokens["alice"]) == "token_expired"


async def test_a_session_that_was_not_opened_here_is_none(gateway: Gateway) -> None:
    await gateway.join("alice")
    await gateway.join("bob")
    assert await code_of(gateway, gateway.directory.token("alice", "session-99")) == "session_revoked"
    assert await code_of(gateway, gateway.directory.token("alice", "session-2")) == "session_revoked", "bob's"


async def test_a_log_out_is_final_for_every_token_of_the_session(gateway: Gateway) -> None:
    await gateway.join("alice")
    credentials = {"username": "alice", "password": PASSWORD}
    second = (await gateway.call("POST", "/api/v1/sessions", credentials)).body
    refreshed = await gateway.call("POST", "/api/v1/sessions/refresh", {"refresh_token": second["refresh_token"]})
    assert refreshed.status == 200 and await code_of(gateway, refreshed.body["access_token"]) == "ok"
    headers = {"Authorization": f"Bearer {second['access_token']}"}
    assert (await gateway.call("DELETE", "/api/v1/sessions", headers=headers)).status == 204
    assert await code_of(gateway, second["access_token"]) == "session_revoked"
    assert await code_of(gateway, refreshed.body["access_token"]) == "session_revoked"
    again = await gateway.call("POST", "/api/v1/sessions/refresh", {"refresh_token": second["refresh_token"]})
    assert again.code == "session_revoked"
    assert await code_of(gateway, gateway.tokens["alice"]) == "ok", "another log-in of hers stands"


async def test_a_log_out_elsewhere_is_heard_and_else_noticed_within_seconds(gateway: Gateway) -> None:
    await gateway.join("alice")
    await gateway.join("bob")
    for user in ("alice", "bob"):
        assert await code_of(gateway, gateway.tokens[user]) == "ok"
    calls = gateway.faults.calls["sessions.get"]
    assert await code_of(gateway, gateway.tokens["alice"]) == "ok"
    assert gateway.faults.calls["sessions.get"] == calls, "the check is cached"
    await gateway.cloud.sessions.revoke("session-1")
    await gateway.cloud.redis.publish({}, [(SESSIONS_CHANNEL, b"session-1")])

    async def is_revoked() -> bool:
        return await code_of(gateway, gateway.tokens["alice"]) == "session_revoked"

    await eventually(is_revoked, timeout_s=SESSION_CACHE_S / 2)
    assert await code_of(gateway, gateway.tokens["bob"]) == "ok"


async def test_made_up_key_ids_do_not_make_us_fetch_keys(gateway: Gateway) -> None:
    await gateway.join("alice")
    assert KEYS_REFETCH_MIN_S > 1
    for number in range(20):
        token = gateway.directory.token("alice", "session-1", header={"kid": f"made-up-{number}"})
        assert await code_of(gateway, token) == "token_invalid"
    assert gateway.directory.fetch_count == 1


async def test_without_its_store_no_session_is_taken_on_trust(gateway: Gateway) -> None:
    await gateway.join("alice")
    gateway.faults.down("sessions")
    answer = await gateway.call("GET", "/api/v1/balances", user="alice")
    assert (answer.status, answer.code) == (503, "service_unavailable")
    gateway.faults.up("sessions")
    assert await code_of(gateway, gateway.tokens["alice"]) == "ok"
