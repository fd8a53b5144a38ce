"""Who did what in the account: CloudTrail, Config, GuardDuty. (VPC flow logs are the network's.)"""

from typing import Final

import aws_cdk as cdk
from aws_cdk import aws_cloudtrail as cloudtrail
from aws_cdk import aws_config as config
from aws_cdk import aws_guardduty as guardduty
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from aws_cdk import aws_logs as logs
from aws_cdk import aws_s3 as s3
from constructs import Construct

from crossbook_infra.buckets import BucketStack
from crossbook_infra.config import EnvironmentConfig
from crossbook_infra.stack import ExchangeStack, accept

_RULES: Final = (
    "CLOUD_TRAIL_ENABLED",
    "DYNAMODB_PITR_ENABLED",
    "ENCRYPTED_VOLUMES",
    "IAM_USER_MFA_ENABLED",
    "RDS_STORAGE_ENCRYPTED",
    "ROOT_ACCOUNT_MFA_ENABLED",
    "S3_BUCKET_PUBLIC_READ_PROHIBITED",
    "S3_BUCKET_PUBLIC_WRITE_PROHIBITED",
    "S3_BUCKET_SSL_REQUESTS_ONLY",
    "VPC_FLOW_LOGS_ENABLED",
)
"""AWS's own, by their identifiers."""
_KEPT_DAYS: Final = 365


class AuditStack(ExchangeStack):
    """Recorded into a bucket that nobody overwrites: its objects are locked for a year."""

    def __init__(
        self, scope: Construct, settings: EnvironmentConfig, *, records_key: kms.IKey, buckets: BucketStack
    ) -> None:
        super().__init__(scope, settings, "audit", "Crossbook: CloudTrail, Config, GuardDuty")
        self._records = s3.Bucket(
            self,
            "Records",
            bucket_name=self.named(f"{settings.prefix}-audit{settings.bucket_suffix}"),
            encryption=s3.BucketEncryption.KMS,
            encryption_key=records_key,
            bucket_key_enabled=True,
            block_public_access=s3.BlockPublicAccess.BLOCK_ALL,
            enforce_ssl=True,
            versioned=True,
            object_lock_enabled=True,
            object_lock_default_retention=s3.ObjectLockRetention.governance(cdk.Duration.days(_KEPT_DAYS)),
            server_access_logs_bucket=buckets.logs,
            server_access_logs_prefix="audit/",
            removal_policy=self.removal_policy,
        )
        self._trail(records_key)
        self._config(records_key)
        guardduty.CfnDetector(
            self,
            "GuardDuty",
            enable=True,
            finding_publishing_frequency="FIFTEEN_MINUTES",
            features=[
                guardduty.CfnDetector.CFNFeatureConfigurationProperty(name=name, status="ENABLED")
                for name in ("S3_DATA_EVENTS", "RDS_LOGIN_EVENTS", "LAMBDA_NETWORK_LOGS", "RUNTIME_MONITORING")
            ],
        )

    def _trail(self, key: kms.IKey) -> None:
        group = logs.LogGroup(
            self,
            "TrailLog",
            log_group_name=f"/{self.settings.prefix}/trail",
            encryption_key=key,
            retention=logs.RetentionDays.ONE_YEAR,
            removal_policy=self.removal_policy,
        )
        cloudtrail.Trail(
            self,
            "Trail",
            trail_name=self.settings.prefix,
            bucket=self._records,
            s3_key_prefix="trail",
            encryption_key=key,
            is_multi_region_trail=True,
            include_global_service_events=True,
            enable_file_validation=True,
            send_to_cloud_watch_logs=True,
            cloud_watch_log_group=group,
        )

    def _config(self, key: kms.IKey) -> None:
        role = iam.Role(
            self,
            "ConfigRole",
            assumed_by=iam.ServicePrincipal("config.amazonaws.com"),
            managed_policies=[iam.ManagedPolicy.from_aws_managed_policy_name("service-role/AWS_ConfigRole")],
        )
        folder = self._records.arn_for_objects(f"config/AWSLogs/{self.account}/*")
        for actions, resource in (
            (["s3:GetBucketAcl", "s3:ListBucket"], self._records.bucket_arn),
            (["s3:PutObject"], folder),
            (["kms:Decrypt", "kms:GenerateDataKey"], key.key_arn),
        ):
            role.add_to_policy(iam.PolicyStatement(actions=actions, resources=[resource]))
        accept(
            role,
            "IAM4[Policy::arn:<AWS::Partition>:iam::aws:policy/service-role/AWS_ConfigRole]",
            "AWS's own policy for its recorder: it reads the settings of everything",
        )
        records = self.get_logical_id(self._records.node.default_child)
        accept(
            role,
            f"IAM5[Resource::<{records}.Arn>/config/AWSLogs/<AWS::AccountId>/*]",
            "The folder that Config writes to",
        )
        recorder = config.CfnConfigurationRecorder(
            self,
            "Recorder",
            role_arn=role.role_arn,
            recording_group=config.CfnConfigurationRecorder.RecordingGroupProperty(
                all_supported=True, include_global_resource_types=True
            ),
        )
        channel = config.CfnDeliveryChannel(
            self, "Channel", s3_bucket_name=self._records.bucket_name, s3_key_prefix="config"
        )
        for rule in _RULES:
            managed = config.ManagedRule(self, rule.title().replace("_", ""), identifier=rule)
            managed.node.add_dependency(recorder, channel)
