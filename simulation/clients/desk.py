"""Where the requests of a world's clients are sent from: each one, and its answer, goes into the history."""

import asyncio
from typing import Any, Final

from simulation.clients.history import Call, Fate, History
from simulation.clients.wire import Answer, NoAnswer, NotSent, request
from simulation.machines.directory import token_of
from simulation.machines.hosts import HTTP_PORT
from simulation.machines.network import Network

REQUEST_TIMEOUT_S: Final = 8.0
RETRIES_MAX: Final = 4
"""How often a client sends again what got no answer, or none that is certain."""


class Desk:
    """Sends requests to gateways and keeps the history."""

    def __init__(self, network: Network, history: History, gateways: tuple[str, ...]) -> None:
        self._network = network
        self._history = history
        self.gateways = gateways

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
    ) -> Call:
        """One request to one gateway; never raises for what the world does to it."""
        call = Call(
            number=len(self._history.calls) + 1,
            user_id=user_id,
            kind=kind,
            host=host,
            at_ms=now_ms(),
            request=body,
            target=target,
        )
        self._history.calls.append(call)
        try:
            answer: Answer = await request(
                self._network,
                host,
                HTTP_PORT,
                method,
                path,
                token=token_of(user_id),
                trace=call.number,
                body=body,
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
