"""Whether a signed request comes from the holder of an API key, just now, and for the first time.

    signature = HMAC-SHA256(secret, timestamp "\\n" METHOD "\\n" path?query "\\n" body), in hexadecimal

A signature is good once, within the window around its timestamp. All gateways share in Redis which ones they have seen,
and each remembers its own; what slips through between gateways while Redis is away can place no order twice, because
the signature stands in for a missing client_order_id (docs/adr/0009-a-signed-request-counts-once.md).
"""

import hmac
import re
from collections import OrderedDict
from typing import Final

from aiohttp import hdrs, web

from exchange_adapters.tokens import Principal
from exchange_core.ports import Clock, OnceMarks
from exchange_core.topology import signature_key
from exchange_gateway.access.api_keys import ApiKeyDesk
from exchange_gateway.access.redis_patience import RedisPatience
from exchange_gateway.problems import Code, ProblemError

KEY_HEADER: Final = "X-Crossbook-Key"
TIMESTAMP_HEADER: Final = "X-Crossbook-Timestamp"
SIGNATURE_HEADER: Final = "X-Crossbook-Signature"
SIGNATURE: Final = web.RequestKey("signature", str)
"""The signature of a request that was signed: hexadecimal, and good for nothing any more."""
_SEEN_MAX: Final = 200_000
_KEY_ID: Final = re.compile(r"[A-Za-z0-9-]{1,64}\.[0-9a-f]{16}")
_TIMESTAMP: Final = re.compile(r"\d{1,15}")
_SIGNATURE: Final = re.compile(r"[0-9a-fA-F]{64}")
_NOBODYS_SECRET: Final = "-"  # noqa: S105 - so that an unknown key takes as long as a wrong signature
_CHALLENGE: Final = {"WWW-Authenticate": 'Crossbook-HMAC-SHA256 realm="crossbook"'}


def signing_text(timestamp: str, method: str, path: str, body: bytes) -> bytes:
    """What is signed. The lines keep apart what a request could move from one part into the next."""
    return f"{timestamp}\n{method}\n{path}\n".encode() + body


class SignedRequests:
    """Checks signed requests. One a process; `window_ms` is how far a timestamp may be from this gateway's clock."""

    def __init__(self, keys: ApiKeyDesk, once: OnceMarks, clock: Clock, window_ms: int) -> None:
        self._keys = keys
        self._clock = clock
        self._window_ms = window_ms
        self._seen = SeenSignatures(once, clock, remembered_ms=3 * window_ms)

    async def principal(self, request: web.Request) -> Principal:
        """The key's owner, with the key's scopes; raises ProblemError with one of the 401 codes."""
        if hdrs.AUTHORIZATION in request.headers:
            raise _invalid("send a token or a signature, not both")
        key_id, timestamp, claimed = _headers(request)
        self._require_in_window(int(timestamp))
        text = signing_text(timestamp, request.method, request.raw_path, await request.read())
        found = await self._keys.find(key_id)
        expected = hmac.digest((found[1] if found else _NOBODYS_SECRET).encode(), text, "sha256")
        if not hmac.compare_digest(expected, bytes.fromhex(claimed)) or found is None:
            raise _invalid("no key that stands has signed this request")
        await self._seen.require_first(expected.hex())
        request[SIGNATURE] = expected.hex()
        key = found[0]
        return Principal(
            user_id=key.user_id,
            session_id=key.key_id,
            groups=frozenset(),
            expires_at_s=(int(timestamp) + self._window_ms) // 1000,
            key_scopes=key.scopes,
        )

    def _require_in_window(self, timestamp_ms: int) -> None:
        now_ms = self._clock.now_ms()
        if abs(now_ms - timestamp_ms) > self._window_ms:
            raise ProblemError(
                Code.TIMESTAMP_OUTSIDE_WINDOW,
                f"the timestamp must be within {self._window_ms} ms of the exchange's time",
                headers=_CHALLENGE,
                server_time_ms=now_ms,
            )


class SeenSignatures:
    """Which signatures were used, here and, through Redis, at the other gateways. Bounded: full means refuse.

    `remembered_ms` is longer than a signature is good for: one from the clock's future is good for two windows, and the
    gateways' clocks may be a window apart.
    """

    def __init__(self, once: OnceMarks, clock: Clock, remembered_ms: int, seen_max: int = _SEEN_MAX) -> None:
        self._once = once
        self._clock = clock
        self._remembered_ms = remembered_ms
        self._seen_max = seen_max
        self._patience = RedisPatience("signatures")
        self._until_ms: OrderedDict[str, int] = OrderedDict()

    async def require_first(self, signature: str) -> None:
        """Raises ProblemError `request_replayed` for one that was seen, `overloaded` when it cannot be remembered."""
        now_ms = self._clock.now_ms()
        while self._until_ms and next(iter(self._until_ms.values())) <= now_ms:
            self._until_ms.popitem(last=False)
        if signature in self._until_ms:
            raise _replayed()
        if len(self._until_ms) >= self._seen_max:
            raise ProblemError(Code.OVERLOADED, "too many signed requests; nothing was done")
        self._until_ms[signature] = now_ms + self._remembered_ms
        is_first = await self._patience.ask(lambda: self._once.claim(signature_key(signature), self._remembered_ms))
        if is_first is False:
            raise _replayed()


def _headers(request: web.Request) -> tuple[str, str, str]:
    """Key id, timestamp and signature, each there once and of the right form."""
    found = []
    for name, pattern in ((KEY_HEADER, _KEY_ID), (TIMESTAMP_HEADER, _TIMESTAMP), (SIGNATURE_HEADER, _SIGNATURE)):
        values = request.headers.getall(name, [])
        if len(values) != 1 or pattern.fullmatch(values[0]) is None:
            raise _invalid(f"{name} is missing or malformed")
        found.append(values[0])
    return found[0], found[1], found[2]


def _invalid(detail: str) -> ProblemError:
    return ProblemError(Code.API_KEY_INVALID, detail, headers=_CHALLENGE)


def _replayed() -> ProblemError:
    return ProblemError(Code.REQUEST_REPLAYED, "this signature was used; sign each request anew", headers=_CHALLENGE)
