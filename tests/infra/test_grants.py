"""Who may call what, as a matrix: the store table of ARCHITECTURE.md with IAM's words.

Read from the templates, not from the code that writes them. What is not in the matrix is not allowed; a new action is a
change of this page, which is where it is reviewed.
"""

from collections import defaultdict
from typing import Any

import pytest

from tests.infra.assembly import Assembly, as_list, as_text

TRACES = {
    "*": {"xray:GetSamplingRules", "xray:GetSamplingTargets", "xray:PutTelemetryRecords", "xray:PutTraceSegments"}
}
KEY = "key crossbook-data"
MATRIX: dict[str, dict[str, set[str]]] = {
    "gateway": TRACES
    | {
        "orders queues": {"sqs:GetQueueUrl", "sqs:SendMessage"},
        "table wallets": {"dynamodb:Query", "dynamodb:UpdateItem"},
        "table intents": {"dynamodb:GetItem", "dynamodb:PutItem", "dynamodb:Query"},
        "table leases": {"dynamodb:DeleteItem", "dynamodb:UpdateItem"},
        "table sessions": {"dynamodb:GetItem", "dynamodb:PutItem", "dynamodb:UpdateItem"},
        "table api-keys": {"dynamodb:DeleteItem", "dynamodb:GetItem", "dynamodb:PutItem", "dynamodb:Query"},
        "secret database": {"secretsmanager:GetSecretValue"},
        "secret redis": {"secretsmanager:GetSecretValue"},
        KEY: {"kms:Decrypt", "kms:GenerateDataKey"},
    },
    "matcher": TRACES
    | {
        "orders queues": {"sqs:DeleteMessage", "sqs:GetQueueUrl", "sqs:ReceiveMessage"},
        "table journal": {"dynamodb:PutItem", "dynamodb:Query"},
        "table leases": {"dynamodb:DeleteItem", "dynamodb:GetItem", "dynamodb:UpdateItem"},
        "stream executions": {"kinesis:PutRecord"},
        "bucket snapshots": {"s3:ListBucket"},
        "bucket snapshots/*": {"s3:DeleteObject", "s3:GetObject", "s3:PutObject"},
        "secret redis": {"secretsmanager:GetSecretValue"},
        KEY: {"kms:Decrypt", "kms:GenerateDataKey"},
    },
    "persister": {
        "stream executions": {
            "kinesis:DescribeStream",
            "kinesis:DescribeStreamSummary",
            "kinesis:GetRecords",
            "kinesis:GetShardIterator",
            "kinesis:ListShards",
        },
        "table wallets": {"dynamodb:UpdateItem"},
        "table intents": {"dynamodb:BatchWriteItem"},
        "bucket history/*": {"s3:PutObject"},
        "secret database": {"secretsmanager:GetSecretValue"},
        "secret redis": {"secretsmanager:GetSecretValue"},
        "own log": {"logs:CreateLogStream", "logs:PutLogEvents"},
        "*": {
            "ec2:AssignPrivateIpAddresses",
            "ec2:CreateNetworkInterface",
            "ec2:DeleteNetworkInterface",
            "ec2:DescribeNetworkInterfaces",
            "ec2:DescribeSubnets",
            "ec2:UnassignPrivateIpAddresses",
            "xray:PutTelemetryRecords",
            "xray:PutTraceSegments",
        },
        KEY: {"kms:Decrypt", "kms:GenerateDataKey"},
    },
    "reconciler": TRACES
    | {
        "table journal": {"dynamodb:Query"},
        "table wallets": {"dynamodb:GetItem"},
        "table intents": {"dynamodb:Query"},
        "orders queues": {"sqs:GetQueueUrl", "sqs:SendMessage"},
        "secret database": {"secretsmanager:GetSecretValue"},
        KEY: {"kms:Decrypt", "kms:GenerateDataKey"},
    },
    "fanout": TRACES
    | {
        "table connections": {"dynamodb:DeleteItem", "dynamodb:PutItem"},
        "table sessions": {"dynamodb:GetItem"},
        "secret redis": {"secretsmanager:GetSecretValue"},
        KEY: {"kms:Decrypt"},
    },
}
NAMES = (
    (":table/crossbook-", "table "),
    (":stream/crossbook-", "stream "),
    (":secret:crossbook/", "secret "),
)


