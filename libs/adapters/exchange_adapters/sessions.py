"""Whether a log-in still stands: the store decides, a short cache spares it, a channel empties the cache.

A log-out is final everywhere: the session is revoked in the store, every process that checks sessions is told by
pub/sub, and one that did not hear it asks the store again after SESSION_CACHE_S at the latest.
"""

from typing import Final

from exchange_adapters.short_cache import ShortCache
from exchange_adapters.tokens import Principal, SessionRevokedError
from exchange_core.ports import Clock, SessionStore

SESSION_CACHE_S: Final = 5.0
_CACHED_SESSIONS: Final = 100_000


class SessionChecks:
    """One instance a process; the cache is its only state. Whoever hears of a revocation calls `forget`."""

    def __init__(self, store: SessionStore, clock: Clock) -> None:
        self._clock = clock
        self._sessions = ShortCache(store.get, age_max_s=SESSION_CACHE_S, size_max=_CACHED_SESSIONS)

    async def check(self, principal: Principal) -> None:
        """Raise SessionRevokedError unless the session stands; at most SESSION_CACHE_S out of date.

        Raises PortError when the store cannot be asked: no session is taken on trust.
        """
        session = await self._sessions.get(principal.session_id)
        if (
            session is None
            or session.is_revoked
            or session.user_id != principal.user_id
            or session.expires_at_ms <= self._clock.now_ms()
        ):
            raise SessionRevokedError("log in again")

    def forget(self, session_id: str) -> None:
        """Ask the store the next time; an answer that is on its way is not kept."""
        self._sessions.forget(session_id)
