"""The second region: a key, copies of the buckets, and a vault for copies of the backups.

Nothing here is referred to by a reference, which does not cross regions, but by names that both sides know.
"""

import aws_cdk as cdk
from aws_cdk import aws_backup as backup
from aws_cdk import aws_s3 as s3
from constructs import Construct

from crossbook_infra.config import REPLICA_REGION, EnvironmentConfig
from crossbook_infra.stack import ExchangeStack, key_in

GLACIER_AFTER_DAYS = 90


def replica_key_arn(stack: ExchangeStack) -> str:
    """Of the alias, which the services take where they take a key."""
    return stack.format_arn(
        service="kms", region=REPLICA_REGION, resource="alias", resource_name=f"{stack.settings.prefix}-replica"
    )


def replica_bucket_name(settings: EnvironmentConfig, name: str) -> str:
    """Of the copy of a bucket of the topology."""
    base = name.removesuffix(settings.bucket_suffix)
    return f"{base}-replica{settings.bucket_suffix}"


def replica_vault_name(settings: EnvironmentConfig) -> str:
    """Of the vault for copies of backups."""
    return f"{settings.prefix}-replica"


class ReplicaStack(ExchangeStack):
    """What survives the loss of us-east-1. Deployed before the stacks that copy into it."""

    def __init__(self, scope: Construct, settings: EnvironmentConfig) -> None:
        super().__init__(scope, settings, "replica", "Crossbook: copies in the second region", region=REPLICA_REGION)
        self.key = key_in(self, "Key", "Crossbook: replicas of tables, buckets and backups", "replica")
        logs = s3.Bucket(
            self,
            "Logs",
            bucket_name=self.named(f"{settings.prefix}-replica-logs{settings.bucket_suffix}"),
            encryption=s3.BucketEncryption.S3_MANAGED,
            block_public_access=s3.BlockPublicAccess.BLOCK_ALL,
            enforce_ssl=True,
            versioned=True,
            lifecycle_rules=[s3.LifecycleRule(expiration=cdk.Duration.days(365))],
            removal_policy=self.removal_policy,
        )
        self.buckets = [
            s3.Bucket(
                self,
                bucket.name.removeprefix(f"{settings.prefix}-").removesuffix(settings.bucket_suffix).title(),
                bucket_name=self.named(replica_bucket_name(settings, bucket.name)),
                versioned=True,
                encryption=s3.BucketEncryption.KMS,
                encryption_key=self.key,
                bucket_key_enabled=True,
                block_public_access=s3.BlockPublicAccess.BLOCK_ALL,
                enforce_ssl=True,
                server_access_logs_bucket=logs,
                server_access_logs_prefix=f"{bucket.name.split('$')[0].rstrip('-')}/",
                lifecycle_rules=[
                    s3.LifecycleRule(
                        transitions=[
                            s3.Transition(
                                storage_class=s3.StorageClass.GLACIER,
                                transition_after=cdk.Duration.days(GLACIER_AFTER_DAYS),
                            )
                        ]
                    )
                ],
                removal_policy=self.removal_policy,
            )
            for bucket in self.topology.buckets
        ]
        self.vault = backup.BackupVault(
            self,
            "Vault",
            backup_vault_name=replica_vault_name(settings),
            encryption_key=self.key,
            removal_policy=self.removal_policy,
        )
