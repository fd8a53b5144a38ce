"""What the tests of the whole exchange share."""

from collections.abc import AsyncIterator

import pytest

from crossbook.twin import Twin
from tests.e2e.access_world import AccessWorld, open_access_world


@pytest.fixture(scope="session")
async def access_world(twin: Twin) -> AsyncIterator[AccessWorld]:
    """Two strangers on it: what she has, and what he tries."""
    async with open_access_world(twin) as opened:
        yield opened
