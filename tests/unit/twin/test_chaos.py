"""What a chaos run is made of: faults in an order of chance, a proxy that is slow and breaks off, silence measured."""

import asyncio
import signal
from contextlib import suppress
from itertools import islice
from random import Random

import pytest

from crossbook.chaos import faults as chaos_faults
from crossbook.chaos import load as chaos_load
from crossbook.chaos.faults import SERVICES, STORES, Fault, faults, inflict, kill_zone
from crossbook.chaos.load import Load, Pulse
from crossbook.chaos.proxy import ChaosProxy
from crossbook.clients.api_client import Account, ApiUnavailableError
from crossbook.services import ZONES, services
from crossbook.state import RunningProcess

KINDS = 2 * len(SERVICES) + 2 + 2 * len(STORES) + 1 + len(ZONES)


def process(name: str, *, zone: str = "", pid: int = 1) -> RunningProcess:
    return RunningProcess(name=name, pid=pid, started_at_s=0.0, port=0, restarts=0, zone=zone)


class Ground:
    def __init__(self, *processes: RunningProcess) -> None:
        self.processes = processes
        self.told: list[tuple[str, ...]] = []

    async def hold(self, *names: str) -> None:
        self.told.append(("hold", *names))

    async def resume(self, *names: str) -> None:
        self.told.append(("resume", *names))


@pytest.fixture
def signals(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, int]]:
    sent: list[tuple[int, int]] = []
    monkeypatch.setattr(chaos_faults.os, "kill", lambda pid, number: sent.append((pid, number)))
    return sent


def test_a_seed_gives_the_same_faults_again_and_every_kind_before_one_comes_twice() -> None:
    first = list(islice(faults(7), 2 * KINDS))
    assert first == list(islice(faults(7), 2 * KINDS))
    assert first != list(islice(faults(8), 2 * KINDS))
    for half in (first[:KINDS], first[KINDS:]):
        assert len({fault.name for fault in half}) == KINDS
    assert all(fault.for_s <= 30 for fault in first)


def test_only_the_named_faults_come_when_some_are_named() -> None:
    only = {fault.name for fault in islice(faults(7, ["kill gateway", "stop matcher"]), 10)}
    assert only == {"kill gateway", "stop matcher"}
    with pytest.raises(ValueError, match="kill gatweay"):
        next(faults(7, ["kill gateway", "kill gatweay"]))


async def test_two_calls_of_one_user_that_a_dead_gateway_lets_down_do_not_send_each_other_back_to_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(chaos_load, "PAUSE_S", (0.0, 0.0))
    load = Load(
        gateway_urls=("http://dead", "http://living"),
        websocket_urls=(),
        usernames=(),
        password="",
        random=Random(1),
    )
    dead, living = load._apis
    account = Account(api=dead, username="alice", password="", user_id="", token="")
    asked = []

    async def call() -> bool:
        gateway = account.api
        asked.append(gateway)
        await asyncio.sleep(0)  # the other one asks too, before this one knows
        if gateway is dead:
            raise ApiUnavailableError(0, "ClientConnectorError", "")
        return True

    assert await asyncio.gather(load._insist(account, call), load._insist(account, call)) == [True, True]
    assert asked == [dead, dead, living, living]


def test_instances_of_every_service_are_spread_over_two_zones_and_the_first_keep_their_names() -> None:
    zones = {service.name: service.zone for service in services(matchers=1, instances=2)}
    for name in ("gateway", "persister", "fanout"):
        assert (zones[name], zones[f"{name}-2"]) == ("a", "b")
    assert (zones["matcher-1"], zones["matcher-2"]) == ("a", "b")
    assert {service.name for service in services(matchers=2)} == {
        "gateway",
        "matcher-1",
        "matcher-2",
        "persister",
        "fanout",
    }


def test_a_zone_is_lost_whole_and_alone(signals: list[tuple[int, int]]) -> None:
    there = [process("gateway", zone="a", pid=2), process("fanout-2", zone="b", pid=3), process("redis", pid=4)]
    down = process("persister-2", zone="b", pid=0)
    assert kill_zone([*there, down], "b") == ["fanout-2"]
    assert signals == [(3, signal.SIGKILL)]


async def test_a_stopped_process_goes_on_even_when_the_run_is_broken_off(signals: list[tuple[int, int]]) -> None:
    fault = Fault(kind="stop", target="matcher", for_s=60.0)
    stopping = asyncio.create_task(inflict(fault, Ground(process("matcher-1", pid=5)), {}, Random(1)))
    await asyncio.sleep(0)
    assert signals == [(5, signal.SIGSTOP)]
    stopping.cancel()
    with pytest.raises(asyncio.CancelledError):
        await stopping
    assert signals == [(5, signal.SIGSTOP), (5, signal.SIGCONT)]


async def test_the_emulated_cloud_is_restarted_in_good_order_and_never_killed(signals: list[tuple[int, int]]) -> None:
    ground = Ground(process("aws", pid=2))
    await inflict(Fault(kind="restart", target="aws"), ground, {}, Random(1))
    assert (ground.told, signals) == ([("hold", "aws"), ("resume", "aws")], [])
    assert {fault.kind for fault in islice(faults(7), KINDS) if fault.target == "aws"} == {"restart", "delay", "reset"}


async def test_only_processes_of_the_service_are_killed(signals: list[tuple[int, int]]) -> None:
    ground = Ground(process("gateway", pid=2), process("gateway-2", pid=3), process("gate", pid=4), process("x", pid=5))
    for seed in range(20):
        await inflict(Fault(kind="kill", target="gateway"), ground, {}, Random(seed))
    assert {pid for pid, _ in signals} == {2, 3}


async def test_the_proxy_passes_bytes_on_and_breaks_off_when_told() -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while text := await reader.read(100):
            writer.write(text.upper())
        writer.close()

    store = await asyncio.start_server(answer, "127.0.0.1", 0)
    async with store, ChaosProxy(lambda: store.sockets[0].getsockname()[1]) as proxy:
        reader, writer = await asyncio.open_connection("127.0.0.1", proxy.port)
        writer.write(b"hello")
        assert await reader.read(100) == b"HELLO"
        proxy.delay_s = 0.05
        began_s = asyncio.get_running_loop().time()
        writer.write(b"slow")
        assert await reader.read(100) == b"SLOW"
        assert asyncio.get_running_loop().time() - began_s >= 0.1, "late both ways"
        proxy.reset()
        with suppress(ConnectionResetError):
            assert await reader.read(100) == b""
        writer.close()
        other_reader, other_writer = await asyncio.open_connection("127.0.0.1", proxy.port)
        other_writer.write(b"again")
        assert await other_reader.read(100) == b"AGAIN"
        other_writer.close()


def test_silence_counts_from_the_last_beat_before_to_the_first_one_after() -> None:
    pulse = Pulse([1.0, 2.0, 9.0, 10.0])
    assert pulse.longest_gap_s(3.0, 4.0) == 7.0
    assert pulse.longest_gap_s(9.5, 20.0) == 10.0
    assert Pulse().longest_gap_s(1.0, 5.0) == 4.0
