"""Leases, sessions, API keys and connections: DynamoDB."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol


class LeaseStore(Protocol):
    """Who does what now: for liveness only, since a process may sleep through the end of its lease. Safe is this: an
    owner's time begins, by its clock, no sooner than the time before it ended, unless it was released (ADR 18)."""

    async def acquire(self, name: str, owner: str, now_ms: int, ttl_ms: int) -> bool:
        """Take or renew the lease until now + ttl; False when another owner's has not run out."""
        ...

    async def release(self, name: str, owner: str) -> None:
        """Give it up, if it is ours."""
        ...

    async def holder(self, name: str) -> tuple[str, int] | None:
        """(owner, until_ms), whether or not it has run out."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """A log-in. Its id is the `origin_jti` of the tokens issued for it."""

    session_id: str
    user_id: str
    created_at_ms: int
    expires_at_ms: int
    is_revoked: bool = False


class SessionStore(Protocol):
    """Log-ins that can be ended before their tokens expire."""

    async def put(self, session: Session) -> None:
        """Store a new session."""
        ...

    async def get(self, session_id: str) -> Session | None:
        """Read consistently."""
        ...

    async def revoke(self, session_id: str) -> None:
        """End it for good."""
        ...


class KeyScope(StrEnum):
    """What a program may do with an API key."""

    READ = "read"
    TRADE = "trade"


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiKey:
    """A bot's key. Its secret is not in it: it is derived from all of this and a master secret, named by `master`."""

    user_id: str
    key_id: str
    name: str
    scopes: frozenset[KeyScope]
    salt: bytes
    master: str
    created_at_ms: int


class ApiKeyStore(Protocol):
    """Keys by user and key id. A revoked key is one that is not there."""

    async def put(self, key: ApiKey) -> None:
        """Store a new key; one that is there already stays as it is."""
        ...

    async def get(self, user_id: str, key_id: str) -> ApiKey | None:
        """Read consistently."""
        ...

    async def of_user(self, user_id: str) -> Sequence[ApiKey]:
        """All keys of the user, by key id; read consistently."""
        ...

    async def revoke(self, user_id: str, key_id: str) -> None:
        """End it for good; one that does not exist has ended already."""
        ...


class ConnectionStore(Protocol):
    """Open WebSocket connections."""

    async def put(self, connection_id: str, node: str, expires_at_ms: int) -> None:
        """Record an open connection, or extend its life."""
        ...

    async def delete(self, connection_id: str) -> None:
        """Forget it."""
        ...
