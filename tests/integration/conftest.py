"""What the tests of single adapters share: clients as the services open them, and ways to break their connections.

Every test that uses `topology` or `clients` runs on MiniStack and on LocalStack.
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from secrets import token_hex
from types import SimpleNamespace
from typing import Any
from urllib.parse import urlsplit

import pytest
from localstack_client.session import Session

from crossbook.backing import Backing
from crossbook.bootstrap import create_resources, endpoint
from exchange_adapters.aws import open_clients
from exchange_core.topology import Topology
from tests.integration.dropping_proxy import DroppingProxy
from tests.localstack.backing import LocalStackBacking

SERVICES = ("sqs", "kinesis", "dynamodb", "s3")
EMULATORS = {"ministack": "backing", "localstack": "localstack_backing"}
"""The fixture behind each."""
SPLITS_BADLY = "SplitShard deletes the parent with its records at once, instead of closing it until it is drained"
DIFFERENCES = {
    ("localstack", "test_an_expired_iterator_is_gone"): "answers 500 to an iterator that it never gave out",
    (
        "localstack",
        "test_a_receive_that_broke_off_is_asked_again_and_gets_the_same_messages_at_once",
    ): "passes the ReceiveRequestAttemptId over: what it gave to a connection that is gone waits for its visibility",
    ("ministack", "test_records_keep_their_order_through_a_split_and_a_merge"): SPLITS_BADLY,
    ("ministack", "test_the_stream_may_be_resharded_under_way"): SPLITS_BADLY,
}
"""(emulator, test) → what it does differently from Kinesis, SQS and so on: the test must fail there, and says so."""
HARMFUL = {"test_the_stream_may_be_resharded_under_way"}
"""Where it differs, such a test is not even tried: it would break what the next ones use."""


@pytest.fixture(scope="session", params=EMULATORS)
def emulator(request: pytest.FixtureRequest) -> Backing | LocalStackBacking:
    """The backing parts with one emulated cloud or the other."""
    opened: Backing | LocalStackBacking = request.getfixturevalue(EMULATORS[request.param])
    return opened


@pytest.fixture(autouse=True)
def differences(request: pytest.FixtureRequest) -> None:
    """Expect the failures that are the emulators' own."""
    parameters = getattr(request.node, "callspec", None)
    name = parameters.params.get("emulator") if parameters is not None else None
    if reason := DIFFERENCES.get((name, request.node.originalname)):
        is_tried = request.node.originalname not in HARMFUL
        request.applymarker(pytest.mark.xfail(reason=f"{name}: {reason}", strict=True, run=is_tried))


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
        variable = f"AWS_ENDPOINT_URL_{service.upper()}"
        async with (
            DroppingProxy(_port(emulator, service)).serving() as proxy,
            _opened(emulator.aws_environment | {variable: f"http://127.0.0.1:{proxy.port}"}) as through_proxy,
        ):
            yield proxy, through_proxy

    return opened


@pytest.fixture(scope="session")
def blocking_client(emulator: Backing | LocalStackBacking) -> Callable[[str], Any]:
    """Makes a plain boto3 client of a service, to look and meddle with from outside the exchange."""

    def client(service: str) -> Any:
        with pytest.MonkeyPatch.context() as patch:
            patch.delenv("AWS_ENDPOINT_URL", raising=False)  # it would take the place of the host named here
            session = Session("test", "test", localstack_host=f"127.0.0.1:{_port(emulator, service)}")
        return session.client(service)

    return client


Throttle = Callable[[str, float], Awaitable[None]]


@pytest.fixture
async def throttle(emulator: Backing | LocalStackBacking) -> AsyncIterator[Throttle]:
    """Sets a probability of LocalStack's, by its variable, with which it refuses calls; 0 again at the end."""
    if not isinstance(emulator, LocalStackBacking):
        pytest.skip("ministack: cannot be told to throttle")
    told: set[str] = set()

    async def tell(variable: str, probability: float) -> None:
        if not await emulator.localstack.tell(variable, probability):
            pytest.skip("localstack: was started without ENABLE_CONFIG_UPDATES=1, so it cannot be told to throttle")
        told.add(variable)

    yield tell
    for variable in told:
        await emulator.localstack.tell(variable, 0.0)


def _port(emulator: Backing | LocalStackBacking, service: str) -> int:
    port = urlsplit(endpoint(emulator.aws_environment, service)).port
    assert port is not None
    return port


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
