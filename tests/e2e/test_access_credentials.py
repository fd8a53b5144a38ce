"""What is not a credential lets nobody in, tried against a whole exchange. docs/access.md is the table of it."""

import asyncio
import hashlib
import hmac

import jwt
import orjson
import pytest

from crossbook.bootstrap import create_user_pool
from tests.access import Tries, Try
from tests.e2e.access_world import (
    PASSWORD,
    SYMBOL,
    AccessWorld,
    bearer,
    log_in_past_the_gateway,
    new_key,
    now_ms,
    public_pem,
    shouted,
    unsigned,
)

PROOF = "the exchange"
tries = Tries()

tries.about("Tokens")


@tries("none, another scheme, no token at all", "401 token_missing, 401 token_invalid")
async def no_token(world: AccessWorld) -> str:
    authorizations = ("Basic YTpi", "Bearer", "Bearer x", "Bearer a.b.c", "Bearer " + "x" * 4_000)
    every = [{}, *({"Authorization": authorization} for authorization in authorizations)]
    replies = [str(await world.send("GET", "/api/v1/balances", headers=headers)) for headers in every]
    return ", ".join(dict.fromkeys(replies))


@tries("`alg: none`, without a signature and with the old one", "401 token_invalid")
async def alg_none(world: AccessWorld) -> str:
    claims = jwt.decode(world.she.token, options={"verify_signature": False})
    header = jwt.get_unverified_header(world.she.token)
    old = world.she.token.split(".")[2]
    made = [unsigned(header | {"alg": alg}, claims) for alg in ("none", "None", "NONE", "")]
    made += [made[0] + old, unsigned({"alg": "none"}, claims)]
    return ", ".join({await world.with_token(token) for token in made})


@tries("HS256 with the issuer's public key as the secret", "401 token_invalid")
async def confused_algorithm(world: AccessWorld) -> str:
    claims = jwt.decode(world.she.token, options={"verify_signature": False})
    header = jwt.get_unverified_header(world.she.token) | {"alg": "HS256"}
    text = unsigned(header, claims).rpartition(".")[0]
    pem = public_pem(world.jwks)
    secrets = (pem, pem.strip(), orjson.dumps(world.jwks["keys"][0]), b"")
    made = [unsigned(header, claims, hmac.digest(secret, text.encode(), hashlib.sha256)) for secret in secrets]
    return ", ".join({await world.with_token(token) for token in made})


@tries("signed with a key of his own, under the issuer's key id", "401 token_invalid")
async def his_own_key(world: AccessWorld) -> str:
    return await world.with_token(world.her_token_with())


@tries("the same under an unknown key id, or one that is a path or SQL", "401 token_invalid")
async def unknown_key_id(world: AccessWorld) -> str:
    made = [world.her_token_with(header={"kid": kid}) for kid in ("key-9", "../../dev/null", "' OR 1=1 --", "")]
    return ", ".join({await world.with_token(token) for token in made})


@tries("the same with his key in the header (`jwk`, `jku`, `x5u`)", "401 token_invalid")
async def key_in_the_header(world: AccessWorld) -> str:
    own = jwt.algorithms.RSAAlgorithm.to_jwk(world.strangers_key.public_key(), as_dict=True)
    headers = ({"jwk": own}, {"jku": "http://127.0.0.1:1/keys"}, {"x5u": "http://127.0.0.1:1/key"})
    return ", ".join({await world.with_token(world.her_token_with(header=header)) for header in headers})


@tries("his own token with her user id in it", "401 token_invalid")
async def her_id_in_his_token(world: AccessWorld) -> str:
    head, _, signature = world.he.token.split(".")
    claims = jwt.decode(world.he.token, options={"verify_signature": False}) | {"sub": world.she.user_id}
    return await world.with_token(f"{head}.{unsigned({}, claims).split('.')[1]}.{signature}")


@tries("her token with a part of its signature cut off or changed", "401 token_invalid")
async def damaged_signature(world: AccessWorld) -> str:
    head, claims, signature = world.she.token.split(".")
    flipped = ("A" if signature[20] != "A" else "B").join((signature[:20], signature[21:]))
    made = [f"{head}.{claims}.{text}" for text in ("", signature[:-8], flipped)]
    return ", ".join({await world.with_token(token) for token in made})


