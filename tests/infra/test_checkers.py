"""cdk-nag, cfn-lint and checkov over all templates: nothing is found that is not fixed or explained.

cdk-nag is part of every synth. The two others take longer than all else, so they read prod's templates side by side,
and while dev's are made.
"""

import json
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, closing
from pathlib import Path

import pytest

from tests.infra.assembly import CHECKOV, INFRA_BIN, Assembly, infra_environment

CHECK_TIMEOUT_S = 300.0

CFN_LINT_IGNORED = {
    "W3005": "a dependency that a reference implies is written down by the CDK itself",
    "W3010": "the zones are named, so that no synth has to ask which there are",
}
CHECKOV_OPTIONS = ("--framework", "cloudformation", "--compact", "--quiet", "--skip-download", "--output", "json")
CHECKOV_ACCEPTED = {
    ("CKV_AWS_18", "buckets.Logs"): "the bucket of access logs would log its own logging",
    ("CKV_AWS_18", "replica.Logs"): "the bucket of access logs would log its own logging",
    ("CKV_AWS_86", "edge.Distribution"): "logged by a delivery to CloudWatch; the older logs need a bucket with ACLs",
    ("CKV_AWS_111", "persister.FunctionRoleDefaultPolicy"): "network interfaces and X-Ray know no resources",
    ("CKV_AWS_115", "persister.Function"): "a shard invokes it once at a time: the shards are its limit",
    ("CKV_AWS_116", "persister.Function"): "a batch is never given up, so nothing can go into a dead-letter queue",
    ("CKV_AWS_120", "api.UsersDeploymentStage"): "what it answers is of now and of one user",
    ("CKV_AWS_120", "api.BotsDeploymentStage"): "what it answers is of now and of one user",
    ("CKV_AWS_173", "persister.Function"): "its variables are names and addresses, none is a secret",
}
"""(check, stack.resource) → why it stays; the hash at a logical id's end is left out."""


class Check:
    """A checker under way on the templates of one environment."""

    def __init__(self, home: Path, *command: str | Path) -> None:
        self._said = home / "said"
        self._complained = home / "complained"
        with self._said.open("wb") as said, self._complained.open("wb") as complained:
            self._process = subprocess.Popen(
                command, env=infra_environment(HOME=str(home)), cwd=home, stdout=said, stderr=complained
            )

    def result(self) -> tuple[int, str, str]:
        """Its exit status and what it wrote, when it is done."""
        status = self._process.wait(CHECK_TIMEOUT_S)
        return status, self._said.read_text(), self._complained.read_text()

    def close(self) -> None:
        self._process.kill()
        self._process.wait()


@pytest.fixture(scope="module")
def checks(prod: Assembly, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mapping[str, Check]]:
    templates = sorted(prod.directory.glob("*.template.json"))
    commands: dict[str, list[str | Path]] = {
        "checkov": [CHECKOV, "--directory", prod.directory, *CHECKOV_OPTIONS],
        "cfn-lint": [INFRA_BIN / "cfn-lint", "--ignore-checks", *CFN_LINT_IGNORED, "--template", *templates],
    }
    with ExitStack() as stack:
        yield {
            name: stack.enter_context(closing(Check(tmp_path_factory.mktemp(name), *command)))
            for name, command in commands.items()
        }


def test_cfn_lint_finds_nothing(checks: Mapping[str, Check]) -> None:
    status, said, complained = checks["cfn-lint"].result()
    assert status == 0, said + complained


def test_checkov_finds_what_is_explained_and_nothing_else(prod: Assembly, checks: Mapping[str, Check]) -> None:
    _, said, complained = checks["checkov"].result()
    assert said, complained
    report = json.loads(said)
    assert report["summary"]["parsing_errors"] == 0
    assert report["summary"]["resource_count"] == len(prod.resources)
    found = set()
    for finding in report["results"]["failed_checks"]:
        stack = finding["file_path"].strip("/").removesuffix(".template.json")
        resource = finding["resource"].rpartition(".")[2]
        names = {name for check, name in CHECKOV_ACCEPTED if check == finding["check_id"]}
        known = [name for name in names if f"{stack}.{resource}".startswith(name)]
        found.add((finding["check_id"], known[0] if known else f"{stack}.{resource}"))
    assert found == set(CHECKOV_ACCEPTED)


@pytest.mark.parametrize("environment", ["prod", "dev"])
def test_cdk_nag_finds_nothing_unexplained(request: pytest.FixtureRequest, environment: str) -> None:
    assembly: Assembly = request.getfixturevalue(environment)
    reports = json.loads((assembly.directory / "validation-report.json").read_text())["pluginReports"]
    assert {report["pluginName"] for report in reports} >= {"AwsSolutions"}
    found = [
        (violation["ruleName"], construct["constructPath"])
        for report in reports
        for violation in report["violations"]
        for construct in violation["violatingConstructs"]
    ]
    assert not found


@pytest.mark.parametrize("environment", ["prod", "dev"])
def test_no_synth_asks_aws_for_anything(request: pytest.FixtureRequest, environment: str) -> None:
    assembly: Assembly = request.getfixturevalue(environment)
    manifest = assembly.manifest()
    assert not manifest.get("missing")
    assert len([a for a in manifest["artifacts"].values() if a["type"] == "aws:cloudformation:stack"]) > 20
