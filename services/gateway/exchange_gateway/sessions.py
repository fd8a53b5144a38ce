"""Log-ins that end when their owner says so: the store decides, a short cache spares it, a channel empties the cache.

A log-out is final everywhere: the session is revoked in the store, every gateway is told by pub/sub, and one that did
not hear it asks the store again after SESSION_CACHE_S at the latest.
"""

import asyncio
from collections import OrderedDict
from typing import Final

import structlog

from exchange_core.errors import PortError, Unavailable
from exchange_core.ports import Clock, MarketPublisher, Session, SessionStore
from exchange_core.topology import SESSIONS_CHANNEL
from exchange_gateway.problems import Code, ProblemError
from exchange_gateway.tokens import Principal, TokenVerifier

SESSION_CACHE_S: Final = 5.0
_CACHED_SESSIONS: Final = 100_000
_BEARER: Final = "bearer "

log = structlog.get_logger()


class SessionDesk:
    """Opens, checks and ends sessions. One instance a process; the cache is its only state."""

    def __init__(self, store: SessionStore, publisher: MarketPublisher, clock: Clock) -> None:
        self._store = store
        self._publisher = publisher
        self._clock = clock
        self._known: OrderedDict[str, tuple[Session, float]] = OrderedDict()
        self._asking: dict[str, asyncio.Future[Session | None]] = {}

    async def open(self, principal: Principal, lifetime_ms: int) -> None:
        """Remember a new log-in."""
        now_ms = self._clock.now_ms()
        await self._store.put(
            Session(
                session_id=principal.session_id,
                user_id=principal.user_id,
                created_at_ms=now_ms,
                expires_at_ms=now_ms + lifetime_ms,
            )
        )

    async def check(self, principal: Principal) -> None:
        """Raise ProblemError `session_revoked` unless the session stands; at most SESSION_CACHE_S out of date."""
        session = self._cached(principal.session_id) or await self._ask(principal.session_id)
        if (
            session is None
            or session.is_revoked
            or session.user_id != principal.user_id
            or session.expires_at_ms <= self._clock.now_ms()
        ):
            raise ProblemError(Code.SESSION_REVOKED, "log in again")

    async def end(self, session_id: str) -> None:
        """Revoke for good and tell all gateways. That telling fails is no failure: their caches are short."""
        await self._store.revoke(session_id)
        self.forget(session_id)
        try:
            await self._publisher.publish({}, [(SESSIONS_CHANNEL, session_id.encode())])
        except PortError as error:
            log.warning("revocation_not_published", error=type(error).__name__)

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


class Authenticator:
    """Who sends this request: a genuine token of a session that stands."""

    def __init__(self, verifier: TokenVerifier, sessions: SessionDesk) -> None:
        self._verifier = verifier
        self._sessions = sessions

    async def principal(self, authorization: str | None) -> Principal:
        """The principal of an Authorization header; raises ProblemError with one of the 401 codes."""
        if authorization is None:
            raise ProblemError(
                Code.TOKEN_MISSING, "send Authorization: Bearer <access token>", headers={"WWW-Authenticate": "Bearer"}
            )
        if authorization[: len(_BEARER)].lower() != _BEARER:
            raise ProblemError(Code.TOKEN_INVALID, "only bearer tokens are taken")
        principal = await self._verifier.verify(authorization[len(_BEARER) :].strip())
        await self._sessions.check(principal)
        return principal
