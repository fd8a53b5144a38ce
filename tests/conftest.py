"""What tests of more than one process share: the backing parts, and a whole private exchange."""

from collections.abc import AsyncIterator

import pytest

from crossbook.site import Site
from crossbook.twin import Backing, Twin, TwinOptions

pytest_plugins = ("tests.localstack.plugin",)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--promises", type=int, default=0, help="how many orders tests/acceptance looks up at once")


@pytest.fixture(scope="session")
async def backing(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Backing]:
    """PostgreSQL, Redis and MiniStack on free ports, for the whole run; `await backing.create_site()` for a place."""
    async with Backing(tmp_path_factory.mktemp("backing"), durable=False) as started:
        yield started


@pytest.fixture
async def site(backing: Backing) -> Site:
    """A place of its own for one test: fresh names in the cloud, migrated database, empty Redis, a user pool."""
    return await backing.create_site()


@pytest.fixture(scope="session")
async def twin(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Twin]:
    """The whole exchange on free ports, seeded, for the whole run."""
    async with Twin(tmp_path_factory.mktemp("twin"), TwinOptions.private()) as started:
        yield started
