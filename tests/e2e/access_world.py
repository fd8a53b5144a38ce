"""Two strangers on a private exchange: what she has, and what he tries."""

import base64
import hashlib
import hmac
import itertools
import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from decimal import Decimal
from secrets import token_hex
from typing import Any

import aiohttp
import jwt
import orjson
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from crossbook.clients.api_client import Account, ApiClient
from crossbook.twin import Twin
from tests.eventually import eventually

SYMBOL = "ETHUSDT"
PASSWORD = "Correct-horse-1"


@dataclass(frozen=True, slots=True)
class Reply:
    status: int
    body: Any

    def __str__(self) -> str:
        """`404 order_not_found`, or the status alone."""
        code = self.body.get("code") if isinstance(self.body, dict) and self.status >= 400 else None
        return f"{self.status} {code}" if code else str(self.status)


@dataclass(frozen=True, slots=True, kw_only=True)
class Key:
    """An API key, and how requests are signed with it."""

    key_id: str
    secret: str
    _times_ms: "itertools.count[int]" = field(default_factory=lambda: itertools.count(1))

    def sign(self, method: str, path: str, data: bytes = b"", *, ago_ms: int = 0) -> dict[str, str]:
        """Headers; no two of them are the same, however fast they come."""
        timestamp = str(time.time_ns() // 1_000_000 - ago_ms - next(self._times_ms) % 100)
        text = f"{timestamp}\n{method}\n{path}\n".encode() + data
        return {
            "X-Crossbook-Key": self.key_id,
            "X-Crossbook-Timestamp": timestamp,
            "X-Crossbook-Signature": hmac.new(self.secret.encode(), text, hashlib.sha256).hexdigest(),
        }


@dataclass(kw_only=True)
class AccessWorld:
    """`hers`: an open order, with its ids; `sold`: one that traded with his. Both have keys."""

    twin: Twin
    http: aiohttp.ClientSession
    she: Account
    he: Account
    operator: Account
    hers: dict[str, Any]
    sold: dict[str, Any]
    her_key: Key
    his_key: Key
    his_reading_key: Key
    his_trading_key: Key
    strangers_key: rsa.RSAPrivateKey
    jwks: dict[str, Any]
    balances: Any

    async def send(
        self, method: str, path: str, body: Any = None, *, headers: dict[str, str] | None = None, data: bytes = b""
    ) -> Reply:
        """One request, as it stands."""
        data = orjson.dumps(body) if body is not None else data
        sent = {"Content-Type": "application/json", **(headers or {})}
        url = self.twin.gateway_url + path
        async with self.http.request(method, url, data=data or None, headers=sent) as answer:
            text = await answer.read()
            return Reply(answer.status, orjson.loads(text) if text else None)

    async def as_him(self, method: str, path: str, body: Any = None) -> Reply:
        """With his token."""
        return await self.send(method, path, body, headers=bearer(self.he.token))

    async def by_key(self, key: Key, method: str, path: str, body: Any = None, *, ago_ms: int = 0) -> Reply:
        """Signed."""
        data = b"" if body is None else orjson.dumps(body)
        return await self.send(method, path, headers=key.sign(method, path, data, ago_ms=ago_ms), data=data)

    async def with_token(self, token: str) -> str:
        """What her balances are answered to whoever holds this."""
        return str(await self.send("GET", "/api/v1/balances", headers=bearer(token)))

    async def her_order(self) -> Any:
        """As she sees it."""
        return (await self.send("GET", f"/api/v1/order/{self.hers['order_id']}", headers=bearer(self.she.token))).body

    async def assert_untouched(self) -> None:
        """Her order, her balances and her keys are as they were."""
        order = await self.her_order()
        assert order["status"] == "open" and order["updated_at"] == self.hers["updated_at"], order
        assert (await self.send("GET", "/api/v1/balances", headers=bearer(self.she.token))).body == self.balances
        assert (await self.by_key(self.her_key, "GET", "/api/v1/orders")).status == 200

    def her_token_with(self, *, key: Any = None, header: dict[str, Any] | None = None, **claims: Any) -> str:
        """Her token made anew with another key, header or claims."""
        found = jwt.decode(self.she.token, options={"verify_signature": False})
        head = jwt.get_unverified_header(self.she.token) | (header or {})
        return jwt.encode({**found, **claims}, key or self.strangers_key, algorithm=head["alg"], headers=head)


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


def unsigned(header: dict[str, Any], claims: dict[str, Any], signature: bytes = b"") -> str:
    """A token put together by hand."""
    parts = (json.dumps(header).encode(), json.dumps(claims).encode(), signature)
    return ".".join(base64.urlsafe_b64encode(part).decode().rstrip("=") for part in parts)


def public_pem(jwks: dict[str, Any]) -> bytes:
    """The issuer's public key as text: what a confused verifier takes for a shared secret."""
    key = jwt.PyJWK.from_dict(jwks["keys"][0], algorithm="RS256").key
    encoding, layout = serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    pem: bytes = key.public_bytes(encoding, layout)
    return pem


@asynccontextmanager
async def open_access_world(twin: Twin) -> AsyncIterator[AccessWorld]:
    """Sign up both, fund both, let them trade once, and leave an order of hers in the book."""
    async with ApiClient(twin.gateway_url) as api, aiohttp.ClientSession() as http:
        operator = await api.log_in(twin.operator, twin.password)
        she, he = [await _funded(api, operator, name) for name in ("she", "he")]
        price = await _price(api)
        sold = await she.place(symbol=SYMBOL, side="sell", type="limit", price=str(price), quantity="0.5")
        await he.place(symbol=SYMBOL, side="buy", type="limit", price=str(price), quantity="0.5")
        await eventually(lambda: _has_status(she, sold["order_id"], "filled"), timeout_s=20)
        placed = await she.place(
            symbol=SYMBOL,
            side="buy",
            type="limit",
            price=str(price * 9 // 10),
            quantity="1",
            client_order_id=f"hers-{token_hex(4)}",
        )
        await eventually(lambda: _has_status(she, placed["order_id"], "open"), timeout_s=20)
        async with http.get(twin.site.login_environment["COGNITO_JWKS_URL"]) as answer:
            jwks = await answer.json(content_type=None)
        keys = [
            await _key(account, *scopes)
            for account, *scopes in ((she, "read", "trade"), (he, "read", "trade"), (he, "read"), (he, "trade"))
        ]
        world = AccessWorld(
            twin=twin,
            http=http,
            she=she,
            he=he,
            operator=operator,
            hers=placed,
            sold=sold,
            her_key=keys[0],
            his_key=keys[1],
            his_reading_key=keys[2],
            his_trading_key=keys[3],
            strangers_key=rsa.generate_private_key(public_exponent=65537, key_size=2048),
            jwks=jwks,
            balances=None,
        )
        world.hers = await world.her_order()
        world.balances = (await world.send("GET", "/api/v1/balances", headers=bearer(she.token))).body
        yield world


async def his_order(world: AccessWorld, **changes: str) -> str:
    """An order of his that stays in the book; its id."""
    order = {
        "symbol": SYMBOL,
        "side": "buy",
        "type": "limit",
        "price": world.hers["price"],
        "quantity": "0.1",
        **changes,
    }
    reply = await world.as_him("POST", "/api/v1/order", order | {"quantity": "0.1"} | changes)
    assert reply.status == 202, reply.body
    order_id = str(reply.body["order_id"])
    await eventually(lambda: _is(world, order_id, "open"), timeout_s=20)
    return order_id


async def until_his_has_ended(world: AccessWorld, order_id: str) -> None:
    await eventually(lambda: _is(world, order_id, "canceled"), timeout_s=20)


async def _is(world: AccessWorld, order_id: str, status: str) -> bool:
    return bool((await world.as_him("GET", f"/api/v1/order/{order_id}")).body["status"] == status)


async def operate(world: AccessWorld, headers: dict[str, str]) -> str:
    """All that operators can do, with these headers."""
    transfer = {"user_id": world.he.user_id, "asset": "ETH", "amount": "1000", "transfer_id": "stolen"}
    from_her = transfer | {"user_id": world.she.user_id}
    replies = [
        await world.send("POST", "/api/v1/admin/instruments", {"symbol": "HISUSDT"}, headers=headers),
        await world.send("POST", "/api/v1/admin/deposits", transfer, headers=headers),
        await world.send("POST", "/api/v1/admin/withdrawals", from_her, headers=headers),
        await world.send("POST", f"/api/v1/admin/symbols/{SYMBOL}/status", {"status": "halted"}, headers=headers),
    ]
    return ", ".join({str(reply) for reply in replies})


async def log_in_past_the_gateway(world: AccessWorld, client_id: str | None = None) -> dict[str, str]:
    """Her own tokens, straight from the directory."""
    answer = await world.twin.backing.cloud.cognito.initiate_auth(
        ClientId=client_id or world.twin.site.login_environment["COGNITO_CLIENT_ID"],
        AuthFlow="USER_PASSWORD_AUTH",
        AuthParameters={"USERNAME": world.she.username, "PASSWORD": PASSWORD},
    )
    tokens: dict[str, str] = answer["AuthenticationResult"]
    return tokens


async def new_key(world: AccessWorld, token: str, *scopes: str) -> Key:
    answer = await world.send("POST", "/api/v1/api-keys", {"scopes": scopes}, headers=bearer(token))
    assert answer.status == 201, answer.body
    return Key(key_id=answer.body["key_id"], secret=answer.body["secret"])


def now_ms() -> str:
    return str(time.time_ns() // 1_000_000)


def shouted(headers: dict[str, str]) -> dict[str, str]:
    return {"X-Crossbook-Signature": headers["X-Crossbook-Signature"].upper()}


async def _funded(api: ApiClient, operator: Account, name: str) -> Account:
    username = f"{name}-{token_hex(4)}"
    await api.sign_up(username, PASSWORD)
    account = await api.log_in(username, PASSWORD)
    for asset, amount in (("ETH", "10"), ("USDT", "100000")):
        transfer_id = f"{username}-{asset}"
        await operator.deposit(user_id=account.user_id, asset=asset, amount=amount, transfer_id=transfer_id)

    async def is_there() -> bool:
        return len(await account.available()) == 2

    await eventually(is_there, timeout_s=20)
    return account


async def _price(api: ApiClient) -> int:
    ticker = await api.call("GET", f"/api/v1/ticker/{SYMBOL}")
    found = ticker["price"] or (await api.instrument(SYMBOL))["reference_price"]
    return int(Decimal(found))


async def _has_status(account: Account, order_id: str, status: str) -> bool:
    return (await account.order(order_id))["status"] == status


async def _key(account: Account, *scopes: str) -> Key:
    answer = await account.call("POST", "/api/v1/api-keys", {"name": "of a test", "scopes": scopes})
    return Key(key_id=answer["key_id"], secret=answer["secret"])
