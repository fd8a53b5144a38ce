"""The gateway as a process of its own, on PostgreSQL, Redis and MiniStack: log-in, hold, intent, queue, stop."""

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import aiohttp
import orjson
import pytest

from crossbook.bootstrap import OPERATORS_GROUP
from crossbook.site import Site
from crossbook.twin import Backing
from exchange_adapters.aws import open_clients
from exchange_adapters.dynamodb_wallets import DynamoWalletHolds, DynamoWalletSettlement
from exchange_adapters.postgres import PostgresProjections, open_pool
from exchange_adapters.sqs import SqsCommandSource
from exchange_core.codec import Slot, decode_commands
from exchange_core.commands import CancelOrder, PlaceOrder
from exchange_core.events import InstrumentListed
from exchange_core.instruments import Instrument
from tests.eventually import eventually
from tests.unit.gateway.support import free_port

PASSWORD = "Correct-horse-1"
INSTRUMENT = Instrument(
    symbol="BTCUSD",
    base="BTC",
    quote="USD",
    base_decimals=8,
    quote_decimals=2,
    tick_size=Decimal("0.01"),
    lot_size=Decimal(1),
    min_quantity=1,
    max_quantity=1_000,
    min_notional=0,
    maker_fee_bps=10,
    taker_fee_bps=20,
    band_bps=10_000,
    reference_price=10_000,
    partition=1,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Process:
    """A running gateway and the other ends of what it is connected to."""

    url: str
    http: aiohttp.ClientSession
    process: asyncio.subprocess.Process
    source: SqsCommandSource
    holds: DynamoWalletHolds
    settlement: DynamoWalletSettlement

    async def call(self, method: str, path: str, body: Any = None, token: str = "") -> tuple[int, Any]:
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        data = None if body is None else orjson.dumps(body)
        async with self.http.request(method, self.url + path, data=data, headers=headers) as response:
            text = await response.read()
            return response.status, orjson.loads(text) if text else None

    async def log_in(self, username: str) -> tuple[str, str]:
        """(user id, token)."""
        status, answer = await self.call("POST", "/api/v1/sessions", {"username": username, "password": PASSWORD})
        assert status == 201, answer
        return answer["user_id"], answer["access_token"]


@pytest.fixture
async def gateway(site: Site) -> AsyncIterator[Process]:
    async with listed(site), running(site) as process:
        yield process


@asynccontextmanager
async def listed(site: Site) -> AsyncIterator[None]:
    """What a persister would have left behind: one listed instrument."""
    async with open_pool(site.database_url) as pool, PostgresProjections(pool).begin(1) as projection:
        event = InstrumentListed(
            seq=1, symbol=INSTRUMENT.symbol, cause=1, instrument=INSTRUMENT, operator_id="operator"
        )
        await projection.record([Slot(partition=1, n=1, at_ms=1, fed_through=0, writer="test", events=(event,))])
    yield


@asynccontextmanager
async def running(site: Site) -> AsyncIterator[Process]:
    port = free_port()
    environment = {"PATH": os.environ["PATH"], **site.environment, "HTTP_PORT": str(port), "NO_PROXY": "127.0.0.1"}
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "exchange_gateway", env=environment, stdout=asyncio.subprocess.DEVNULL
    )
    with pytest.MonkeyPatch.context() as patch:
        for name, value in site.aws.items():
            patch.setenv(name, value)
        opening = open_clients("sqs", "dynamodb")
        clients = await opening.__aenter__()
    try:
        async with aiohttp.ClientSession() as http:
            started = Process(
                url=f"http://127.0.0.1:{port}",
                http=http,
                process=process,
                source=SqsCommandSource(clients.sqs, site.topology),
                holds=DynamoWalletHolds(clients.dynamodb, site.topology),
                settlement=DynamoWalletSettlement(clients.dynamodb, site.topology),
            )

            async def is_ready() -> bool:
                try:
                    return (await started.call("GET", "/readyz"))[0] == 200
                except aiohttp.ClientConnectionError:
                    return False

            await eventually(is_ready, timeout_s=20)
            yield started
    finally:
        if process.returncode is None:
            process.send_signal(signal.SIGTERM)
        await asyncio.wait_for(process.wait(), 15)
        await opening.__aexit__(None, None, None)