@tries("a genuine id token", "401 token_invalid")
async def id_token(world: AccessWorld) -> str:
    return await world.with_token((await log_in_past_the_gateway(world))["IdToken"])


@tries("a genuine token of a log-in that the gateway did not open", "401 session_revoked")
async def unopened_session(world: AccessWorld) -> str:
    return await world.with_token((await log_in_past_the_gateway(world))["AccessToken"])


@tries("a genuine token of another user pool with the same user", "401 token_invalid")
async def another_pool(world: AccessWorld) -> str:
    cognito = world.twin.backing.cloud.cognito
    pool = await create_user_pool(world.twin.backing.cloud, name="elsewhere")
    await cognito.sign_up(ClientId=pool.client_id, Username=world.she.username, Password=PASSWORD)
    await cognito.admin_confirm_sign_up(UserPoolId=pool.user_pool_id, Username=world.she.username)
    return await world.with_token((await log_in_past_the_gateway(world, pool.client_id))["AccessToken"])


@tries("a refresh token in the place of an access token", "401 token_invalid")
async def refresh_token(world: AccessWorld) -> str:
    return await world.with_token((await log_in_past_the_gateway(world))["RefreshToken"])


@tries("a token after its log-out, and one refreshed from it", "401 session_revoked")
async def after_log_out(world: AccessWorld) -> str:
    credentials = {"username": world.she.username, "password": PASSWORD}
    session = (await world.send("POST", "/api/v1/sessions", credentials)).body
    assert await world.with_token(session["access_token"]) == "200"
    assert (await world.send("DELETE", "/api/v1/sessions", headers=bearer(session["access_token"]))).status == 204
    refreshed = await world.send("POST", "/api/v1/sessions/refresh", {"refresh_token": session["refresh_token"]})
    return ", ".join({await world.with_token(session["access_token"]), str(refreshed)})


tries.about("Signed requests")


@tries("no such key, a malformed one, a signature missing", "401 api_key_invalid")
async def no_such_key(world: AccessWorld) -> str:
    signed = world.his_key.sign("GET", "/api/v1/balances")
    changes = ({"X-Crossbook-Key": f"{world.she.user_id}.{'0' * 16}"}, {"X-Crossbook-Key": "x"})
    made = [signed | change for change in changes]
    made.append({name: text for name, text in signed.items() if name != "X-Crossbook-Signature"})
    return ", ".join({str(await world.send("GET", "/api/v1/balances", headers=headers)) for headers in made})


@tries("her key id with his secret", "401 api_key_invalid")
async def her_key_his_secret(world: AccessWorld) -> str:
    headers = world.his_key.sign("GET", "/api/v1/balances") | {"X-Crossbook-Key": world.her_key.key_id}
    return str(await world.send("GET", "/api/v1/balances", headers=headers))


@tries("her request with another method, path, query, body or timestamp", "401 api_key_invalid")
async def tampered(world: AccessWorld) -> str:
    path, body = f"/api/v1/orders?symbol={SYMBOL}", orjson.dumps({"symbol": SYMBOL, "timeout_s": 0})
    timer = "/api/v1/orders/cancel-all-after"
    sign = world.her_key.sign
    replies = [
        await world.send("DELETE", path, headers=sign("GET", path)),
        await world.send("DELETE", f"/api/v1/order/{world.hers['order_id']}", headers=sign("DELETE", path)),
        await world.send("DELETE", "/api/v1/orders", headers=sign("DELETE", path)),
        await world.send("DELETE", "/api/v1/orders?symbol=BTCUSDT", headers=sign("DELETE", path)),
        await world.send("POST", timer, headers=sign("POST", timer, body), data=body.replace(b"0", b"1")),
        await world.send("POST", timer, headers=sign("POST", timer, body)),
        await world.send("GET", path, headers=sign("GET", path) | {"X-Crossbook-Timestamp": now_ms()}),
    ]
    return ", ".join({str(reply) for reply in replies})


