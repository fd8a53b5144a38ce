"""How a client says who it is: by the token of a log-in, or by signing the request with an API key (docs/api.md)."""

import hmac
from collections.abc import Mapping
from dataclasses import dataclass

from simulation.machines.directory import api_key_of, secret_of, session_of, token_of


@dataclass(frozen=True, slots=True)
class LogIn:
    """One of the user's sessions."""

    user_id: str
    number: int = 0

    @property
    def name(self) -> str:
        """The session's id."""
        return session_of(self.user_id, self.number).session_id

    def headers(self, _: int, __: str, ___: str, ____: bytes) -> Mapping[str, str]:
        """The same for every request."""
        return {"Authorization": f"Bearer {token_of(self.user_id, self.number)}"}


@dataclass(frozen=True, slots=True)
class Key:
    """One of the user's API keys."""

    user_id: str
    number: int = 0

    @property
    def name(self) -> str:
        """The key's id."""
        return api_key_of(self.user_id, self.number).key_id

    def headers(self, at_ms: int, method: str, path: str, payload: bytes) -> Mapping[str, str]:
        """Those of a request that is signed at this moment, in milliseconds since 1970."""
        text = f"{at_ms}\n{method}\n{path}\n".encode() + payload
        return {
            "X-Crossbook-Key": self.name,
            "X-Crossbook-Timestamp": str(at_ms),
            "X-Crossbook-Signature": hmac.digest(secret_of(self.user_id, self.number), text, "sha256").hex(),
        }


Credential = LogIn | Key


def signature_in(headers: Mapping[str, str]) -> str:
    """The signature; "" of a request that bears a token."""
    return headers.get("X-Crossbook-Signature", "")
