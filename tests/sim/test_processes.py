"""Killing and pausing on a virtual-time loop: what runs, what never does, and what the network shows of it."""

import asyncio
import gc
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from exchange_adapters.sim.virtual_time import DeadlockError, run_virtual
from simulation.machines.network import ConnectionRefused, Network
from simulation.machines.processes import SimulationLoop
from simulation.machines.remote import Remote


def run(scenario: Callable[[SimulationLoop], Coroutine[Any, Any, None]]) -> None:
    loop = SimulationLoop()
    try:
        loop.run_until_complete(scenario(loop))
    finally:
        loop.dispose()


def test_a_killed_process_runs_none_of_its_cleanup():
    seen: list[str] = []

    async def main() -> None:
        try:
            seen.append("begun")
            await asyncio.sleep(5)
            seen.append("slept")
        finally:
            seen.append("cleaned up")

    async def scenario(loop: SimulationLoop) -> None:
        process = loop.process("victim")
        process.start(main())
        await asyncio.sleep(1)
        process.kill()
        await asyncio.sleep(60)
        assert seen == ["begun"]

    run(scenario)
    assert seen == ["begun", "cleaned up"], "after the end of the world nothing is left over"


def test_a_killed_process_runs_no_cleanup_of_a_task_that_nobody_holds_any_more():
    """GIVEN a task made past the loop, as aiohttp makes them WHEN its process is killed and all forget it THEN it is
    not collected as garbage, which would end it by GeneratorExit."""
    seen: list[str] = []

    class Connection:
        handler: asyncio.Task[None] | None = None

    async def handle() -> None:
        try:
            await asyncio.get_running_loop().create_future()
        finally:
            seen.append("cleaned up")

    async def serve(connection: Connection) -> None:
        connection.handler = asyncio.Task(handle(), loop=asyncio.get_running_loop())
        await asyncio.sleep(60)

    async def scenario(loop: SimulationLoop) -> None:
        connection = Connection()
        process = loop.process("victim")
        process.start(serve(connection))
        await asyncio.sleep(1)
        process.kill()
        connection.handler = None
        gc.collect()
        await asyncio.sleep(1)
        assert seen == []

    run(scenario)
    assert seen == ["cleaned up"]


def test_a_paused_process_goes_on_late_and_in_order():
    seen: list[tuple[float, str]] = []

    async def main() -> None:
        loop = asyncio.get_running_loop()
        for step in ("one", "two", "three"):
            await asyncio.sleep(1)
            seen.append((loop.time(), step))

    async def scenario(loop: SimulationLoop) -> None:
        process = loop.process("sleeper")
        task = process.start(main())
        await asyncio.sleep(1.5)
        process.pause()
        await asyncio.sleep(10)
        process.wake()
        await task
        assert seen == [(1.0, "one"), (11.5, "two"), (12.5, "three")]

    run(scenario)


def test_what_a_killed_process_sent_still_takes_effect():
    written: list[str] = []

    class Store:
        async def write(self, value: str) -> None:
            await asyncio.sleep(1)
            written.append(value)

    async def scenario(loop: SimulationLoop) -> None:
        process = loop.process("sender")
        remote = Remote(Store(), "sender", lambda *_: None)
        process.start(remote.write("late"))
        await asyncio.sleep(0.5)
        process.kill()
        await asyncio.sleep(1)
        assert written == ["late"]

    run(scenario)


class Recorder(asyncio.Protocol):
    def __init__(self, seen: list[str]) -> None:
        self._seen = seen

    def data_received(self, data: bytes) -> None:
        self._seen.append(data.decode())

    def connection_lost(self, _: Exception | None) -> None:
        self._seen.append("lost")


def test_a_connection_ends_with_the_process_that_holds_it():
    at_client: list[str] = []
    at_server: list[str] = []

    async def serve() -> None:
        await asyncio.get_running_loop().create_server(lambda: Recorder(at_server), "server", 80)
        await asyncio.sleep(3_600)

    async def scenario(loop: SimulationLoop) -> None:
        network = Network(loop)
        process = loop.process("server", lambda: network.drop(process))
        process.start(serve())
        await asyncio.sleep(1)
        network.connect("server", 80, Recorder(at_client)).write(b"hello")
        await asyncio.sleep(1)
        assert at_server == ["hello"]
        process.kill()
        await asyncio.sleep(1)
        assert (at_server, at_client) == (["hello"], ["lost"])
        with pytest.raises(ConnectionRefused):
            network.connect("server", 80, Recorder(at_client))

    run(scenario)


def test_running_in_circles_is_noticed():
    async def circle() -> None:
        while True:
            await asyncio.sleep(0)

    with pytest.raises(DeadlockError, match="circles"):
        run_virtual(circle())