@tries("her request of 10 s ago, or from 10 s ahead", "401 timestamp_outside_window")
async def stale(world: AccessWorld) -> str:
    replies = [await world.by_key(world.her_key, "GET", "/api/v1/balances", ago_ms=ago) for ago in (10_000, -10_000)]
    return ", ".join({str(reply) for reply in replies})


@tries("her request a second time, and many at once", "401 request_replayed")
async def replayed(world: AccessWorld) -> str:
    path = "/api/v1/balances"
    headers = world.her_key.sign("GET", path)
    replies = await asyncio.gather(*(world.send("GET", path, headers=headers) for _ in range(8)))
    replies.append(await world.send("GET", path, headers=headers | shouted(headers)))
    assert sum(reply.status == 200 for reply in replies) == 1
    return ", ".join({str(reply) for reply in replies if reply.status != 200})


@tries("place, amend, cancel, cancel all with a key that only reads", "403 forbidden")
async def reading_key(world: AccessWorld) -> str:
    order = {"symbol": SYMBOL, "side": "buy", "type": "limit", "price": "3000", "quantity": "0.1"}
    key, path = world.his_reading_key, f"/api/v1/order/{world.hers['order_id']}"
    assert (await world.by_key(key, "GET", "/api/v1/balances")).status == 200
    replies = [
        await world.by_key(key, "POST", "/api/v1/order", order),
        await world.by_key(key, "PATCH", path, {"quantity": "0.5"}),
        await world.by_key(key, "DELETE", path),
        await world.by_key(key, "DELETE", "/api/v1/orders"),
        await world.by_key(key, "POST", "/api/v1/orders/batch", {"items": [{"op": "place", **order}]}),
        await world.by_key(key, "POST", "/api/v1/orders/cancel-all-after", {"symbol": SYMBOL, "timeout_s": 0}),
    ]
    return ", ".join({str(reply) for reply in replies})


@tries("read orders, fills, balances with a key that only trades", "403 forbidden")
async def trading_key(world: AccessWorld) -> str:
    paths = ("/api/v1/orders", "/api/v1/fills", "/api/v1/balances")
    return ", ".join({str(await world.by_key(world.his_trading_key, "GET", path)) for path in paths})


@tries("make, list and revoke keys, or log out, with a key", "403 forbidden")
async def key_makes_keys(world: AccessWorld) -> str:
    key = world.his_key
    replies = [
        await world.by_key(key, "POST", "/api/v1/api-keys", {"scopes": ["trade"]}),
        await world.by_key(key, "GET", "/api/v1/api-keys"),
        await world.by_key(key, "DELETE", f"/api/v1/api-keys/{key.key_id}"),
        await world.by_key(key, "DELETE", "/api/v1/sessions"),
    ]
    return ", ".join({str(reply) for reply in replies})


@tries("her order, read, amended and canceled with his key", "404 order_not_found")
async def her_order_by_his_key(world: AccessWorld) -> str:
    path = f"/api/v1/order/{world.hers['order_id']}"
    replies = [
        await world.by_key(world.his_key, "GET", path),
        await world.by_key(world.his_key, "PATCH", path, {"quantity": "0.5"}),
        await world.by_key(world.his_key, "DELETE", path),
    ]
    return ", ".join({str(reply) for reply in replies})


@tries("a key that was revoked", "401 api_key_invalid")
async def revoked_key(world: AccessWorld) -> str:
    key = await new_key(world, world.he.token, "read")
    assert (await world.by_key(key, "GET", "/api/v1/balances")).status == 200
    assert (await world.as_him("DELETE", f"/api/v1/api-keys/{key.key_id}")).status == 204
    return str(await world.by_key(key, "GET", "/api/v1/balances"))


@pytest.mark.parametrize("one", tries.all, ids=lambda one: one.act.__name__)
async def test_what_is_no_credential_lets_nobody_in(access_world: AccessWorld, one: Try) -> None:
    assert await one.act(access_world) == one.answer
    await access_world.assert_untouched()
