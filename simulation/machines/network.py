"""A network without sockets: named listeners, and connections whose bytes arrive in the next turn of the loop.

What a service serves by `start_http` listens here under its host and port. A connection ends for its peer when the
process that holds it dies, as a kernel closes what a process leaves behind; `cut` ends one amid everything.
"""

import asyncio
from collections.abc import Callable
from typing import Any

from simulation.machines.processes import Process, SimulationLoop, State, current_process


class ConnectionRefused(ConnectionError):
    """Nobody listens there, or who does is dead."""


class Server:
    """What `loop.create_server` returns."""

    def __init__(self, network: "Network", address: tuple[str, int]) -> None:
        self._network = network
        self._address = address
        self.sockets: tuple[Any, ...] = ()

    def close(self) -> None:
        """Take no more connections."""
        self._network.listeners.pop(self._address, None)

    async def wait_closed(self) -> None:
        """It is closed at once."""


class Transport(asyncio.Transport):
    """One end of a connection; `process` is who holds it."""

    def __init__(self, loop: SimulationLoop, process: Process | None) -> None:
        super().__init__({"peername": ("client", 1), "sockname": ("server", 1)})
        self._loop = loop
        self._process = process
        self.protocol: Any = None
        self.peer: Transport | None = None
        self._is_closing = False
        self._is_lost = False

    def write(self, data: Any) -> None:
        """Arrives at the peer in the next turn."""
        if not self._is_closing and self.peer is not None:
            self.peer.call(self.peer.receive, bytes(data))

    def writelines(self, parts: Any) -> None:
        """As one write."""
        self.write(b"".join(parts))

    def receive(self, data: bytes) -> None:
        """Bytes from the peer."""
        if not self._is_lost:
            self.protocol.data_received(data)

    def close(self) -> None:
        """End the connection behind what was written."""
        if not self._is_closing:
            self._is_closing = True
            self.call(self.lose)
            if self.peer is not None:
                self.peer.call(self.peer.hang_up)

    def abort(self) -> None:
        """The same: nothing waits to be sent."""
        self.close()

    def hang_up(self) -> None:
        """The peer has ended it."""
        self._is_closing = True
        self.lose()

    def lose(self) -> None:
        """Tell the protocol, once."""
        if not self._is_lost:
            self._is_lost = True
            self.protocol.connection_lost(None)

    def call(self, callback: Callable[..., None], *arguments: Any) -> None:
        """Call it in the process that holds this end."""
        context = None if self._process is None else self._process.context
        self._loop.call_soon(callback, *arguments, context=context)

    def is_closing(self) -> bool:
        """Whether it has ended or is about to."""
        return self._is_closing

    def get_write_buffer_size(self) -> int:
        """Nothing waits here."""
        return 0

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        """There is no buffer."""

    def pause_reading(self) -> None:
        """Bodies are small: what has come has come."""

    def resume_reading(self) -> None:
        """See pause_reading."""

    def set_protocol(self, protocol: Any) -> None:
        """Whom bytes go to from now on."""
        self.protocol = protocol

    def get_protocol(self) -> Any:
        """Whom bytes go to."""
        return self.protocol

    def can_write_eof(self) -> bool:
        """No half-closed connections."""
        return False


class Network:
    """All listeners and connections of one world."""

    def __init__(self, loop: SimulationLoop) -> None:
        self._loop = loop
        self.listeners: dict[tuple[str, int], tuple[Callable[[], Any], Process | None]] = {}
        self._connections: list[tuple[Transport, Transport]] = []
        loop.listen = self._listen

    def _listen(self, factory: Callable[[], Any], host: str, port: int) -> Server:
        address = (host, port)
        listener = self.listeners.get(address)
        if listener is not None and listener[1] is not None and listener[1].state is not State.DEAD:
            raise OSError(98, f"{address} is in use")
        self.listeners[address] = (factory, current_process())
        return Server(self, address)

    def connect(self, host: str, port: int, protocol: Any) -> Transport:
        """Connect the caller's protocol; raises ConnectionRefused."""
        listener = self.listeners.get((host, port))
        if listener is None or (listener[1] is not None and listener[1].state is State.DEAD):
            raise ConnectionRefused(f"{host}:{port}")
        factory, process = listener
        near, far = Transport(self._loop, current_process()), Transport(self._loop, process)
        near.peer, far.peer, near.protocol = far, near, protocol
        self._connections = [pair for pair in self._connections if not pair[0].is_closing()]
        self._connections.append((near, far))
        far.call(_accept, factory, far)
        protocol.connection_made(near)
        return near

    def drop(self, process: Process) -> None:
        """Close what a dead process held."""
        for address, (_, owner) in list(self.listeners.items()):
            if owner is process:
                del self.listeners[address]
        for near, far in self._connections:
            for ours, theirs in ((near, far), (far, near)):
                if ours._process is process and not theirs.is_closing():
                    theirs.call(theirs.hang_up)

    def cut(self, choose: Callable[[int], int]) -> bool:
        """End one open connection on both sides; `choose` picks a number below how many there are."""
        living = [pair for pair in self._connections if not pair[0].is_closing()]
        if not living:
            return False
        for end in living[choose(len(living))]:
            end.call(end.hang_up)
        return True


def _accept(factory: Callable[[], Any], transport: Transport) -> None:
    transport.protocol = factory()
    transport.protocol.connection_made(transport)
