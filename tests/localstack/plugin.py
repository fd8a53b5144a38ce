"""The fixtures of LocalStack, and the line that says which LocalStack a run used."""

from collections.abc import AsyncIterator
from pathlib import Path

import localstack_client.session
import pytest

from crossbook.backing import Backing
from tests.localstack.backing import LocalStackBacking, open_localstack_backing
from tests.localstack.server import LocalStack, open_localstack

USED = pytest.StashKey[LocalStack]()
LOG = pytest.StashKey[Path]()
LOG_TAIL_LINES = 30


@pytest.fixture(scope="session")
async def localstack(
    tmp_path_factory: pytest.TempPathFactory, pytestconfig: pytest.Config
) -> AsyncIterator[LocalStack]:
    """The LocalStack of this run, ready, for the whole run."""
    directory = tmp_path_factory.mktemp("localstack")
    pytestconfig.stash[LOG] = directory / "localstack.log"
    async with open_localstack(directory) as opened:
        pytestconfig.stash[USED] = opened
        yield opened


@pytest.fixture(scope="session")
async def localstack_backing(backing: Backing, localstack: LocalStack) -> AsyncIterator[LocalStackBacking]:
    """What `backing` is, with SQS, Kinesis and S3 on LocalStack, and DynamoDB where it serves that."""
    async with open_localstack_backing(backing, localstack) as opened:
        yield opened


@pytest.fixture(scope="session")
def localstack_session(localstack: LocalStack) -> localstack_client.session.Session:
    """Makes blocking boto3 clients of LocalStack."""
    with pytest.MonkeyPatch.context() as environment:
        environment.delenv("AWS_ENDPOINT_URL", raising=False)  # it would take the place of the host named here
        return localstack_client.session.Session("test", "test", localstack_host=f"127.0.0.1:{localstack.port}")


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, exitstatus: int, config: pytest.Config) -> None:
    """Say which LocalStack was used and, after failures, what it last logged."""
    used, log = config.stash.get(USED, None), config.stash.get(LOG, None)
    if used is not None:
        terminalreporter.write_line(f"LocalStack: {used}")
    if exitstatus and log is not None and log.exists():
        terminalreporter.section(f"the end of {log}")
        for line in log.read_text(errors="replace").splitlines()[-LOG_TAIL_LINES:]:
            terminalreporter.write_line(line)
