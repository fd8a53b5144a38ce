"""The persister as a whole on simulated parts: it comes up, says so, settles, and stops in good order."""

import asyncio
import socket
from contextlib import suppress
from random import Random

import aiohttp
import pytest
from pydantic import SecretStr, ValidationError

from exchange_adapters.sim import Faults, SimCloud
from exchange_core.codec import encode_slot
from exchange_persister.app import Ports, run
from exchange_persister.config import Config
from tests.eventually import eventually
from tests.unit.persister.journals import RandomMarket
from tests.unit.persister.test_apply import assert_exact


async def status_of(port: int, path: str) -> int:
    async with aiohttp.ClientSession() as http:
        with suppress(aiohttp.ClientError):
            async with http.get(f"http://127.0.0.1:{port}{path}") as response:
                return response.status
    return 0


async def test_it_comes_up_settles_and_stops() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    config = Config(database_url=SecretStr("postgresql://not.used"), http_port=port, poll_interval_s=0.01)
    faults = Faults()
    cloud = SimCloud.build(faults=faults)
    slots = RandomMarket(Random(1)).slots(20)
    ports = Ports(
        clock=cloud.projections._clock,
        source=cloud.stream,
        projections=cloud.projections,
        wallets=cloud.wallets,
        history=cloud.history,
        publisher=cloud.redis,
    )
    stopping = asyncio.Event()
    faults.script("database.checkpoints", ["before", "before"])
    async with asyncio.timeout(20), asyncio.TaskGroup() as group:
        group.create_task(run(config, ports, stopping))
        await eventually(lambda: _answers(port, "/readyz", 200))
        assert await status_of(port, "/healthz") == 200
        for slot in slots:
            await cloud.stream.append(slot.partition, encode_slot(slot))
        await eventually(lambda: len(cloud.projections.recorded(0)) == 20)
        faults.down("wallets")
        late = RandomMarket(Random(2), partition=1, symbol="ETHUSD").slot()
        await cloud.seen_by(Faults()).stream.append(1, encode_slot(late))
        await eventually(lambda: _answers(port, "/readyz", 503))
        faults.up()
        await eventually(lambda: _answers(port, "/readyz", 200))
        stopping.set()
    assert_exact(cloud, slots, [late])


async def _answers(port: int, path: str, status: int) -> bool:
    return await status_of(port, path) == status


def test_a_database_must_be_named_and_is_never_printed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DATABASE_URL", raising=False)
    with pytest.raises(ValidationError, match="database_url"):
        Config()
    monkeypatch.setenv("DATABASE_URL", "postgresql://persister:hidden-word@db/exchange")
    assert "hidden-word" not in str(Config()) + str(Config().model_dump(mode="json"))
