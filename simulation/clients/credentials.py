"""How a client says who it is: by the token of a log-in, or by signing the request with an API key (docs/api.md)."""

import hmac
from collections.abc import Mapping

from simulation.machines.directory import api_key_of, secret_of, token_of


def bearer(user_id: str) -> Mapping[str, str]:
    """The header of whoever has logged in."""
    return {"Authorization": f"Bearer {token_of(user_id)}"}


def signed(user_id: str, at_ms: int, method: str, path: str, payload: bytes) -> Mapping[str, str]:
    """The headers of a request that is signed at this moment, in milliseconds since 1970."""
    text = f"{at_ms}\n{method}\n{path}\n".encode() + payload
    return {
        "X-Crossbook-Key": api_key_of(user_id).key_id,
        "X-Crossbook-Timestamp": str(at_ms),
        "X-Crossbook-Signature": hmac.digest(secret_of(user_id), text, "sha256").hex(),
    }


def signature_in(credentials: Mapping[str, str]) -> str:
    """The signature; "" of a request that bears a token."""
    return credentials.get("X-Crossbook-Signature", "")
