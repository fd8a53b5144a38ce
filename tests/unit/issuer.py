"""The issuer of access tokens in memory, as `exchange_adapters.tokens` finds Cognito: keys, and signed tokens."""

import itertools
from collections.abc import Mapping
from functools import cache
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric import rsa

from exchange_adapters.tokens import ALGORITHM
from exchange_core.ports import Clock

LIFETIME_S = 3600


@cache
def _signing_key() -> rsa.RSAPrivateKey:
    """Made once a process: it takes longer than most tests."""
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


class SimIssuer:
    """KeySource, and the other half of it: whoever may sign."""

    def __init__(self, clock: Clock, *, issuer: str, client_id: str) -> None:
        self._clock = clock
        self._numbers = itertools.count(1)
        self.issuer = issuer
        self.client_id = client_id
        self.key = _signing_key()
        self.key_id = "key-1"
        self.fetch_count = 0

    async def fetch(self) -> Mapping[str, Any]:
        """As KeySource.fetch."""
        self.fetch_count += 1
        public = jwt.algorithms.RSAAlgorithm.to_jwk(self.key.public_key(), as_dict=True)
        return {"keys": [{**public, "kid": self.key_id, "use": "sig", "alg": ALGORITHM}]}

    def token(
        self, user_id: str, session_id: str, *, key: Any = None, header: Mapping[str, Any] | None = None, **changes: Any
    ) -> str:
        """An access token; `changes` replace its claims, or take them away with None."""
        now_s = self._clock.now_ms() // 1000
        claims = {
            "sub": user_id,
            "iss": self.issuer,
            "client_id": self.client_id,
            "token_use": "access",
            "origin_jti": session_id,
            "jti": f"token-{next(self._numbers)}",
            "iat": now_s,
            "exp": now_s + LIFETIME_S,
            **changes,
        }
        claims = {name: value for name, value in claims.items() if value is not None}
        headers = {"kid": self.key_id, **(header or {})}
        return jwt.encode(
            claims, self.key if key is None else key, algorithm=headers.get("alg", ALGORITHM), headers=headers
        )
