"""Bots' keys: made by a logged-in user, shown once, ended at once everywhere.

No secret is stored. A key's secret is derived from a master secret of the gateways and from the stored record, so the
table alone is worth nothing, and a record that somebody changed (another user, more scopes) no longer goes with the
secret that its owner holds (docs/adr/0008-no-secret-of-an-api-key-is-stored.md).
"""

import base64
import hmac
import secrets
from collections.abc import Mapping, Sequence
from typing import Final

import structlog

from exchange_adapters.short_cache import ShortCache
from exchange_core.errors import PortError
from exchange_core.ports import ApiKey, ApiKeyStore, Clock, KeyScope, MarketPublisher
from exchange_core.topology import API_KEYS_CHANNEL
from exchange_gateway.problems import Code, ProblemError

KEY_CACHE_S: Final = 5.0
KEYS_A_USER_MAX: Final = 20
MASTER_BYTES_MIN: Final = 32
_CACHED_KEYS: Final = 100_000
_SALT_BYTES: Final = 16
_CONTEXT: Final = b"crossbook api key 1"

log = structlog.get_logger()


class KeyRing:
    """The master secrets by name. The first makes new keys; the others are kept for those that they made."""

    def __init__(self, masters: Mapping[str, bytes]) -> None:
        assert masters and all(len(master) >= MASTER_BYTES_MIN for master in masters.values())
        self._masters = dict(masters)

    @property
    def newest(self) -> str:
        """The name of the master that makes new keys."""
        return next(iter(self._masters))

    def secret(self, key: ApiKey) -> str | None:
        """The key's secret, as its owner was shown it; None when its master is gone."""
        master = self._masters.get(key.master)
        if master is None:
            return None
        scopes = ",".join(sorted(key.scopes))
        parts = (_CONTEXT, key.user_id.encode(), key.key_id.encode(), scopes.encode(), key.salt)
        told = b"".join(len(part).to_bytes(4, "big") + part for part in parts)
        return base64.urlsafe_b64encode(hmac.digest(master, told, "sha256")).decode().rstrip("=")


class ApiKeyDesk:
    """Makes, finds, lists and ends keys."""

    def __init__(self, store: ApiKeyStore, ring: KeyRing, publisher: MarketPublisher, clock: Clock) -> None:
        self._store = store
        self._ring = ring
        self._publisher = publisher
        self._clock = clock
        self._cache: ShortCache[ApiKey] = ShortCache(self._read, age_max_s=KEY_CACHE_S, size_max=_CACHED_KEYS)

    async def create(self, user_id: str, name: str, scopes: frozenset[KeyScope]) -> tuple[ApiKey, str]:
        """A new key and its secret, which nobody is told again; raises ProblemError `too_many_api_keys`."""
        if len(await self._store.of_user(user_id)) >= KEYS_A_USER_MAX:
            raise ProblemError(Code.TOO_MANY_API_KEYS, f"a user has {KEYS_A_USER_MAX} API keys at most; revoke one")
        key = ApiKey(
            user_id=user_id,
            key_id=f"{user_id}.{secrets.token_hex(8)}",
            name=name,
            scopes=scopes,
            salt=secrets.token_bytes(_SALT_BYTES),
            master=self._ring.newest,
            created_at_ms=self._clock.now_ms(),
        )
        secret = self._ring.secret(key)
        assert secret is not None, "the newest master is there"
        await self._store.put(key)
        log.info("api_key_created", user_id=user_id, key_id=key.key_id, scopes=sorted(scopes))
        return key, secret

    async def of_user(self, user_id: str) -> Sequence[ApiKey]:
        """The user's keys that stand."""
        return await self._store.of_user(user_id)

    async def revoke(self, user_id: str, key_id: str) -> None:
        """End a key of this user for good, and tell all gateways; raises ProblemError `api_key_not_found`."""
        if not key_id.startswith(f"{user_id}.") or await self._store.get(user_id, key_id) is None:
            raise ProblemError(Code.API_KEY_NOT_FOUND, "you have no such API key")
        await self._store.revoke(user_id, key_id)
        self.forget(key_id)
        log.info("api_key_revoked", user_id=user_id, key_id=key_id)
        try:
            await self._publisher.publish({}, [(API_KEYS_CHANNEL, key_id.encode())])
        except PortError as error:
            log.warning("revocation_not_published", error=type(error).__name__)

    async def find(self, key_id: str) -> tuple[ApiKey, str] | None:
        """A key that stands, at most KEY_CACHE_S out of date, and its secret."""
        key = await self._cache.get(key_id)
        secret = None if key is None else self._ring.secret(key)
        return None if key is None or secret is None else (key, secret)

    def forget(self, key_id: str) -> None:
        """Somebody has revoked it."""
        self._cache.forget(key_id)

    async def _read(self, key_id: str) -> ApiKey | None:
        return await self._store.get(key_id.partition(".")[0], key_id)