def called(resource: Any) -> str:
    """A resource by the name that the matrix gives it."""
    text = as_text(resource)
    if ":crossbook-orders-" in text:
        return "orders queues"
    for marker, kind in NAMES:
        if marker in text:
            return kind + text.partition(marker)[2]
    if text.startswith("arn:aws:s3:::crossbook-"):
        return "bucket " + text.removeprefix("arn:aws:s3:::crossbook-").replace("-${AWS::AccountId}", "")
    if text.startswith("${crossbook-keys:") and "Data" in text:
        return KEY
    if text.startswith("${crossbook-cache:") and "Password" in text:
        return "secret redis"
    if text.startswith("${crossbook-database:") and "Secret" in text:
        return "secret database"
    if text.startswith("${Log") and text.rstrip(":*").endswith(".Arn}"):
        return "own log"
    return text


def allowed(assembly: Assembly, service: str) -> dict[str, set[str]]:
    """What the role that the service's code runs under may do."""
    role = "FunctionRole" if service == "persister" else "TaskRole"
    found: dict[str, set[str]] = defaultdict(set)
    for policy in assembly.select("IAM::Policy", stack=service):
        if not any(as_text(one).startswith(f"${{{role}") for one in policy.properties["Roles"]):
            continue
        for statement in policy.properties["PolicyDocument"]["Statement"]:
            assert statement["Effect"] == "Allow"
            for resource in as_list(statement["Resource"]):
                found[called(resource)] |= set(as_list(statement["Action"]))
    return dict(found)


@pytest.mark.parametrize("service", MATRIX)
def test_a_service_may_do_what_the_matrix_says(prod: Assembly, service: str) -> None:
    assert allowed(prod, service) == MATRIX[service]


@pytest.mark.parametrize("service", MATRIX)
def test_no_role_of_a_service_has_a_policy_of_awss_or_a_wildcard_in_an_action(prod: Assembly, service: str) -> None:
    for role in prod.select("IAM::Role", stack=service):
        assert not role.properties.get("ManagedPolicyArns")
    for policy in prod.select("IAM::Policy", stack=service):
        for statement in policy.properties["PolicyDocument"]["Statement"]:
            assert not [action for action in as_list(statement["Action"]) if "*" in action]


def test_a_key_is_used_only_through_the_services_that_hold_the_data(prod: Assembly) -> None:
    for service in MATRIX:
        for policy in prod.select("IAM::Policy", stack=service):
            for statement in policy.properties["PolicyDocument"]["Statement"]:
                if called(as_list(statement["Resource"])[0]) == KEY:
                    assert statement["Condition"]["StringEquals"]["kms:ViaService"]


def test_only_the_matcher_writes_journal_and_stream_and_only_it_reads_the_queues(prod: Assembly) -> None:
    for service in MATRIX.keys() - {"matcher"}:
        rights = allowed(prod, service)
        assert rights.get("table journal", set()) <= {"dynamodb:Query"}
        assert not rights.get("stream executions", set()) & {"kinesis:PutRecord", "kinesis:PutRecords"}
        assert not rights.get("orders queues", set()) & {"sqs:ReceiveMessage", "sqs:DeleteMessage"}


def test_one_role_is_one_services(prod: Assembly) -> None:
    used = [as_text(task.properties["TaskRoleArn"]) + task.stack for task in prod.select("ECS::TaskDefinition")] + [
        as_text(prod.one("Lambda::Function", stack="persister")["Role"]) + "persister"
    ]
    assert len(used) == len(set(used)) == 6
