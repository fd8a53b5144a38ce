"""The small tables in memory, as `exchange_adapters.dynamodb_tables` finds them in DynamoDB."""

import dataclasses

from exchange_adapters.sim.faults import Faults
from exchange_adapters.sim.store import SimStore
from exchange_core.ports import ApiKey, Clock, Session


class SimLeases(SimStore):
    """LeaseStore. Whether a lease has run out is decided by the caller's clock, as a condition on the stored time."""

    def __init__(self, *, clock: Clock | None = None, faults: Faults | None = None) -> None:
        super().__init__(clock=clock, faults=faults)
        self._leases: dict[str, tuple[str, int]] = {}

    async def acquire(self, name: str, owner: str, now_ms: int, ttl_ms: int) -> bool:
        """As LeaseStore.acquire. Operation `leases.acquire`."""
        async with self._faults.call("leases.acquire"):
            holder = self._leases.get(name)
            if holder is not None and holder[0] != owner and holder[1] > now_ms:
                return False
            self._leases[name] = (owner, now_ms + ttl_ms)
            return True

    async def release(self, name: str, owner: str) -> None:
        """As LeaseStore.release. Operation `leases.release`."""
        async with self._faults.call("leases.release"):
            if name in self._leases and self._leases[name][0] == owner:
                del self._leases[name]

    async def holder(self, name: str) -> tuple[str, int] | None:
        """As LeaseStore.holder. Operation `leases.holder`."""
        async with self._faults.call("leases.holder", is_read=True):
            return self._leases.get(name)


class SimSessions(SimStore):
    """SessionStore."""

    def __init__(self, *, clock: Clock | None = None, faults: Faults | None = None) -> None:
        super().__init__(clock=clock, faults=faults)
        self._sessions: dict[str, Session] = {}

    async def put(self, session: Session) -> None:
        """As SessionStore.put; one that is there stays, so that none is un-revoked. Operation `sessions.put`."""
        async with self._faults.call("sessions.put"):
            self._sessions.setdefault(session.session_id, session)

    async def get(self, session_id: str) -> Session | None:
        """As SessionStore.get. Operation `sessions.get`."""
        async with self._faults.call("sessions.get", is_read=True):
            return self._sessions.get(session_id)

    async def revoke(self, session_id: str) -> None:
        """As SessionStore.revoke; an unknown session is passed over. Operation `sessions.revoke`."""
        async with self._faults.call("sessions.revoke"):
            session = self._sessions.get(session_id)
            if session is not None:
                self._sessions[session_id] = dataclasses.replace(session, is_revoked=True)


class SimApiKeys(SimStore):
    """ApiKeyStore."""

    def __init__(self, *, clock: Clock | None = None, faults: Faults | None = None) -> None:
        super().__init__(clock=clock, faults=faults)
        self._keys: dict[tuple[str, str], ApiKey] = {}

    async def put(self, key: ApiKey) -> None:
        """As ApiKeyStore.put. Operation `api_keys.put`."""
        async with self._faults.call("api_keys.put"):
            self._keys.setdefault((key.user_id, key.key_id), key)

    async def get(self, user_id: str, key_id: str) -> ApiKey | None:
        """As ApiKeyStore.get. Operation `api_keys.get`."""
        async with self._faults.call("api_keys.get", is_read=True):
            return self._keys.get((user_id, key_id))

    async def of_user(self, user_id: str) -> list[ApiKey]:
        """As ApiKeyStore.of_user. Operation `api_keys.of_user`."""
        async with self._faults.call("api_keys.of_user", is_read=True):
            return [key for (owner, _), key in sorted(self._keys.items()) if owner == user_id]

    async def revoke(self, user_id: str, key_id: str) -> None:
        """As ApiKeyStore.revoke. Operation `api_keys.revoke`."""
        async with self._faults.call("api_keys.revoke"):
            self._keys.pop((user_id, key_id), None)


class SimConnections(SimStore):
    """ConnectionStore."""

    def __init__(self, *, clock: Clock | None = None, faults: Faults | None = None) -> None:
        super().__init__(clock=clock, faults=faults)
        self.connections: dict[str, tuple[str, int]] = {}
        """connection_id → (node, expires_at_ms)"""

    async def put(self, connection_id: str, node: str, expires_at_ms: int) -> None:
        """As ConnectionStore.put. Operation `connections.put`."""
        async with self._faults.call("connections.put"):
            self.connections[connection_id] = (node, expires_at_ms)

    async def delete(self, connection_id: str) -> None:
        """As ConnectionStore.delete. Operation `connections.delete`."""
        async with self._faults.call("connections.delete"):
            self.connections.pop(connection_id, None)
