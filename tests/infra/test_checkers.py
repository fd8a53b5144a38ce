"""cdk-nag, cfn-lint and checkov over all templates: nothing is found that is not fixed or explained."""

import json
import subprocess
from pathlib import Path

import pytest

from tests.infra.assembly import CHECKOV, INFRA_BIN, Assembly, infra_environment

CFN_LINT_IGNORED = {
    "W3005": "a dependency that a reference implies is written down by the CDK itself",
    "W3010": "the zones are named, so that no synth has to ask which there are",
}
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


@pytest.mark.parametrize("environment", ["prod", "dev"])
def test_cdk_nag_finds_nothing_unexplained(assemblies: dict[str, Assembly], environment: str) -> None:
    reports = json.loads((assemblies[environment].directory / "validation-report.json").read_text())["pluginReports"]
    assert {report["pluginName"] for report in reports} >= {"AwsSolutions"}
    found = [
        (violation["ruleName"], construct["constructPath"])
        for report in reports
        for violation in report["violations"]
        for construct in violation["violatingConstructs"]
    ]
    assert not found


def test_cfn_lint_finds_nothing(prod: Assembly) -> None:
    templates = sorted(map(str, prod.directory.glob("*.template.json")))
    command = [str(INFRA_BIN / "cfn-lint"), "--ignore-checks", *CFN_LINT_IGNORED, "--template", *templates]
    done = subprocess.run(command, env=infra_environment(), capture_output=True, text=True, cwd=prod.directory)
    assert done.returncode == 0, done.stdout + done.stderr


def test_checkov_finds_what_is_explained_and_nothing_else(prod: Assembly, tmp_path: Path) -> None:
    command = [str(CHECKOV), "--framework", "cloudformation", "--directory", str(prod.directory)]
    command += ["--compact", "--quiet", "--skip-download", "--output", "json"]
    done = subprocess.run(
        command, env=infra_environment(HOME=str(tmp_path)), capture_output=True, text=True, cwd=tmp_path
    )
    report = json.loads(done.stdout)
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
def test_no_synth_asks_aws_for_anything(assemblies: dict[str, Assembly], environment: str) -> None:
    manifest = assemblies[environment].manifest()
    assert not manifest.get("missing")
    assert len([a for a in manifest["artifacts"].values() if a["type"] == "aws:cloudformation:stack"]) > 20