async def test_an_order_goes_from_sign_up_to_the_queue(gateway: Process) -> None:
    status, user = await gateway.call("POST", "/api/v1/users", {"username": "dora", "password": PASSWORD})
    assert (status, user["status"]) == (201, "confirmed")
    user_id, token = await gateway.log_in("dora")
    assert user_id == user["user_id"]
    await gateway.settlement.settle(user_id, "USD", 1, first=1, last=1, available=100_000, held=0)
    order = {
        "symbol": "BTCUSD",
        "side": "buy",
        "type": "limit",
        "price": 100.5,
        "quantity": "2",
        "client_order_id": "first",
    }
    status, placed = await gateway.call("POST", "/api/v1/order", order, token)
    assert (status, placed["status"]) == (202, "accepted"), placed
    assert await gateway.call("POST", "/api/v1/order", order, token) == (202, placed)
    status, clash = await gateway.call("POST", "/api/v1/order", order | {"quantity": 3}, token)
    assert (status, clash["code"]) == (409, "duplicate_client_order_id")
    status, short = await gateway.call("POST", "/api/v1/order", order | {"quantity": 9, "client_order_id": "b"}, token)
    assert (status, short["code"], short["available"]) == (422, "insufficient_funds", "799")
    assert await gateway.call("GET", "/api/v1/balances", token=token) == (
        200,
        {"balances": [{"asset": "USD", "available": 799, "held": 201, "total": 1000}]},
    )
    for path in (placed["order_id"], "by-client-id/first"):
        status, seen = await gateway.call("GET", f"/api/v1/order/{path}", token=token)
        assert (status, seen["order_id"], seen["status"], seen["price"]) == (200, placed["order_id"], "accepted", 100.5)
    assert (await gateway.call("DELETE", f"/api/v1/order/{placed['order_id']}", token=token))[0] == 202
    commands = []

    async def is_all_there() -> bool:
        for delivery in await gateway.source.receive(1, 1.0):
            commands.extend(decode_commands(delivery.body))
            await gateway.source.delete(1, [delivery.receipt])
        return any(isinstance(command, CancelOrder) for command in commands)

    await eventually(is_all_there)
    assert isinstance(commands[0], PlaceOrder) and commands[0].hold == 20_100
    assert {str(command.order_id) for command in commands} == {placed["order_id"]}


async def test_a_log_out_holds_and_roles_come_from_the_directory(
    gateway: Process, backing: Backing, site: Site
) -> None:
    assert site.user_pool is not None
    for username in ("eve", "olga"):
        await gateway.call("POST", "/api/v1/users", {"username": username, "password": PASSWORD})
    await backing.cloud.cognito.admin_add_user_to_group(
        UserPoolId=site.user_pool.user_pool_id, Username="olga", GroupName=OPERATORS_GROUP
    )
    eve_id, eve = await gateway.log_in("eve")
    _, olga = await gateway.log_in("olga")
    deposit = {"user_id": eve_id, "asset": "USD", "amount": "10.50", "transfer_id": "t-1"}
    assert (await gateway.call("POST", "/api/v1/admin/deposits", deposit, eve))[1]["code"] == "forbidden"
    status, answer = await gateway.call("POST", "/api/v1/admin/deposits", deposit, olga)
    assert status == 202
    assert await gateway.call("POST", "/api/v1/admin/deposits", deposit, olga) == (202, answer)
    assert (await gateway.call("DELETE", "/api/v1/sessions", token=eve))[0] == 204
    status, refused = await gateway.call("GET", "/api/v1/balances", token=eve)
    assert (status, refused["code"]) == (401, "session_revoked")
    status, wrong = await gateway.call("POST", "/api/v1/sessions", {"username": "eve", "password": "nonsense"})
    assert (status, wrong["code"]) == (401, "invalid_credentials")
    status, taken = await gateway.call("POST", "/api/v1/users", {"username": "eve", "password": PASSWORD})
    assert (status, taken["code"]) == (409, "username_taken")


async def test_a_stop_is_clean(gateway: Process) -> None:
    gateway.process.send_signal(signal.SIGTERM)
    assert await asyncio.wait_for(gateway.process.wait(), 15) == 0
