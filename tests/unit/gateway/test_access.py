"""Tokens that only the issuer's own key could sign, and that still let nobody in. docs/access.md is the table of it."""

from collections.abc import AsyncIterator
from typing import Any

import pytest

from tests.access import Tries, Try
from tests.unit.gateway.support import ISSUER, Gateway, running_gateway

PROOF = "a gateway with a simulated issuer"
tries = Tries()


@pytest.fixture(scope="module")
async def gateway() -> AsyncIterator[Gateway]:
    async with running_gateway() as started:
        for user in ("alice", "bob"):
            await started.join(user)
        yield started


async def answer_to(gateway: Gateway, *, session: str = "session-1", header: Any = None, **claims: Any) -> str:
    """What a token of alice's first session is answered, signed by the issuer, with these claims changed."""
    token = gateway.directory.token("alice", session, header=header, **claims)
    answer = await gateway.call("GET", "/api/v1/balances", headers={"Authorization": f"Bearer {token}"})
    return "200" if answer.status == 200 else f"{answer.status} {answer.code}"


tries.about("Tokens signed by the issuer")


@tries("unchanged", "200")
async def unchanged(gateway: Gateway) -> str:
    return await answer_to(gateway)


@tries("expired, a second ago and long ago", "401 token_expired")
async def expired(gateway: Gateway) -> str:
    now_s = gateway.clock.now_ms() // 1000
    return ", ".join({await answer_to(gateway, exp=now_s - ago_s) for ago_s in (1, 86_400)})


@tries("without an expiry, or with one that is no number", "401 token_invalid")
async def without_expiry(gateway: Gateway) -> str:
    return ", ".join({await answer_to(gateway, exp=exp) for exp in (None, "9999999999", 9e9)})


@tries("of another issuer", "401 token_invalid")
async def another_issuer(gateway: Gateway) -> str:
    issuers = (ISSUER + "/", ISSUER.upper(), "https://elsewhere.example/pool", None)
    return ", ".join({await answer_to(gateway, iss=issuer) for issuer in issuers})


@tries("for another client, or for none", "401 token_invalid")
async def another_client(gateway: Gateway) -> str:
    return ", ".join({await answer_to(gateway, client_id=client) for client in ("client-2", "", None)})


@tries("an id token, with the client as its audience", "401 token_invalid")
async def id_token(gateway: Gateway) -> str:
    as_access = await answer_to(gateway, token_use="id", aud="client-1")
    return ", ".join({as_access, await answer_to(gateway, token_use="id", aud="client-1", client_id=None)})


@tries("of no use that is named, or of another", "401 token_invalid")
async def another_use(gateway: Gateway) -> str:
    return ", ".join({await answer_to(gateway, token_use=use) for use in ("refresh", "", None)})


@tries("under a key id that the issuer does not publish", "401 token_invalid")
async def unknown_key_id(gateway: Gateway) -> str:
    return await answer_to(gateway, header={"kid": "key-9"})


@tries("with another RSA algorithm than the one agreed", "401 token_invalid")
async def another_algorithm(gateway: Gateway) -> str:
    return ", ".join({await answer_to(gateway, header={"alg": alg}) for alg in ("RS384", "RS512", "PS256")})


@tries("of a session that was never opened", "401 session_revoked")
async def unknown_session(gateway: Gateway) -> str:
    return await answer_to(gateway, session="session-99")


@tries("without a session", "401 token_invalid")
async def without_session(gateway: Gateway) -> str:
    return ", ".join({await answer_to(gateway, origin_jti=session) for session in (None, 1)})


@tries("naming one user in the session of another", "401 session_revoked")
async def session_of_another(gateway: Gateway) -> str:
    return ", ".join({await answer_to(gateway, session="session-2"), await answer_to(gateway, sub="user-bob")})


@pytest.mark.parametrize("one", tries.all, ids=lambda one: one.act.__name__)
async def test_a_signature_alone_lets_nobody_in(gateway: Gateway, one: Try) -> None:
    assert await one.act(gateway) == one.answer
