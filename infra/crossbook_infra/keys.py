"""The keys for everything at rest: one for what the exchange keeps, one for what it tells of itself."""

from aws_cdk import aws_iam as iam
from constructs import Construct

from crossbook_infra.config import EnvironmentConfig
from crossbook_infra.stack import ExchangeStack, key_in


class KeyStack(ExchangeStack):
    """`data` for tables, queues, stream, buckets, database, cache and secrets; `records` for logs, trail and alarms."""

    def __init__(self, scope: Construct, settings: EnvironmentConfig) -> None:
        super().__init__(scope, settings, "keys", "Crossbook: KMS keys")
        self.data = key_in(self, "Data", "Crossbook: tables, queues, stream, buckets, database, cache, secrets", "data")
        self.records = key_in(self, "Records", "Crossbook: logs, trail, alarms", "records")
        self._let_aws_write_records()

    def _let_aws_write_records(self) -> None:
        """CloudWatch Logs, alarms and CloudTrail encrypt as themselves, for this account only."""
        self.records.add_to_resource_policy(
            iam.PolicyStatement(
                principals=[iam.ServicePrincipal(f"logs.{self.region}.amazonaws.com")],
                actions=["kms:Encrypt", "kms:Decrypt", "kms:ReEncrypt*", "kms:GenerateDataKey*", "kms:DescribeKey"],
                resources=["*"],
                conditions={
                    "ArnLike": {"kms:EncryptionContext:aws:logs:arn": self.format_arn(service="logs", resource="*")}
                },
            )
        )
        self.records.add_to_resource_policy(
            iam.PolicyStatement(
                principals=[
                    iam.ServicePrincipal("cloudwatch.amazonaws.com"),
                    iam.ServicePrincipal("events.amazonaws.com"),
                ],
                actions=["kms:Decrypt", "kms:GenerateDataKey*"],
                resources=["*"],
                conditions={"StringEquals": {"aws:SourceAccount": self.account}},
            )
        )
        self.records.add_to_resource_policy(
            iam.PolicyStatement(
                principals=[iam.ServicePrincipal("cloudtrail.amazonaws.com")],
                actions=["kms:GenerateDataKey*", "kms:DescribeKey"],
                resources=["*"],
                conditions={"StringEquals": {"aws:SourceAccount": self.account}},
            )
        )
