"""Log-ins: opened here, checked with every request, ended for good when their owner says so."""

from typing import Final

import structlog
from aiohttp import hdrs, web

from exchange_adapters.sessions import SessionChecks
from exchange_adapters.tokens import Principal, TokenVerifier
from exchange_core.errors import PortError
from exchange_core.ports import Clock, MarketPublisher, Session, SessionStore
from exchange_core.topology import SESSIONS_CHANNEL
from exchange_gateway.access.signatures import KEY_HEADER, SignedRequests
from exchange_gateway.problems import Code, ProblemError

_BEARER: Final = "bearer "

log = structlog.get_logger()


class SessionDesk:
    """Opens and ends sessions."""

    def __init__(self, store: SessionStore, checks: SessionChecks, publisher: MarketPublisher, clock: Clock) -> None:
        self._store = store
        self._checks = checks
        self._publisher = publisher
        self._clock = clock

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

    async def end(self, session_id: str) -> None:
        """Revoke for good and tell all who check sessions. That telling fails is no failure: their caches are short."""
        await self._store.revoke(session_id)
        self._checks.forget(session_id)
        try:
            await self._publisher.publish({}, [(SESSIONS_CHANNEL, session_id.encode())])
        except PortError as error:
            log.warning("revocation_not_published", error=type(error).__name__)


class Authenticator:
    """Who sends this request: a genuine token of a session that stands, or a signature of a key that does."""

    def __init__(self, verifier: TokenVerifier, sessions: SessionChecks, signed: SignedRequests) -> None:
        self._verifier = verifier
        self._sessions = sessions
        self._signed = signed

    def recognised(self, authorization: str | None) -> str | None:
        """The user of a token that was found genuine lately; asks nobody, and lets nobody in."""
        if authorization is None or authorization[: len(_BEARER)].lower() != _BEARER:
            return None
        principal = self._verifier.remembered(authorization[len(_BEARER) :].strip())
        return None if principal is None else principal.user_id

    async def principal(self, request: web.Request) -> Principal:
        """The principal of a request; raises ProblemError or AuthenticationError: each a 401."""
        if KEY_HEADER in request.headers:
            return await self._signed.principal(request)
        authorization = request.headers.get(hdrs.AUTHORIZATION)
        if authorization is None:
            raise ProblemError(
                Code.TOKEN_MISSING, "send Authorization: Bearer <access token>", headers={"WWW-Authenticate": "Bearer"}
            )
        if authorization[: len(_BEARER)].lower() != _BEARER:
            raise ProblemError(Code.TOKEN_INVALID, "only bearer tokens are taken")
        principal = await self._verifier.verify(authorization[len(_BEARER) :].strip())
        await self._sessions.check(principal)
        return principal
