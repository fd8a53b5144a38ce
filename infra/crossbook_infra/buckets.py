"""The S3 buckets: versioned, encrypted, to Glacier after 90 days, copied to the second region as they are written."""

import aws_cdk as cdk
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from aws_cdk import aws_s3 as s3
from constructs import Construct

from crossbook_infra.config import REPLICA_REGION, EnvironmentConfig
from crossbook_infra.replica import GLACIER_AFTER_DAYS, replica_bucket_name, replica_key_arn
from crossbook_infra.stack import ExchangeStack, accept, objects_of
from exchange_core.topology import BucketSpec

_OLD_VERSIONS_DAYS = 365


class BucketStack(ExchangeStack):
    """One bucket for each of the topology, and one for the access logs of these, the load balancers and the edge."""

    def __init__(self, scope: Construct, settings: EnvironmentConfig, *, key: kms.IKey) -> None:
        super().__init__(scope, settings, "buckets", "Crossbook: snapshots, history, access logs")
        self._key = key
        self.logs = self._log_bucket()
        self._let_balancers_log()
        self.buckets = [self._bucket(spec) for spec in self.topology.buckets]
        if settings.is_replicated:
            self._replicate()

    def _log_bucket(self) -> s3.Bucket:
        """Encrypted by S3 itself: load balancers and CloudFront write to no bucket with a key of ours."""
        return s3.Bucket(
            self,
            "Logs",
            bucket_name=self.named(f"{self.settings.prefix}-logs{self.settings.bucket_suffix}"),
            encryption=s3.BucketEncryption.S3_MANAGED,
            object_ownership=s3.ObjectOwnership.OBJECT_WRITER,
            block_public_access=s3.BlockPublicAccess.BLOCK_ALL,
            enforce_ssl=True,
            versioned=True,
            lifecycle_rules=[
                s3.LifecycleRule(expiration=cdk.Duration.days(365), noncurrent_version_expiration=cdk.Duration.days(30))
            ],
            removal_policy=self.removal_policy,
        )

    def _let_balancers_log(self) -> None:
        """Load balancers write as a service of AWS, each under a folder of its own."""
        self.logs.add_to_resource_policy(
            iam.PolicyStatement(
                principals=[iam.ServicePrincipal("logdelivery.elasticloadbalancing.amazonaws.com")],
                actions=["s3:PutObject"],
                resources=[self.logs.arn_for_objects(f"balancers/*/AWSLogs/{self.account}/*")],
            )
        )

    def _bucket(self, spec: BucketSpec) -> s3.Bucket:
        short = spec.name.removeprefix(f"{self.settings.prefix}-").removesuffix(self.settings.bucket_suffix)
        return s3.Bucket(
            self,
            short.title(),
            bucket_name=self.named(spec.name),
            versioned=True,
            encryption=s3.BucketEncryption.KMS,
            encryption_key=self._key,
            bucket_key_enabled=True,
            block_public_access=s3.BlockPublicAccess.BLOCK_ALL,
            enforce_ssl=True,
            server_access_logs_bucket=self.logs,
            server_access_logs_prefix=f"{short}/",
            lifecycle_rules=[
                s3.LifecycleRule(
                    transitions=[
                        s3.Transition(
                            storage_class=s3.StorageClass.GLACIER,
                            transition_after=cdk.Duration.days(GLACIER_AFTER_DAYS),
                        )
                    ],
                    noncurrent_version_expiration=cdk.Duration.days(_OLD_VERSIONS_DAYS),
                    abort_incomplete_multipart_upload_after=cdk.Duration.days(7),
                )
            ],
            removal_policy=self.removal_policy,
        )

    def logs_in(self, stack: ExchangeStack) -> s3.IBucket:
        """The bucket of access logs as another stack knows it, which so has no say in its policy."""
        return s3.Bucket.from_bucket_name(stack, "AccessLogs", self.logs.bucket_name)

    def _replicate(self) -> None:
        role = iam.Role(self, "ReplicationRole", assumed_by=iam.ServicePrincipal("s3.amazonaws.com"))
        for spec, bucket in zip(self.topology.buckets, self.buckets, strict=True):
            copy = replica_bucket_name(self.settings, spec.name)
            copy_arn = self.bucket_arn(copy)
            self._let_replicate(role, bucket, copy_arn)
            resource = bucket.node.default_child
            assert isinstance(resource, s3.CfnBucket)
            resource.replication_configuration = self._replication(role, copy_arn)
            for finding in (f"IAM5[Resource::<{self.get_logical_id(resource)}.Arn>/*]", objects_of(copy)):
                accept(role, finding, "S3 replicates all objects of the bucket")
        keys = f"arn:aws:kms:{REPLICA_REGION}:<AWS::AccountId>:key/*"
        accept(role, f"IAM5[Resource::{keys}]", "The key's id is of the other region; its alias bounds it")

    def _replication(self, role: iam.Role, copy_arn: str) -> s3.CfnBucket.ReplicationConfigurationProperty:
        """All objects, within 15 minutes by S3's own agreement, which measures itself."""
        minutes = s3.CfnBucket.ReplicationTimeValueProperty(minutes=15)
        return s3.CfnBucket.ReplicationConfigurationProperty(
            role=role.role_arn,
            rules=[
                s3.CfnBucket.ReplicationRuleProperty(
                    id="second-region",
                    status="Enabled",
                    priority=1,
                    filter=s3.CfnBucket.ReplicationRuleFilterProperty(prefix=""),
                    delete_marker_replication=s3.CfnBucket.DeleteMarkerReplicationProperty(status="Enabled"),
                    source_selection_criteria=s3.CfnBucket.SourceSelectionCriteriaProperty(
                        sse_kms_encrypted_objects=s3.CfnBucket.SseKmsEncryptedObjectsProperty(status="Enabled")
                    ),
                    destination=s3.CfnBucket.ReplicationDestinationProperty(
                        bucket=copy_arn,
                        encryption_configuration=s3.CfnBucket.EncryptionConfigurationProperty(
                            replica_kms_key_id=replica_key_arn(self)
                        ),
                        replication_time=s3.CfnBucket.ReplicationTimeProperty(status="Enabled", time=minutes),
                        metrics=s3.CfnBucket.MetricsProperty(status="Enabled", event_threshold=minutes),
                    ),
                )
            ],
        )

    def _let_replicate(self, role: iam.Role, bucket: s3.Bucket, copy_arn: str) -> None:
        statements: tuple[tuple[list[str], list[str], dict[str, object]], ...] = (
            (["s3:GetReplicationConfiguration", "s3:ListBucket"], [bucket.bucket_arn], {}),
            (
                ["s3:GetObjectVersionForReplication", "s3:GetObjectVersionAcl", "s3:GetObjectVersionTagging"],
                [bucket.arn_for_objects("*")],
                {},
            ),
            (["s3:ReplicateObject", "s3:ReplicateDelete", "s3:ReplicateTags"], [f"{copy_arn}/*"], {}),
            (["kms:Decrypt"], [self._key.key_arn], {}),
            (
                ["kms:Encrypt", "kms:GenerateDataKey"],
                [self.format_arn(service="kms", region=REPLICA_REGION, resource="key", resource_name="*")],
                {"ForAnyValue:StringEquals": {"kms:ResourceAliases": f"alias/{self.settings.prefix}-replica"}},
            ),
        )
        for actions, resources, conditions in statements:
            role.add_to_policy(iam.PolicyStatement(actions=actions, resources=resources, conditions=conditions))
