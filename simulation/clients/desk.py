"""Where the requests of a world's clients are sent from: each one, and its answer, goes into the history."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import orjson

from exchange_adapters.sim import START_MS
from simulation.clients.credentials import bearer, signature_in, signed
from simulation.clients.history import Call, Fate, History
from simulation.clients.wire import Answer, NoAnswer, NotSent, request
from simulation.machines.hosts import HTTP_PORT
from simulation.machines.network import Network

REQUEST_TIMEOUT_S: Final = 8.0
RETRIES_MAX: Final = 4
"""How often a client sends again what got no answer, or none that is certain."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SignedRequest:
    """All of a signed request, as somebody on its way can see it, and send it again."""

    user_id: str
    kind: str
    method: str
    path: str
    body: dict[str, Any]
    credentials: Mapping[str, str]


class Desk:
    """Sends requests to gateways and keeps the history. `signed` are the signed ones, each once."""

    def __init__(self, network: Network, history: History, gateways: tuple[str, ...]) -> None:
        self._network = network
        self._history = history
        self.gateways = gateways
        self.signed: list[SignedRequest] = []

    async def call(
        self,
        user_id: str,
        kind: str,
        method: str,
        path: str,
        *,
        host: str,
        body: dict[str, Any] | None = None,
        target: str | None = None,
        wait_s: int = 0,
        is_signed: bool = False,
    ) -> Call:
        """One request to one gateway, signed with the user's API key or under his token; never raises for what the
        world does to it."""
        payload = b"" if body is None else orjson.dumps(body)
        credentials = bearer(user_id)
        if is_signed:
            assert body is not None, "only orders are signed here"
            credentials = signed(user_id, START_MS + now_ms(), method, path, payload)
            self.signed.append(
                SignedRequest(user_id=user_id, kind=kind, method=method, path=path, body=body, credentials=credentials)
            )
        call = self._noted(user_id, kind, host, body, target, credentials)
        return await self._sent(call, method, path, payload, credentials, wait_s)

    async def replay(self, overheard: SignedRequest, *, host: str) -> Call:
        """The very same once more, to any gateway."""
        call = self._noted(overheard.user_id, overheard.kind, host, overheard.body, None, overheard.credentials)
        payload = orjson.dumps(overheard.body)
        return await self._sent(call, overheard.method, overheard.path, payload, overheard.credentials, 0)

    def _noted(
        self,
        user_id: str,
        kind: str,
        host: str,
        body: dict[str, Any] | None,
        target: str | None,
        credentials: Mapping[str, str],
    ) -> Call:
        signature = signature_in(credentials)
        if signature and body is not None and "client_order_id" not in body:
            body = body | {"client_order_id": f"signed-{signature[:32]}-0"}  # as the gateway makes it, by ADR 9
        call = Call(
            number=len(self._history.calls) + 1,
            user_id=user_id,
            kind=kind,
            host=host,
            at_ms=now_ms(),
            request=body,
            target=target,
            signature=signature,
        )
        self._history.calls.append(call)
        return call

    async def _sent(
        self, call: Call, method: str, path: str, payload: bytes, credentials: Mapping[str, str], wait_s: int
    ) -> Call:
        try:
            answer: Answer = await request(
                self._network,
                call.host,
                HTTP_PORT,
                method,
                path,
                credentials=credentials,
                trace=call.number,
                payload=payload,
                wait_s=wait_s,
                timeout_s=REQUEST_TIMEOUT_S,
            )
        except NotSent:
            call.fate = Fate.NOT_SENT
        except NoAnswer:
            call.fate = Fate.NO_ANSWER
        else:
            call.fate, call.status, call.code, call.answer = Fate.ANSWERED, answer.status, answer.code, answer.body
        call.ended_ms = now_ms()
        return call


def now_ms() -> int:
    """Virtual milliseconds since the world began."""
    return round(asyncio.get_running_loop().time() * 1000)
