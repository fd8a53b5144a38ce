"""Where the requests of a world's clients are sent from: each one, and its answer, goes into the history."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import orjson

from exchange_adapters.sim import START_MS
from simulation.clients.credentials import Credential, LogIn, signature_in
from simulation.clients.history import Call, Fate, History
from simulation.clients.wire import Answer, NoAnswer, NotSent, request
from simulation.machines.hosts import HTTP_PORT
from simulation.machines.network import Network

REQUEST_TIMEOUT_S: Final = 8.0
RETRIES_MAX: Final = 4
"""How often a client sends again what got no answer, or none that is certain."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Prepared:
    """All of a request but where it goes. Somebody on its way can see it, and send it again."""

    user_id: str
    kind: str
    method: str
    path: str
    body: dict[str, Any] | None
    payload: bytes
    target: str | None
    wait_s: int
    credential: str
    headers: Mapping[str, str]

    @property
    def means(self) -> dict[str, Any] | None:
        """What it asks for: a signed order without a client id is given one by the gateway (ADR 9)."""
        signature = signature_in(self.headers)
        if not signature or self.body is None or "client_order_id" in self.body:
            return self.body
        return self.body | {"client_order_id": f"signed-{signature[:32]}-0"}


class Desk:
    """Sends requests to gateways and keeps the history. `signed` are the signed ones, each once."""

    def __init__(self, network: Network, history: History, gateways: tuple[str, ...]) -> None:
        self._network = network
        self._history = history
        self.gateways = gateways
        self.signed: list[Prepared] = []

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
        by: Credential | None = None,
    ) -> Call:
        """One request to one gateway, by the user's first log-in unless it says otherwise; never raises for what the
        world does to it."""
        payload = b"" if body is None else orjson.dumps(body)
        by = by or LogIn(user_id)
        prepared = Prepared(
            user_id=user_id,
            kind=kind,
            method=method,
            path=path,
            body=body,
            payload=payload,
            target=target,
            wait_s=wait_s,
            credential=by.name,
            headers=by.headers(START_MS + now_ms(), method, path, payload),
        )
        if signature_in(prepared.headers):
            self.signed.append(prepared)
        return await self.send(prepared, host=host)

    async def send(self, prepared: Prepared, *, host: str) -> Call:
        """The very same bytes, for the first time or again."""
        call = Call(
            number=len(self._history.calls) + 1,
            user_id=prepared.user_id,
            kind=prepared.kind,
            host=host,
            credential=prepared.credential,
            at_ms=now_ms(),
            request=prepared.means,
            target=prepared.target,
            signature=signature_in(prepared.headers),
        )
        self._history.calls.append(call)
        try:
            answer: Answer = await request(
                self._network,
                host,
                HTTP_PORT,
                prepared.method,
                prepared.path,
                headers=prepared.headers,
                trace=call.number,
                payload=prepared.payload,
                wait_s=prepared.wait_s,
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
