"""TCP ports on loopback: which are free, and a clear word when one is not."""

import random
import socket
from collections.abc import Mapping
from dataclasses import dataclass

from crossbook.errors import PortInUseError, TwinError

LOOPBACK = "127.0.0.1"
FREE_PORTS = range(15_000, 32_000)
"""Below Linux's ephemeral ports: no outgoing connection sits on one while its server is started again."""
PICK_ATTEMPTS = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class PortWish:
    """The port that a part wants, 0 for any free one, and how a person can wish otherwise."""

    name: str
    port: int = 0
    flag: str = ""
    purpose: str = ""


def is_free(port: int) -> bool:
    """Whether a server could listen on the port of the loopback interface now."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
            probe.listen(1)
        except OSError:
            return False
    return True


class PortAllocator:
    """Hands out ports for one twin, each once."""

    def __init__(self) -> None:
        self._taken: set[int] = set()

    def claim_all(self, wishes: tuple[PortWish, ...], *, remembered: Mapping[str, int]) -> dict[str, int]:
        """A port for every wish, by name; where any will do, the remembered one if it is still free.

        Raises PortInUseError for the first that somebody else has.
        """
        claimed = {wish.name: self._claim(wish) for wish in wishes if wish.port}
        for wish in wishes:
            if not wish.port:
                claimed[wish.name] = self._pick(remembered.get(wish.name, 0))
        return claimed

    def _claim(self, wish: PortWish) -> int:
        if wish.port in self._taken or not is_free(wish.port):
            raise PortInUseError(port=wish.port, flag=wish.flag, purpose=wish.purpose)
        self._taken.add(wish.port)
        return wish.port

    def _pick(self, preferred: int) -> int:
        candidates = [preferred] if preferred else []
        candidates += random.sample(FREE_PORTS, PICK_ATTEMPTS)
        for port in candidates:
            if port not in self._taken and is_free(port):
                self._taken.add(port)
                return port
        raise TwinError(f"no free port found between {FREE_PORTS.start} and {FREE_PORTS.stop}")
