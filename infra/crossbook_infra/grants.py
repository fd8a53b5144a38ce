"""Who may call what: the store table of ARCHITECTURE.md and the ports that each service's bootstrap opens, as actions.

A service may do what its half of a port does and nothing else: the gateway sends commands and cannot read them, the
matcher alone writes journal and stream. `tests/infra/test_grants.py` pins the whole matrix.
"""

from collections.abc import Sequence
from typing import Final

from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms

from crossbook_infra.stack import ExchangeStack
from crossbook_infra.stores import Stores

_READ_STREAM: Final = (
    "kinesis:DescribeStream",
    "kinesis:DescribeStreamSummary",
    "kinesis:GetRecords",
    "kinesis:GetShardIterator",
    "kinesis:ListShards",
)


class Grants:
    """Adds statements to one role."""

    def __init__(self, stack: ExchangeStack, role: iam.Role, key: kms.IKey) -> None:
        self._stack = stack
        self._role = role
        self._key = key

    def allow(self, resources: Sequence[str], *actions: str) -> None:
        """These actions on these and no others."""
        self._role.add_to_policy(iam.PolicyStatement(actions=list(actions), resources=list(resources)))

    def use_key(self, *actions: str, through: Sequence[str]) -> None:
        """The data key, and only as these AWS services use it on the role's behalf."""
        hosts = [f"{service}.{self._stack.region}.amazonaws.com" for service in through]
        self._role.add_to_policy(
            iam.PolicyStatement(
                actions=list(actions),
                resources=[self._key.key_arn],
                conditions={"StringEquals": {"kms:ViaService": hosts}},
            )
        )

    def read_secrets(self, stores: Stores, *, has_database: bool = True, has_redis: bool = True) -> None:
        """Passwords, fetched when a connection is opened; an emulator has none."""
        arns = [stores.redis_secret_arn] if has_redis else []
        arns += [stores.database_secret_arn] if has_database else []
        if all(arns):
            self.allow(arns, "secretsmanager:GetSecretValue")

    def join_network(self) -> None:
        """What a Lambda's role must be able to do for its function to get an address in the VPC."""
        self.allow(
            ["*"],  # asked of all or none
            "ec2:AssignPrivateIpAddresses",
            "ec2:CreateNetworkInterface",
            "ec2:DeleteNetworkInterface",
            "ec2:DescribeNetworkInterfaces",
            "ec2:DescribeSubnets",
            "ec2:UnassignPrivateIpAddresses",
        )

    def gateway(self) -> None:
        """Holds funds, remembers intents, sends commands."""
        stack, topology = self._stack, self._stack.topology
        self.allow(self._queues(), "sqs:GetQueueUrl", "sqs:SendMessage")
        self.allow([stack.table_arn(topology.wallets.name)], "dynamodb:Query", "dynamodb:UpdateItem")
        self.allow([stack.table_arn(topology.intents.name)], "dynamodb:GetItem", "dynamodb:PutItem", "dynamodb:Query")
        self.allow([stack.table_arn(topology.leases.name)], "dynamodb:DeleteItem", "dynamodb:UpdateItem")
        self.allow(
            [stack.table_arn(topology.sessions.name)],
            "dynamodb:GetItem",
            "dynamodb:PutItem",
            "dynamodb:UpdateItem",
        )
        self.allow(
            [stack.table_arn(topology.api_keys.name)],
            "dynamodb:DeleteItem",
            "dynamodb:GetItem",
            "dynamodb:PutItem",
            "dynamodb:Query",
        )
        self.use_key("kms:Decrypt", "kms:GenerateDataKey", through=("dynamodb", "sqs", "secretsmanager"))

    def matcher(self) -> None:
        """Takes commands, writes journal and stream, keeps snapshots."""
        stack, topology = self._stack, self._stack.topology
        self.allow(self._queues(), "sqs:DeleteMessage", "sqs:GetQueueUrl", "sqs:ReceiveMessage")
        self.allow([stack.table_arn(topology.journal.name)], "dynamodb:PutItem", "dynamodb:Query")
        self.allow(
            [stack.table_arn(topology.leases.name)], "dynamodb:DeleteItem", "dynamodb:GetItem", "dynamodb:UpdateItem"
        )
        self.allow([stack.stream_arn(topology.executions.name)], "kinesis:PutRecord")
        self.allow([stack.bucket_arn(topology.snapshots.name)], "s3:ListBucket")
        self.allow([stack.bucket_arn(topology.snapshots.name, "/*")], "s3:DeleteObject", "s3:GetObject", "s3:PutObject")
        self.use_key(
            "kms:Decrypt", "kms:GenerateDataKey", through=("dynamodb", "kinesis", "s3", "sqs", "secretsmanager")
        )

    def persister(self) -> None:
        """Reads the stream, settles wallets, takes intents off the list, archives."""
        stack, topology = self._stack, self._stack.topology
        self.allow([stack.stream_arn(topology.executions.name)], *_READ_STREAM)
        self.allow([stack.table_arn(topology.wallets.name)], "dynamodb:UpdateItem")
        self.allow([stack.table_arn(topology.intents.name)], "dynamodb:BatchWriteItem")
        self.allow([stack.bucket_arn(topology.history.name, "/*")], "s3:PutObject")
        self.use_key("kms:Decrypt", "kms:GenerateDataKey", through=("dynamodb", "kinesis", "s3", "secretsmanager"))

    def reconciler(self) -> None:
        """Reads journal, wallets and intents, and may send what an operator may: the halt of a symbol."""
        stack, topology = self._stack, self._stack.topology
        self.allow([stack.table_arn(topology.journal.name)], "dynamodb:Query")
        self.allow([stack.table_arn(topology.wallets.name)], "dynamodb:GetItem")
        self.allow([stack.table_arn(topology.intents.name)], "dynamodb:Query")
        self.allow(self._queues(), "sqs:GetQueueUrl", "sqs:SendMessage")
        self.use_key("kms:Decrypt", "kms:GenerateDataKey", through=("dynamodb", "sqs", "secretsmanager"))

    def fanout(self) -> None:
        """Says which WebSockets are open, and looks up whether a log-in still is."""
        stack, topology = self._stack, self._stack.topology
        self.allow([stack.table_arn(topology.connections.name)], "dynamodb:DeleteItem", "dynamodb:PutItem")
        self.allow([stack.table_arn(topology.sessions.name)], "dynamodb:GetItem")
        self.use_key("kms:Decrypt", through=("dynamodb", "secretsmanager"))

    def _queues(self) -> list[str]:
        return [self._stack.queue_arn(queue.name) for queue in self._stack.topology.queues]
