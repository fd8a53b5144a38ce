"""Bots' keys: over real HTTP, on simulated stores."""

import hashlib
import hmac
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from typing import Any

import orjson
import pytest
from pydantic import ValidationError

from exchange_adapters.sim import SimClock, SimRedis
from exchange_core.ports import ApiKey, KeyScope
from exchange_core.topology import API_KEYS_CHANNEL
from exchange_gateway.access.api_keys import KEY_CACHE_S, KEYS_A_USER_MAX, KeyRing
from exchange_gateway.access.signatures import SeenSignatures
from exchange_gateway.problems import ProblemError
from tests.eventually import eventually
from tests.unit.gateway.support import Answer, Gateway, gateway_config, running_gateway

ORDER = {"symbol": "BTCUSDT", "side": "buy", "type": "limit", "price": "50000", "quantity": "0.1"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Bot:
    """Signs requests with a key, as docs/api.md says, and takes them apart where a test wants that."""

    gateway: Gateway
    key_id: str
    secret: str

    def signed(self, method: str, path: str, body: bytes = b"", *, at_ms: int | None = None) -> dict[str, str]:
        timestamp = str(self.gateway.clock.now_ms() if at_ms is None else at_ms)
        text = f"{timestamp}\n{method}\n{path}\n".encode() + body
        signature = hmac.new(self.secret.encode(), text, hashlib.sha256).hexdigest()
        return {
            "X-Crossbook-Key": self.key_id,
            "X-Crossbook-Timestamp": timestamp,
            "X-Crossbook-Signature": signature,
        }

    async def call(self, method: str, path: str, body: Any = None, *, at_ms: int | None = None) -> Answer:
        data = b"" if body is None else orjson.dumps(body)
        headers = self.signed(method, path, data, at_ms=at_ms)
        return await self.gateway.call(method, path, data or None, headers=headers)


async def bot_of(gateway: Gateway, user: str, *scopes: str) -> Bot:
    answer = await gateway.call("POST", "/api/v1/api-keys", {"name": "bot", "scopes": list(scopes)}, user=user)
    assert answer.status == 201, answer.text
    return Bot(gateway=gateway, key_id=answer.body["key_id"], secret=answer.body["secret"])


@pytest.fixture
async def gateway() -> AsyncIterator[Gateway]:
    async with running_gateway() as started:
        await started.open_market()
        yield started


@pytest.fixture
async def bot(gateway: Gateway) -> Bot:
    return await bot_of(gateway, "alice", "read", "trade")


async def test_a_key_acts_for_its_user(gateway: Gateway, bot: Bot) -> None:
    placed = await bot.call("POST", "/api/v1/order", ORDER)
    assert placed.status == 202
    path = f"/api/v1/order/{placed.body['order_id']}"
    assert (await gateway.call("GET", path, user="alice")).status == 200
    assert (await bot.call("GET", "/api/v1/orders?status=open&limit=5")).status == 200
    assert (await bot.call("GET", "/api/v1/balances")).body == (
        await gateway.call("GET", "/api/v1/balances", user="alice")
    ).body
    assert (await bot.call("DELETE", path)).status == 202


async def test_a_secret_is_shown_once_and_kept_nowhere(gateway: Gateway, bot: Bot) -> None:
    listed = await gateway.call("GET", "/api/v1/api-keys", user="alice")
    (entry,) = listed.body["api_keys"]
    assert entry.keys() == {"key_id", "name", "scopes", "created_at"}
    assert (entry["key_id"], entry["scopes"]) == (bot.key_id, ["read", "trade"])
    assert bot.secret not in listed.text
    assert bot.secret not in repr(await gateway.cloud.api_keys.of_user("user-alice"))
    assert len(bot.secret) == 43


@pytest.mark.parametrize(
    ("scopes", "may_read", "may_trade"),
    [(["read"], True, False), (["trade"], False, True), (["trade", "read"], True, True)],
)
async def test_a_key_does_what_its_scopes_say(
    gateway: Gateway, scopes: list[str], may_read: bool, may_trade: bool
) -> None:
    bot = await bot_of(gateway, "alice", *scopes)
    placed = (await gateway.place("alice")).body["order_id"]
    reads = [
        ("GET", "/api/v1/balances", None),
        ("GET", f"/api/v1/order/{placed}", None),
        ("GET", "/api/v1/fills", None),
    ]
    batch = {"items": [{"op": "cancel", "order_id": placed}]}
    trades = [
        ("POST", "/api/v1/order", ORDER),
        ("POST", "/api/v1/orders/batch", batch),
        ("PATCH", f"/api/v1/order/{placed}", {"quantity": "0.05"}),
        ("DELETE", f"/api/v1/order/{placed}", None),
        ("DELETE", "/api/v1/orders", None),
        ("POST", "/api/v1/orders/cancel-all-after", {"symbol": "BTCUSDT", "timeout_s": 60}),
    ]
    for requests, may in ((reads, may_read), (trades, may_trade)):
        for method, path, body in requests:
            answer = await bot.call(method, path, body)
            assert (answer.status < 300) if may else (answer.code == "forbidden"), (method, path, answer.text)


async def test_a_key_never_makes_or_ends_keys_and_never_reaches_what_operators_do(gateway: Gateway) -> None:
    bot = await bot_of(gateway, "operator", "read", "trade")
    deposit = {"user_id": "user-alice", "asset": "BTC", "amount": 1, "transfer_id": "t"}
    for method, path, body in (
        ("POST", "/api/v1/api-keys", {"scopes": ["trade"]}),
        ("GET", "/api/v1/api-keys", None),
        ("DELETE", f"/api/v1/api-keys/{bot.key_id}", None),
        ("DELETE", "/api/v1/sessions", None),
        ("POST", "/api/v1/admin/deposits", deposit),
        ("POST", "/api/v1/admin/withdrawals", deposit),
        ("POST", "/api/v1/admin/symbols/BTCUSDT/status", {"status": "halted"}),
    ):
        answer = await bot.call(method, path, body)
        assert (answer.status, answer.code) == (403, "forbidden"), path
    assert (await gateway.call("POST", "/api/v1/admin/deposits", deposit, user="operator")).status == 202


async def test_whatever_is_changed_after_signing_is_noticed(gateway: Gateway, bot: Bot) -> None:
    body = orjson.dumps(ORDER)
    other = orjson.dumps({**ORDER, "quantity": "0.2"})
    query = "/api/v1/orders?symbol=BTCUSDT"
    other_bot = await bot_of(gateway, "bob", "trade")
    read_only = await bot_of(gateway, "alice", "read")
    place = bot.signed("POST", "/api/v1/order", body)
    cancel = bot.signed("DELETE", query)
    tries = {
        "the method": ("DELETE", query, None, bot.signed("GET", query)),
        "the path": ("POST", "/api/v1/orders/batch", body, place),
        "the query": ("DELETE", "/api/v1/orders?symbol=ETHUSDT", None, cancel),
        "no query any more": ("DELETE", "/api/v1/orders", None, cancel),
        "the body": ("POST", "/api/v1/order", other, place),
        "no body any more": ("POST", "/api/v1/order", None, place),
        "a body where there was none": ("DELETE", query, b"{}", cancel),
        "the query moved into the body": ("DELETE", "/api/v1/orders", b"?symbol=BTCUSDT", cancel),
        "the timestamp": (
            "POST",
            "/api/v1/order",
            body,
            place | {"X-Crossbook-Timestamp": str(gateway.clock.now_ms() + 9)},
        ),
        "the signature": ("POST", "/api/v1/order", body, place | {"X-Crossbook-Signature": "0" * 64}),
        "another's key": ("POST", "/api/v1/order", body, place | {"X-Crossbook-Key": other_bot.key_id}),
        "another scope's key": (
            "POST",
            "/api/v1/order",
            body,
            read_only.signed("POST", "/api/v1/order", body) | {"X-Crossbook-Key": bot.key_id},
        ),
        "no such key": ("POST", "/api/v1/order", body, place | {"X-Crossbook-Key": "user-alice.0123456789abcdef"}),
        "a malformed key": ("POST", "/api/v1/order", body, place | {"X-Crossbook-Key": "alice"}),
        "a malformed signature": ("POST", "/api/v1/order", body, place | {"X-Crossbook-Signature": "x" * 64}),
        "a malformed timestamp": ("POST", "/api/v1/order", body, place | {"X-Crossbook-Timestamp": "now"}),
        "a token beside it": (
            "POST",
            "/api/v1/order",
            body,
            place | {"Authorization": f"Bearer {gateway.tokens['bob']}"},
        ),
        "only a key id": ("GET", "/api/v1/balances", None, {"X-Crossbook-Key": bot.key_id}),
    }
    for name, (method, path, data, headers) in tries.items():
        answer = await gateway.call(method, path, data, headers=headers)
        assert (answer.status, answer.code) == (401, "api_key_invalid"), name
        assert answer.headers["WWW-Authenticate"].startswith("Crossbook-HMAC-SHA256")
    assert (await gateway.call("POST", "/api/v1/order", body, headers=place)).status == 202, (
        "as it was signed it is good"
    )


async def test_a_signature_is_good_for_seconds_around_its_time(gateway: Gateway, bot: Bot) -> None:
    now_ms = gateway.clock.now_ms()
    for at_ms in (now_ms - 60_000, now_ms - 6_000, now_ms + 6_500, 0, 10**14):
        answer = await bot.call("GET", "/api/v1/balances", at_ms=at_ms)
        assert (answer.status, answer.code) == (401, "timestamp_outside_window")
        assert abs(answer.body["server_time_ms"] - gateway.clock.now_ms()) < 10_000
    for at_ms in (now_ms - 3_000, now_ms + 4_000):
        assert (await bot.call("GET", "/api/v1/balances", at_ms=at_ms)).status == 200


async def test_a_signature_is_good_once(gateway: Gateway, bot: Bot) -> None:
    body = orjson.dumps(ORDER)
    headers = bot.signed("POST", "/api/v1/order", body)
    assert (await gateway.call("POST", "/api/v1/order", body, headers=headers)).status == 202
    shouted = headers | {"X-Crossbook-Signature": headers["X-Crossbook-Signature"].upper()}
    for replay in (headers, shouted):
        answer = await gateway.call("POST", "/api/v1/order", body, headers=replay)
        assert (answer.status, answer.code) == (401, "request_replayed")
    assert await gateway.exchange.settle() == 1


async def test_what_another_gateway_has_seen_is_a_replay_here(gateway: Gateway) -> None:
    elsewhere = SeenSignatures(gateway.cloud.redis, gateway.clock, 15_000)
    here = SeenSignatures(gateway.cloud.redis, gateway.clock, 15_000)
    await elsewhere.require_first("ab" * 32)
    with pytest.raises(ProblemError, match="request_replayed"):
        await here.require_first("ab" * 32)


async def test_without_redis_a_gateway_remembers_and_no_order_is_placed_twice_by_another(
    gateway: Gateway, bot: Bot
) -> None:
    gateway.faults.down("redis")
    body = orjson.dumps(ORDER)
    headers = bot.signed("POST", "/api/v1/order", body)
    first = await gateway.call("POST", "/api/v1/order", body, headers=headers)
    assert first.status == 202 and first.body["client_order_id"].startswith("signed-")
    assert (await gateway.call("POST", "/api/v1/order", body, headers=headers)).code == "request_replayed"
    # Another gateway, that has not seen it, gives the same client id to the same order.
    name = f"signed-{headers['X-Crossbook-Signature'][:32]}-0"
    again = await gateway.place("alice", client_order_id=name)
    assert (again.status, again.body) == (202, first.body)
    batch = orjson.dumps({"items": [{"op": "place", **ORDER}, {"op": "place", **ORDER, "client_order_id": "mine"}]})
    answer = await gateway.call(
        "POST", "/api/v1/orders/batch", batch, headers=bot.signed("POST", "/api/v1/orders/batch", batch)
    )
    names = [result["answer"]["client_order_id"] for result in answer.body["results"]]
    assert names[0].startswith("signed-") and names[0] != first.body["client_order_id"] and names[1] == "mine"
    assert await gateway.exchange.settle() == 3


async def test_signatures_are_remembered_as_long_as_they_are_good_and_bounded() -> None:
    clock = SimClock()
    seen = SeenSignatures(SimRedis(clock=clock), clock, remembered_ms=1_000, seen_max=2)
    for signature in ("a", "b"):
        await seen.require_first(signature)
    with pytest.raises(ProblemError, match="overloaded"):
        await seen.require_first("c")
    clock.advance(1_000)
    await seen.require_first("c")


async def test_a_revoked_key_is_good_for_nothing_and_others_stand(gateway: Gateway, bot: Bot) -> None:
    other = await bot_of(gateway, "alice", "read")
    assert (await bot.call("GET", "/api/v1/balances")).status == 200
    assert (await gateway.call("DELETE", f"/api/v1/api-keys/{bot.key_id}", user="bob")).code == "api_key_not_found"
    assert (await gateway.call("DELETE", f"/api/v1/api-keys/{bot.key_id}", user="alice")).status == 204
    assert (await bot.call("GET", "/api/v1/balances")).code == "api_key_invalid"
    assert (await other.call("GET", "/api/v1/balances")).status == 200
    again = await gateway.call("DELETE", f"/api/v1/api-keys/{bot.key_id}", user="alice")
    assert (again.status, again.code) == (404, "api_key_not_found")


async def test_a_key_revoked_elsewhere_is_forgotten_when_it_is_heard(gateway: Gateway, bot: Bot) -> None:
    assert (await bot.call("GET", "/api/v1/balances")).status == 200
    calls = gateway.faults.calls["api_keys.get"]
    assert (await bot.call("GET", "/api/v1/fills")).status == 200
    assert gateway.faults.calls["api_keys.get"] == calls, "keys are cached"
    await gateway.cloud.api_keys.revoke("user-alice", bot.key_id)
    await gateway.cloud.redis.publish({}, [(API_KEYS_CHANNEL, bot.key_id.encode())])

    async def is_revoked() -> bool:
        return (await bot.call("GET", "/api/v1/balances")).status == 401

    await eventually(is_revoked, timeout_s=KEY_CACHE_S / 2)


async def test_a_record_that_somebody_changed_goes_with_no_secret(gateway: Gateway) -> None:
    bot = await bot_of(gateway, "alice", "read")
    (stored,) = await gateway.cloud.api_keys.of_user("user-alice")
    await gateway.cloud.api_keys.revoke("user-alice", bot.key_id)
    await gateway.cloud.api_keys.put(replace(stored, scopes=frozenset(KeyScope)))
    assert (await bot.call("GET", "/api/v1/balances")).code == "api_key_invalid"


async def test_keys_are_bounded_and_asked_for_in_the_right_form(gateway: Gateway) -> None:
    for body, code in (
        ({}, "missing_field"),
        ({"scopes": []}, "invalid_value"),
        ({"scopes": ["admin"]}, "invalid_value"),
        ({"scopes": [["read"]]}, "invalid_value"),
        ({"scopes": "read"}, "invalid_value"),
        ({"scopes": ["read"], "name": "x" * 65}, "invalid_value"),
        ({"scopes": ["read"], "secret": "mine"}, "unknown_field"),
    ):
        assert (await gateway.call("POST", "/api/v1/api-keys", body, user="bob")).code == code, body
    for _ in range(KEYS_A_USER_MAX):
        await bot_of(gateway, "bob", "read")
    refused = await gateway.call("POST", "/api/v1/api-keys", {"scopes": ["read"]}, user="bob")
    assert (refused.status, refused.code) == (422, "too_many_api_keys")


def test_a_secret_hangs_on_the_whole_record_and_on_its_master() -> None:
    key = ApiKey(
        user_id="u", key_id="u.1", name="n", scopes=frozenset({KeyScope.READ}), salt=b"s", master="1", created_at_ms=1
    )
    ring = KeyRing({"1": b"a" * 32})
    others = (
        replace(key, user_id="v"),
        replace(key, key_id="u.2"),
        replace(key, scopes=frozenset(KeyScope)),
        replace(key, salt=b"t"),
    )
    assert len({ring.secret(one) for one in (key, *others)}) == 5
    rotated = KeyRing({"2": b"b" * 32, "1": b"a" * 32})
    assert rotated.newest == "2" and rotated.secret(key) == ring.secret(key)
    assert rotated.secret(replace(key, master="2")) != ring.secret(key)
    assert KeyRing({"2": b"b" * 32}).secret(key) is None, "a master that is taken out ends the keys it made"


def test_master_secrets_are_long_and_never_shown() -> None:
    assert "5e5e" not in str(gateway_config().redacted())
    for wrong in ({}, {"1": "5e" * 31}, {"1": "secret-word" * 10}):
        with pytest.raises(ValidationError) as refused:
            gateway_config(api_key_masters=wrong)
        assert "5e5e" not in str(refused.value) and "secret-word" not in str(refused.value)
