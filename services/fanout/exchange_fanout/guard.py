"""Whose connection it is, and that this ends when the token or the log-in does.

A connection shows an access token, as the gateway's requests do, and is its user's until the token expires, its session
is revoked (told by pub/sub, and asked of the store every `recheck_s` for what pub/sub lost), or another token of the
same user takes its place. Invariant: a user's own channels are passed on only while the guard knows the connection.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import structlog

from exchange_adapters.sessions import SessionChecks
from exchange_adapters.tokens import (
    AuthenticationError,
    Principal,
    SessionRevokedError,
    TokenExpiredError,
    TokenVerifier,
)
from exchange_core.errors import PortError
from exchange_core.ports import Clock
from exchange_core.topology import SESSIONS_CHANNEL
from exchange_fanout.connections import Connection
from exchange_fanout.messages import Message
from exchange_fanout.protocol import ErrorCode, RequestError

ROUND_S: Final = 1.0
"""A token that has expired ends its connection's channels within this."""
PARALLEL_CHECKS: Final = 16

log = structlog.get_logger()


@dataclass(slots=True)
class _Admission:
    principal: Principal
    checked_at_s: float


class Guard:
    """All connections of this node that have a user. `on_end` is told once of each whose user is theirs no more.

    Hears the channel of revoked sessions; `run` is its stage.
    """

    channel = SESSIONS_CHANNEL

    def __init__(
        self,
        *,
        verifier: TokenVerifier,
        checks: SessionChecks,
        clock: Clock,
        recheck_s: float,
        on_end: Callable[[Connection, ErrorCode], None],
    ) -> None:
        self._verifier = verifier
        self._checks = checks
        self._clock = clock
        self._recheck_s = recheck_s
        self._on_end = on_end
        self._admitted: dict[Connection, _Admission] = {}
        self._by_session: dict[str, dict[Connection, None]] = {}

    def principal(self, connection: Connection) -> Principal | None:
        """The connection's user, if it has one."""
        admission = self._admitted.get(connection)
        return None if admission is None else admission.principal

    async def admit(self, connection: Connection, token: str) -> Principal:
        """Make the connection the token's user's, or let it stay so for longer.

        Raises AuthenticationError; PortError when keys or sessions cannot be asked; RequestError `another_user`.
        Whatever is raised, an earlier token still counts.
        """
        principal = await self._verifier.verify(token)
        present = self.principal(connection)
        if present is not None and present.user_id != principal.user_id:
            raise RequestError(ErrorCode.ANOTHER_USER, "a connection is one user's; open another one")
        listening = self._by_session.setdefault(principal.session_id, {})
        was_listening = connection in listening
        listening[connection] = None  # from here on a revocation is heard, also one that comes before the answer
        try:
            await self._checks.check(principal)
            if connection not in self._by_session.get(principal.session_id, {}):
                raise SessionRevokedError("log in again")
        except BaseException:
            if not was_listening:
                self._unlist(connection, principal.session_id)
            raise
        if present is not None and present.session_id != principal.session_id:
            self._unlist(connection, present.session_id)
        self._admitted[connection] = _Admission(principal, asyncio.get_running_loop().time())
        return principal

    def forget(self, connection: Connection) -> None:
        """The connection has ended."""
        admission = self._admitted.pop(connection, None)
        if admission is not None:
            self._unlist(connection, admission.principal.session_id)

    def deliver(self, message: Message) -> None:
        """A session was revoked."""
        session_id = message.payload.decode(errors="replace")
        self._checks.forget(session_id)
        for connection in self._by_session.pop(session_id, {}):
            self._end(connection, session_id, ErrorCode.SESSION_REVOKED)

    async def run(self) -> None:
        """End what has expired and ask again whether sessions stand, for ever."""
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(ROUND_S)
            due: list[tuple[Connection, _Admission]] = []
            for connection, admission in tuple(self._admitted.items()):
                if admission.principal.expires_at_s * 1000 <= self._clock.now_ms():
                    self._end(connection, admission.principal.session_id, ErrorCode.TOKEN_EXPIRED)
                elif loop.time() - admission.checked_at_s >= self._recheck_s:
                    due.append((connection, admission))
            for start in range(0, len(due), PARALLEL_CHECKS):
                async with asyncio.TaskGroup() as checks:
                    for connection, admission in due[start : start + PARALLEL_CHECKS]:
                        checks.create_task(self._recheck(connection, admission))

    async def _recheck(self, connection: Connection, admission: _Admission) -> None:
        """While the store is away the user stays: who logged out was told by pub/sub, and the token ends by itself."""
        self._checks.forget(admission.principal.session_id)  # the store is to be asked, not the cache
        try:
            await self._checks.check(admission.principal)
            admission.checked_at_s = asyncio.get_running_loop().time()
        except SessionRevokedError:
            self._end(connection, admission.principal.session_id, ErrorCode.SESSION_REVOKED)
        except PortError as error:
            log.warning("session_not_checked", error=str(error), kind=type(error).__name__)

    def _end(self, connection: Connection, session_id: str, code: ErrorCode) -> None:
        admission = self._admitted.get(connection)
        if admission is not None and admission.principal.session_id == session_id:
            self.forget(connection)
            self._on_end(connection, code)

    def _unlist(self, connection: Connection, session_id: str) -> None:
        listening = self._by_session.get(session_id, {})
        listening.pop(connection, None)
        if not listening:
            self._by_session.pop(session_id, None)


def refusal(error: AuthenticationError) -> RequestError:
    """How a client is told that it is not let in: the gateway's codes."""
    match error:
        case TokenExpiredError():
            code = ErrorCode.TOKEN_EXPIRED
        case SessionRevokedError():
            code = ErrorCode.SESSION_REVOKED
        case _:
            code = ErrorCode.TOKEN_INVALID
    return RequestError(code, str(error))
