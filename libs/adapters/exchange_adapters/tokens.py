"""Whether an access token is genuine, and whom it names. Whether its session still stands is `sessions`' question.

Needs the extra `tokens`. How a caller is told that it is not let in:

    AuthenticationError
    ├── TokenInvalidError     not an access token of this exchange's issuer
    ├── TokenExpiredError     it was one
    └── SessionRevokedError   it is one, but its log-in has ended (raised by `sessions`)
"""

import asyncio
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Protocol

import aiohttp
import jwt
import structlog

from exchange_core.errors import PortError, Unavailable
from exchange_core.ports import Clock, KeyScope

ALGORITHM: Final = "RS256"
OPERATORS_GROUP: Final = "operators"
KEYS_AGE_MAX_S: Final = 3600.0
KEYS_REFETCH_MIN_S: Final = 10.0
"""An unknown key id makes us look for new keys, but not more often than this: anybody can make up key ids."""
KEYS_FETCH_TIMEOUT_S: Final = 3.0
_REMEMBERED_TOKENS: Final = 10_000
_REQUIRED_CLAIMS: Final = ["exp", "iss", "sub", "client_id", "token_use", "origin_jti"]

log = structlog.get_logger()


class AuthenticationError(Exception):
    """A caller who is not let in; the text says why in words that the caller may see."""


class TokenInvalidError(AuthenticationError):
    """Forged, malformed, or issued for something else."""


class TokenExpiredError(AuthenticationError):
    """Genuine, and past its time."""


class SessionRevokedError(AuthenticationError):
    """Genuine, and its log-in has ended."""


class KeySource(Protocol):
    """Where the issuer publishes its public keys."""

    async def fetch(self) -> Mapping[str, Any]:
        """The JSON Web Key Set; raises Unavailable."""
        ...


class HttpKeySource:
    """A key set behind a URL."""

    def __init__(self, session: aiohttp.ClientSession, url: str) -> None:
        self._session = session
        self._url = url

    async def fetch(self) -> Mapping[str, Any]:
        """See KeySource."""
        try:
            async with asyncio.timeout(KEYS_FETCH_TIMEOUT_S), self._session.get(self._url) as answer:
                answer.raise_for_status()
                keys = await answer.json(content_type=None)
        except (aiohttp.ClientError, TimeoutError, ValueError) as error:
            raise Unavailable(f"key set: {type(error).__name__}") from error
        if not isinstance(keys, dict) or not isinstance(keys.get("keys"), list):
            raise Unavailable("key set: not a key set")
        return keys


@dataclass(frozen=True, slots=True, kw_only=True)
class Principal:
    """Whom a token names. `session_id` is the token's `origin_jti`: the same for all tokens of one log-in.

    A request that was signed with an API key has the key's id in its place, no groups, and what the key may do in
    `key_scopes`; a log-in may do all that its user may.
    """

    user_id: str
    session_id: str
    groups: frozenset[str]
    expires_at_s: int
    key_scopes: frozenset[KeyScope] | None = None

    @property
    def is_operator(self) -> bool:
        """Whether the user may do what operators do."""
        return OPERATORS_GROUP in self.groups


class TokenVerifier:
    """Checks signature (RS256 only), issuer, client, use and expiry. Verified tokens are remembered, bounded, so that
    a client that sends many requests costs one signature check."""

    def __init__(self, keys: KeySource, clock: Clock, *, issuer: str, client_id: str) -> None:
        self._source = keys
        self._clock = clock
        self._issuer = issuer
        self._client_id = client_id
        self._keys: dict[str, jwt.PyJWK] = {}
        self._fetched_at_s: float | None = None
        self._fetching = asyncio.Lock()
        self._verified: OrderedDict[str, Principal] = OrderedDict()

    async def verify(self, token: str) -> Principal:
        """The token's principal; raises TokenInvalidError or TokenExpiredError, or PortError when the keys cannot be
        had."""
        principal = self._verified.get(token)
        if principal is None:
            principal = self._decode(token, await self._key_of(token))
            self._verified[token] = principal
            if len(self._verified) > _REMEMBERED_TOKENS:
                self._verified.popitem(last=False)
        if principal.expires_at_s * 1000 <= self._clock.now_ms():
            raise TokenExpiredError("log in again or refresh the token")
        return principal

    def remembered(self, token: str) -> Principal | None:
        """Whom a token names that was found genuine lately, whether or not it has expired since. Asks nobody."""
        return self._verified.get(token)

    async def _key_of(self, token: str) -> jwt.PyJWK:
        try:
            header = jwt.get_unverified_header(token)
        except jwt.InvalidTokenError as error:
            raise _not_valid("it is not a JSON Web Token") from error
        key_id = header.get("kid")
        if header.get("alg") != ALGORITHM or not isinstance(key_id, str):
            raise _not_valid("it is not signed in the right way")
        if key_id not in self._keys or self._is_older_than(KEYS_AGE_MAX_S):
            await self._fetch_keys(key_id)
        if key_id not in self._keys:
            raise _not_valid("its key is not known")
        return self._keys[key_id]

    async def _fetch_keys(self, key_id: str) -> None:
        async with self._fetching:
            wait_s = KEYS_AGE_MAX_S if key_id in self._keys else KEYS_REFETCH_MIN_S
            if not self._is_older_than(wait_s):
                return
            try:
                answer = await self._source.fetch()
            except PortError:
                if key_id in self._keys:
                    log.warning("keys_not_refreshed")
                    return
                raise
            self._keys = _usable_keys(answer)
            self._fetched_at_s = asyncio.get_running_loop().time()
            log.info("keys_fetched", count=len(self._keys))

    def _is_older_than(self, age_s: float) -> bool:
        now_s = asyncio.get_running_loop().time()
        return self._fetched_at_s is None or now_s - self._fetched_at_s > age_s

    def _decode(self, token: str, key: jwt.PyJWK) -> Principal:
        options: Any = {
            "require": _REQUIRED_CLAIMS,
            "verify_exp": False,
            "verify_iat": False,
            "verify_nbf": False,
            "verify_aud": False,
        }
        try:
            claims = jwt.decode(token, key, algorithms=[ALGORITHM], issuer=self._issuer, options=options)
        except jwt.InvalidTokenError as error:
            raise _not_valid("its signature or its claims do not hold") from error
        if claims["token_use"] != "access" or claims["client_id"] != self._client_id:  # noqa: S105 - a claim
            raise _not_valid("it is not an access token for this exchange")
        groups = claims.get("cognito:groups", [])
        subject, session_id, expires_at_s = claims["sub"], claims["origin_jti"], claims["exp"]
        if not (isinstance(session_id, str) and isinstance(expires_at_s, int) and isinstance(groups, list)):
            raise _not_valid("its claims have the wrong types")
        return Principal(
            user_id=subject,
            session_id=session_id,
            groups=frozenset(group for group in groups if isinstance(group, str)),
            expires_at_s=expires_at_s,
        )


def _usable_keys(answer: Mapping[str, Any]) -> dict[str, jwt.PyJWK]:
    keys = {}
    for entry in answer["keys"]:
        if not isinstance(entry, dict) or entry.get("kty") != "RSA" or entry.get("use", "sig") != "sig":
            continue
        try:
            keys[str(entry["kid"])] = jwt.PyJWK.from_dict(entry, algorithm=ALGORITHM)
        except (jwt.PyJWTError, KeyError) as error:
            log.warning("key_not_usable", error=type(error).__name__)
    return keys


def _not_valid(detail: str) -> TokenInvalidError:
    return TokenInvalidError(f"the access token cannot be accepted: {detail}")
