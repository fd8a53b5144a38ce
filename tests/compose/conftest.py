"""One exchange in containers for all tests of this folder, or the reason why there is none."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.compose.exchange import ContainerExchange, end_strays, why_not


@pytest.fixture(scope="session")
async def exchange(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[ContainerExchange]:
    """Started by `docker compose up --wait` from a copy of the tree; removed with its volumes and images at the end."""
    reason = await why_not()
    if reason is not None:
        pytest.skip(f"no exchange in containers: {reason}")
    await end_strays()
    exchange = ContainerExchange(copy_to=Path(tmp_path_factory.mktemp("clone")))
    try:
        await exchange.compose("up", "--wait")
        yield exchange
    finally:
        await exchange.remove()
