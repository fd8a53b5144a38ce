"""Wherever a service dies, before or after a write, nothing that was accepted is lost; without the sweeper it is."""

import sys
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest

from crossbook.api_client import ApiClient
from crossbook.twin import Twin
from tests.chaos.kill_points import OPTIONS, POINTS, Chronicle, Flow, arming, audit, die_everywhere, start_armed
from tests.eventually import eventually

FIRST = 1
WITHOUT_SWEEPER = """
import asyncio
from exchange_gateway import sweeper
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


async def test_without_a_sweeper_an_accepted_order_is_lost(twin: Twin, chronicle: Chronicle) -> None:
    """The ablation: the gateway dies between the promise and the queue, and nobody sends what it promised."""
    gateway = twin.backing.supervisor.find("gateway")
    whole = gateway.spec
    gateway.spec = replace(whole, command=(sys.executable, "-c", WITHOUT_SWEEPER))
    await start_armed(twin, chronicle, "gateway", arming("commands.send.before", FIRST))
    begun = len(chronicle.said)
    async with ApiClient(twin.gateway_url) as api:
        flow = await Flow.begin(twin, api)
        terms = {"symbol": "BTCUSDT", "type": "limit", "side": "buy", "price": "45000", "quantity": "0.001"}
        placed = await flow.place(flow.bob, "canceled", **terms)
        await eventually(lambda: chronicle.find("gateway is back", after=begun), timeout_s=60)
        differences = await audit(twin, patience_s=10.0)
        assert any("intent" in difference or "still come in" in difference for difference in differences), differences
        gateway.spec = whole
        twin.kill("gateway")
        await eventually(lambda: flow.is_over(placed, "open"), timeout_s=60)
    assert await audit(twin) == ()
