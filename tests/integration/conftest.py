"""What the tests of single adapters share: clients as the services open them, and ways to break their connections.

Every test that uses `topology` or `clients` runs on MiniStack and on LocalStack.
"""

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from secrets import token_hex
from types import SimpleNamespace
from urllib.parse import urlsplit

import pytest

from crossbook.backing import Backing
from crossbook.bootstrap import create_resources
from exchange_adapters.aws import open_clients
from exchange_core.topology import Topology
from tests.integration.dropping_proxy import DroppingProxy
from tests.localstack.backing import LocalStackBacking

SERVICES = ("sqs", "kinesis", "dynamodb", "s3")
EMULATORS = {"ministack": "backing", "localstack": "localstack_backing"}
"""The fixture behind each."""


@pytest.fixture(scope="session", params=EMULATORS)
def emulator(request: pytest.FixtureRequest) -> Backing | LocalStackBacking:
    """The backing parts with one emulated cloud or the other."""
    opened: Backing | LocalStackBacking = request.getfixturevalue(EMULATORS[request.param])
    return opened


@pytest.fixture(scope="session")
async def topology(emulator: Backing | LocalStackBacking) -> Topology:
    """Names of the adapters' tests in the emulated cloud; tests keep apart by fresh users and partitions."""
    names = Topology(prefix=f"adapters-{token_hex(3)}")
    await create_resources(emulator.cloud, names)
    return names


@pytest.fixture(scope="session")
async def clients(emulator: Backing | LocalStackBacking) -> AsyncIterator[SimpleNamespace]:
    """Clients as the services open them."""
    async with _opened(emulator.aws_environment) as opened:
        yield opened


ProxiedClients = Callable[[str], AbstractAsyncContextManager[tuple[DroppingProxy, SimpleNamespace]]]


@pytest.fixture
def proxied_clients(emulator: Backing | LocalStackBacking) -> ProxiedClients:
    """Opens clients, of which those of one service reach it through a proxy that can break their connections off."""

    @asynccontextmanager
    async def opened(service: str) -> AsyncIterator[tuple[DroppingProxy, SimpleNamespace]]:
        environment = emulator.aws_environment
        variable = f"AWS_ENDPOINT_URL_{service.upper()}"
        port = urlsplit(environment.get(variable, environment["AWS_ENDPOINT_URL"])).port
        assert port is not None
        async with (
            DroppingProxy(port).serving() as proxy,
            _opened(environment | {variable: f"http://127.0.0.1:{proxy.port}"}) as through_proxy,
        ):
            yield proxy, through_proxy

    return opened


@asynccontextmanager
async def _opened(environment: Mapping[str, str]) -> AsyncIterator[SimpleNamespace]:
    """The SDK reads its variables when a client is made, so they need to stand no longer than that."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in environment.items():
            patch.setenv(name, value)
        opening = open_clients(*SERVICES)
        opened = await opening.__aenter__()
    try:
        yield opened
    finally:
        await opening.__aexit__(None, None, None)
