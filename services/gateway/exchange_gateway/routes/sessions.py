"""Sign-up, log-in, refresh and log-out."""

from typing import Any

import structlog
from aiohttp import web

from exchange_adapters.sessions import SessionChecks
from exchange_adapters.tokens import Principal, TokenVerifier
from exchange_gateway.access.identity import IdentityProvider, IssuedTokens
from exchange_gateway.access.sessions import Authenticator, SessionDesk
from exchange_gateway.rest.requests import authenticate_session, json_answer, read_body, stages_of

log = structlog.get_logger()


class SessionRoutes:
    """Tokens come from the user directory; that they end when they should is ours."""

    def __init__(
        self,
        *,
        identity: IdentityProvider,
        verifier: TokenVerifier,
        sessions: SessionDesk,
        checks: SessionChecks,
        authenticator: Authenticator,
        session_lifetime_ms: int,
    ) -> None:
        self._identity = identity
        self._verifier = verifier
        self._sessions = sessions
        self._checks = checks
        self._authenticator = authenticator
        self._session_lifetime_ms = session_lifetime_ms

    def routes(self) -> list[web.RouteDef]:
        """For the application's router."""
        return [
            web.post("/api/v1/users", self.sign_up),
            web.post("/api/v1/sessions", self.log_in),
            web.post("/api/v1/sessions/refresh", self.refresh),
            web.delete("/api/v1/sessions", self.log_out),
        ]

    async def sign_up(self, request: web.Request) -> web.Response:
        """201 with the new user's id."""
        body = await read_body(request)
        username = body["username"]
        with stages_of(request).measure("auth"):
            user_id, is_confirmed = await self._identity.sign_up(username, body["password"], body.get("email"))
        log.info("user_signed_up", user_id=user_id)
        answer = {"user_id": user_id, "username": username, "status": "confirmed" if is_confirmed else "unconfirmed"}
        return json_answer(answer, status=201)

    async def log_in(self, request: web.Request) -> web.Response:
        """201 with tokens; the session stands until it is ended or runs out."""
        body = await read_body(request)
        with stages_of(request).measure("auth"):
            tokens = await self._identity.log_in(body["username"], body["password"])
            principal = await self._verifier.verify(tokens.access_token)
            await self._sessions.open(principal, self._session_lifetime_ms)
        log.info("session_opened", user_id=principal.user_id)
        return json_answer(_tokens_json(tokens, principal), status=201)

    async def refresh(self, request: web.Request) -> web.Response:
        """200 with a new access token of the same session; a session that has ended stays so."""
        body = await read_body(request)
        with stages_of(request).measure("auth"):
            tokens = await self._identity.refresh(body["refresh_token"])
            principal = await self._verifier.verify(tokens.access_token)
            self._checks.forget(principal.session_id)
            await self._checks.check(principal)
        return json_answer(_tokens_json(tokens, principal))

    async def log_out(self, request: web.Request) -> web.Response:
        """204: no token of this session is good any more, anywhere."""
        principal = await authenticate_session(self._authenticator, request)
        await self._sessions.end(principal.session_id)
        log.info("session_ended", user_id=principal.user_id)
        return web.Response(status=204)


def _tokens_json(tokens: IssuedTokens, principal: Principal) -> dict[str, Any]:
    return {
        "access_token": tokens.access_token,
        "token_type": "Bearer",
        "expires_in": tokens.expires_in_s,
        "refresh_token": tokens.refresh_token,
        "user_id": principal.user_id,
    }
