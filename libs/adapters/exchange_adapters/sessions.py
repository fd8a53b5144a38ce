"""Whether a log-in still stands: the store decides, a short cache spares it, a channel empties the cache.

A log-out is final everywhere: the session is revoked in the store, every process that checks sessions is told by
pub/sub, and one that did not hear it asks the store again after SESSION_CACHE_S at the latest.
"""

import asyncio
from collections import OrderedDict
from typing import Final

from exchange_adapters.tokens import Principal, SessionRevokedError
from exchange_core.errors import Unavailable
from exchange_core.ports import Clock, Session, SessionStore

SESSION_CACHE_S: Final = 5.0
_CACHED_SESSIONS: Final = 100_000


class SessionChecks:
    """One instance a process; the cache is its only state. Whoever hears of a revocation calls `forget`."""

    def __init__(self, store: SessionStore, clock: Clock) -> None:
        self._store = store
        self._clock = clock
        self._known: OrderedDict[str, tuple[Session, float]] = OrderedDict()
        self._asking: dict[str, asyncio.Future[Session | None]] = {}

    async def check(self, principal: Principal) -> None:
        """Raise SessionRevokedError unless the session stands; at most SESSION_CACHE_S out of date.

        Raises PortError when the store cannot be asked: no session is taken on trust.
        """
        session = self._cached(principal.session_id) or await self._ask(principal.session_id)
        if (
            session is None
            or session.is_revoked
            or session.user_id != principal.user_id
            or session.expires_at_ms <= self._clock.now_ms()
        ):
            raise SessionRevokedError("log in again")

    def forget(self, session_id: str) -> None:
        """Ask the store the next time; an answer that is on its way is not kept."""
        self._known.pop(session_id, None)
        self._asking.pop(session_id, None)

    def _cached(self, session_id: str) -> Session | None:
        entry = self._known.get(session_id)
        if entry is None or asyncio.get_running_loop().time() >= entry[1]:
            return None
        return entry[0]

    async def _ask(self, session_id: str) -> Session | None:
        """Read the store; requests that come meanwhile wait for the same answer."""
        asked = self._asking.get(session_id)
        if asked is not None:
            return await asyncio.shield(asked)
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[Session | None] = loop.create_future()
        self._asking[session_id] = answer
        expires_s = loop.time() + SESSION_CACHE_S
        try:
            session = await self._store.get(session_id)
        except BaseException as error:
            answer.set_exception(error if isinstance(error, Exception) else Unavailable("its asker gave up"))
            answer.exception()  # it is raised here; those who wait raise it as well
            raise
        else:
            answer.set_result(session)
            if session is not None and self._asking.get(session_id) is answer:
                self._known[session_id] = (session, expires_s)
                self._known.move_to_end(session_id)
                if len(self._known) > _CACHED_SESSIONS:
                    self._known.popitem(last=False)
            return session
        finally:
            if self._asking.get(session_id) is answer:
                del self._asking[session_id]
