"""Who may come in: users of a simulated pool, with tokens signed once for all worlds of this interpreter, and API keys.

A user's sessions and keys are numbered, and there from the beginning; everybody has number 0.
"""

from collections.abc import Mapping
from functools import cache
from typing import Any, Final

import jwt
from cryptography.hazmat.primitives.asymmetric import rsa

from exchange_adapters.sim import START_MS
from exchange_core.ports import ApiKey, KeyScope, Session
from exchange_gateway.access.api_keys import KeyRing
from exchange_gateway.access.identity import IssuedTokens
from exchange_gateway.problems import Code, ProblemError

ISSUER: Final = "https://simulated.example/pool"
CLIENT_ID: Final = "simulation"
OPERATOR: Final = "operator"
TOKEN_LIFETIME_S: Final = 24 * 3600
MASTER: Final = "5e" * 32
"""The gateways' master secret, by which API keys have theirs."""
_KEY_ID: Final = "simulated-key"


@cache
def _signing_key() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


@cache
def _public_keys() -> Mapping[str, Any]:
    public = jwt.algorithms.RSAAlgorithm.to_jwk(_signing_key().public_key(), as_dict=True)
    return {"keys": [{**public, "kid": _KEY_ID, "use": "sig", "alg": "RS256"}]}


def session_of(user_id: str, number: int = 0) -> Session:
    """One of the user's sessions."""
    return Session(session_id=f"session-{user_id}-{number}", user_id=user_id, created_at_ms=0, expires_at_ms=1 << 62)


@cache
def token_of(user_id: str, number: int = 0) -> str:
    """An access token of that session, which outlives every simulation."""
    issued_s = START_MS // 1000 - 3600
    claims = {
        "sub": user_id,
        "iss": ISSUER,
        "client_id": CLIENT_ID,
        "token_use": "access",
        "origin_jti": session_of(user_id, number).session_id,
        "iat": issued_s,
        "exp": issued_s + TOKEN_LIFETIME_S,
        "cognito:groups": ["operators"] if user_id == OPERATOR else [],
    }
    return jwt.encode(claims, _signing_key(), algorithm="RS256", headers={"kid": _KEY_ID})


def api_key_of(user_id: str, number: int = 0) -> ApiKey:
    """One of the user's API keys."""
    return ApiKey(
        user_id=user_id,
        key_id=f"{user_id}.{number:016x}",
        name="simulated",
        scopes=frozenset({KeyScope.READ, KeyScope.TRADE}),
        salt=b"salt",
        master="1",
        created_at_ms=0,
    )


@cache
def secret_of(user_id: str, number: int = 0) -> bytes:
    """What is signed with, where that key is used."""
    secret = KeyRing({"1": bytes.fromhex(MASTER)}).secret(api_key_of(user_id, number))
    assert secret is not None, "its master is there"
    return secret.encode()


class Directory:
    """IdentityProvider and KeySource. Log-ins are not what is simulated: sessions are there from the beginning."""

    async def fetch(self) -> Mapping[str, Any]:
        """As KeySource.fetch."""
        return _public_keys()

    async def sign_up(self, _: str, __: str, ___: str | None) -> tuple[str, bool]:
        """Nobody signs up."""
        raise ProblemError(Code.USERNAME_TAKEN, "the simulation has its users")

    async def log_in(self, _: str, __: str) -> IssuedTokens:
        """Nobody logs in."""
        raise ProblemError(Code.INVALID_CREDENTIALS, "the simulation has its sessions")

    async def refresh(self, _: str) -> IssuedTokens:
        """Nobody refreshes."""
        raise ProblemError(Code.INVALID_CREDENTIALS, "the simulation has its sessions")
