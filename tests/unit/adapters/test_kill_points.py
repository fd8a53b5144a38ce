"""Every write of every port has its two kill points, and the process ends at the one that is named, nowhere else."""

import inspect
import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import pytest

from exchange_adapters import kill_points
from exchange_adapters.kill_points import WRITES, with_kill_point
from exchange_core import ports
from exchange_core.ports import JournalReader, JournalWriter, Projections

ONLY_READ = {"DatabaseReader", "SettledRows"}
READS = {
    "ApiKeyStore": {"get", "of_user"},
    "Clock": {"now_ms"},
    "CommandSource": {"receive"},
    "ExecutionSource": {"shards", "iterator", "read"},
    "HistoryReader": {"spans", "get"},
    "JournalReader": {"read"},
    "LeaseStore": {"holder"},
    "MarketCache": {"get"},
    "MessageSource": {"subscribe", "unsubscribe", "messages"},
    "Projection": {"record", "checkpoint"},  # within the transaction whose commit has the points
    "Projections": {"checkpoints", "tickers"},
    "SessionStore": {"get"},
    "SnapshotStore": {"latest"},
    "WalletHolds": {"balances", "intent", "intent_by_client_id", "pending"},
    "WalletReader": {"all_pending", "wallet"},
    "WalletRestore": {"all_pending"},
}
"""What needs no kill point."""


def port_classes() -> list[type]:
    named = [getattr(ports, name) for name in ports.__all__]
    return [one for one in named if inspect.isclass(one) and getattr(one, "_is_protocol", False)]


@pytest.mark.parametrize("port", port_classes(), ids=lambda port: port.__name__)
def test_every_method_of_a_port_either_reads_or_has_kill_points(port: type) -> None:
    methods = {name for name, member in vars(port).items() if callable(member) and not name.startswith("_")}
    if port.__name__ not in ONLY_READ:
        assert methods == READS.get(port.__name__, set()) | set(WRITES.get(port, ()))


class Journal(JournalWriter, JournalReader):
    def __init__(self) -> None:
        self.slots: dict[int, bytes] = {}

    async def put(self, partition: int, n: int, data: bytes) -> None:
        self.slots[n] = data or bytes(partition)

    async def read(self, partition: int, after: int, limit: int) -> list[tuple[int, bytes]]:
        return [(n, data) for n, data in self.slots.items() if n > after][: limit + partition]


class Database(Projections):
    def __init__(self) -> None:
        self.committed = 0

    @asynccontextmanager
    async def begin(self, partition: int) -> AsyncIterator[Any]:
        assert not partition
        yield self
        self.committed += 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Ports:
    journal: Journal
    database: Database


class KilledError(Exception):
    """Stands for the end of the process."""


@pytest.fixture
def made() -> Ports:
    return Ports(journal=Journal(), database=Database())


@pytest.fixture(autouse=True)
def deadly(monkeypatch: pytest.MonkeyPatch) -> None:
    def kill(pid: int, number: int) -> None:
        assert (pid, number) == (os.getpid(), signal.SIGKILL)
        raise KilledError

    monkeypatch.setattr(kill_points.os, "kill", kill)


def test_the_points_of_a_service_are_those_of_its_ports() -> None:
    assert kill_points.kill_points(Ports) == (
        "journal.put.before",
        "journal.put.after",
        "database.begin.before",
        "database.begin.after",
    )


def test_without_the_variable_the_ports_stay_as_they_are(made: Ports, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("KILL_AT", raising=False)
    assert with_kill_point(made) is made


@pytest.mark.parametrize(("moment", "written"), [("before", 1), ("after", 2)])
async def test_the_process_ends_at_the_passing_that_is_named(
    made: Ports, monkeypatch: pytest.MonkeyPatch, moment: str, written: int
) -> None:
    monkeypatch.setenv("KILL_AT", f"journal.put.{moment}:2")
    armed = with_kill_point(made)
    await armed.journal.put(0, 1, b"one")
    assert await armed.journal.read(0, 0, 10) == [(1, b"one")]
    with pytest.raises(KilledError):
        await armed.journal.put(0, 2, b"two")
    assert len(made.journal.slots) == written


@pytest.mark.parametrize(("moment", "committed"), [("before", 0), ("after", 1)])
async def test_of_a_transaction_the_commit_counts(
    made: Ports, monkeypatch: pytest.MonkeyPatch, moment: str, committed: int
) -> None:
    monkeypatch.setenv("KILL_AT", f"database.begin.{moment}:1")
    armed = with_kill_point(made)
    with pytest.raises(KilledError):
        async with armed.database.begin(0) as transaction:
            assert transaction is made.database
    assert made.database.committed == committed


@pytest.mark.parametrize("setting", ["journal.put.before", "journal.put.before:0", "journal.read.before:1", "x:1"])
def test_a_point_that_does_not_exist_is_refused(made: Ports, monkeypatch: pytest.MonkeyPatch, setting: str) -> None:
    monkeypatch.setenv("KILL_AT", setting)
    with pytest.raises(ValueError, match="KILL_AT"):
        with_kill_point(made)
