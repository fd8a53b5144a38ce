"""The stage of all scenarios: one private exchange for the whole run."""

from collections.abc import AsyncIterator

import pytest

from crossbook.twin import Twin
from tests.acceptance.exchange import entered
from tests.acceptance.stage import Stage


@pytest.fixture(scope="session")
async def stage(twin: Twin, request: pytest.FixtureRequest) -> AsyncIterator[Stage]:
    scenarios = [item.obj.scenario for item in request.session.items if hasattr(item.obj, "scenario")]
    async with entered(twin) as exchange:
        stage = Stage(exchange, twin, request.config, scenarios)
        stage.start()
        yield stage
        await stage.stop()
