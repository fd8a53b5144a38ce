"""The fixtures of LocalStack, and the line that says which LocalStack a run used."""

from collections.abc import AsyncIterator
from pathlib import Path

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


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, exitstatus: int, config: pytest.Config) -> None:
    """Say which LocalStack was used, what differed, what was skipped and, after failures, what it logged last."""
    used, log = config.stash.get(USED, None), config.stash.get(LOG, None)
    if used is not None:
        terminalreporter.write_line(f"LocalStack: {used}")
    for report in terminalreporter.stats.get("xfailed", ()):
        terminalreporter.write_line(f"known difference: {report.wasxfail} ({report.nodeid})")
    for report in terminalreporter.stats.get("skipped", ()):
        _, _, reason = report.longrepr
        terminalreporter.write_line(f"{reason} ({report.nodeid})")
    if exitstatus and log is not None and log.exists():
        terminalreporter.section(f"the end of {log}")
        for line in log.read_text(errors="replace").splitlines()[-LOG_TAIL_LINES:]:
            terminalreporter.write_line(line)
