"""Wherever a service dies, before or after a write, nothing that was promised is lost; without the sweeper it is."""

import sys
from collections.abc import AsyncIterator
from dataclasses import replace
from functools import partial

import pytest

from crossbook.clients.api_client import ApiClient, ApiUnavailableError
from crossbook.twin import Twin
from tests.chaos.kill_points import OPTIONS, POINTS, Chronicle, Flow, arming, audit, die_everywhere, start_armed
from tests.eventually import eventually

FIRST = 1
PATIENTLY_S = 15.0
"""A sweeper sends again what is older than three seconds."""
WITHOUT_SWEEPER = """
import asyncio
from exchange_gateway.trading import sweeper
from exchange_gateway.__main__ import main

async def never(self):
    await asyncio.Event().wait()

sweeper.Sweeper.run = never
main()
"""


@pytest.fixture(scope="module")
def chronicle() -> Chronicle:
    return Chronicle()


@pytest.fixture(scope="module")
async def twin(tmp_path_factory: pytest.TempPathFactory, chronicle: Chronicle) -> AsyncIterator[Twin]:
    """One of its own: with a single matcher."""
    async with Twin(tmp_path_factory.mktemp("killed"), OPTIONS, report=chronicle.hear) as started:
        yield started


async def test_a_service_may_die_at_any_of_its_writes(twin: Twin, chronicle: Chronicle) -> None:
    points = [(service, point, FIRST) for service, point in POINTS]
    deaths = await die_everywhere(twin, chronicle, points, report=lambda _: None, audits_each=False)
    assert [death.point for death in deaths if not death.is_killed] == []
    assert [difference for death in deaths for difference in death.differences] == []


async def test_without_a_sweeper_a_promised_order_is_lost(twin: Twin, chronicle: Chronicle) -> None:
    """The ablation: the gateway dies between the promise and the queue, its client too, and nobody sends what it
    promised. With the sweeper back the order comes into the book."""
    gateway = twin.backing.supervisor.find("gateway")
    whole = gateway.spec
    gateway.spec = replace(whole, command=(sys.executable, "-c", WITHOUT_SWEEPER))
    await start_armed(twin, "gateway", arming("commands.send.before", FIRST))
    async with ApiClient(twin.gateway_url) as api:
        flow = await Flow.begin(twin, api)
        begun = len(chronicle.said)
        order = {"symbol": "BTCUSDT", "type": "limit", "side": "buy", "price": "45000", "quantity": "0.001"}
        with pytest.raises(ApiUnavailableError):
            await flow.bob.place(**order, client_order_id="promised")
        await eventually(lambda: chronicle.find("gateway is back", after=begun), timeout_s=60)
        promised = await flow.bob.call("GET", "/api/v1/order/by-client-id/promised")
        assert promised["status"] == "accepted"
        with pytest.raises(AssertionError):
            await eventually(partial(flow.is_over, promised["order_id"], "open"), timeout_s=PATIENTLY_S)
        gateway.spec = whole
        twin.kill("gateway")
        await eventually(partial(flow.is_over, promised["order_id"], "open"), timeout_s=60)
    assert await audit(twin) == ()
