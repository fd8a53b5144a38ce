"""A client of the simulated network: one HTTP request a connection.

As small as the tests of a protocol may be: the servers on the other side are the real ones.
"""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import orjson

from simulation.machines.network import ConnectionRefused, Network

HEAD_END: Final = b"\r\n\r\n"
"""Ends the head of a request and of a response."""


class NoAnswer(Exception):
    """The connection ended, or nobody answered in time: what was asked for may have happened."""


class NotSent(Exception):
    """Nobody was there to ask: nothing happened."""


@dataclass(frozen=True, slots=True)
class Answer:
    """Status and JSON body of a response."""

    status: int
    body: Any

    @property
    def code(self) -> str | None:
        """The stable code of a problem."""
        return self.body.get("code") if isinstance(self.body, dict) else None


class _Exchange(asyncio.Protocol):
    """Reads one response whose length is given by Content-Length."""

    def __init__(self, answer: "asyncio.Future[tuple[int, bytes]]") -> None:
        self._answer = answer
        self._data = b""

    def data_received(self, data: bytes) -> None:
        self._data += data
        head, end, body = self._data.partition(HEAD_END)
        if not end or self._answer.done():
            return
        lines = head.decode("latin-1").split("\r\n")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines[1:])}
        if len(body) >= int(headers.get("content-length", 0)):
            self._answer.set_result((int(lines[0].split(" ")[1]), body))

    def connection_lost(self, _: Exception | None) -> None:
        """See asyncio.Protocol."""
        if not self._answer.done():
            self._answer.set_exception(NoAnswer("the connection ended"))


async def request(
    network: Network,
    host: str,
    port: int,
    method: str,
    path: str,
    *,
    headers: Mapping[str, str],
    trace: int,
    payload: bytes = b"",
    wait_s: int = 0,
    timeout_s: float,
) -> Answer:
    """One request on a connection of its own. `headers` say who sends it, `trace` numbers it for the services' logs
    and the journal; for `wait_s` the answer may wait for what becomes of it.

    Raises NotSent or NoAnswer.
    """
    prefer = f"Prefer: wait={wait_s}\r\n" if wait_s else ""
    who = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    head = (
        f"{method} {path} HTTP/1.1\r\nHost: {host}\r\n{who}{prefer}"
        f"traceparent: 00-{trace:032x}-{1:016x}-01\r\nConnection: close\r\nContent-Length: {len(payload)}\r\n\r\n"
    )
    answer: asyncio.Future[tuple[int, bytes]] = asyncio.get_running_loop().create_future()
    try:
        transport = network.connect(host, port, _Exchange(answer))
    except ConnectionRefused as error:
        raise NotSent(str(error)) from error
    try:
        transport.write(head.encode() + payload)
        async with asyncio.timeout(timeout_s):
            status, data = await answer
    except TimeoutError as error:
        raise NoAnswer("no answer in time") from error
    finally:
        transport.close()
    return Answer(status, orjson.loads(data) if data else None)
