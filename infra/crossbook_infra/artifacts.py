"""What the services are deployed from: a repository an image, scanned when pushed; a bucket for the Lambda's zip."""

from typing import Final

import aws_cdk as cdk
from aws_cdk import aws_ecr as ecr
from aws_cdk import aws_kms as kms
from aws_cdk import aws_s3 as s3
from constructs import Construct

from crossbook_infra.buckets import BucketStack
from crossbook_infra.config import EnvironmentConfig
from crossbook_infra.stack import ExchangeStack

IMAGES: Final = ("gateway", "matcher", "persister", "fanout", "twin")
"""The persister's is what the reconciler runs; the twin's carries the command line and the migrations."""
_IMAGES_KEPT: Final = 50


class ArtifactStack(ExchangeStack):
    """Tags are never moved: what ran once can be run again, which is what a rollback is."""

    def __init__(self, scope: Construct, settings: EnvironmentConfig, *, key: kms.IKey, buckets: BucketStack) -> None:
        super().__init__(scope, settings, "artifacts", "Crossbook: image repositories, Lambda packages")
        self.repositories = {
            image: ecr.Repository(
                self,
                image.title(),
                repository_name=f"{settings.prefix}/{image}",
                image_scan_on_push=True,
                image_tag_mutability=ecr.TagMutability.IMMUTABLE,
                encryption=ecr.RepositoryEncryption.KMS,
                encryption_key=key,
                lifecycle_rules=[ecr.LifecycleRule(max_image_count=_IMAGES_KEPT)],
                removal_policy=self.removal_policy,
                empty_on_delete=not settings.is_kept,
            )
            for image in IMAGES
        }
        self.packages = s3.Bucket(
            self,
            "Packages",
            bucket_name=self.named(f"{settings.prefix}-packages{settings.bucket_suffix}"),
            versioned=True,
            encryption=s3.BucketEncryption.KMS,
            encryption_key=key,
            bucket_key_enabled=True,
            block_public_access=s3.BlockPublicAccess.BLOCK_ALL,
            enforce_ssl=True,
            server_access_logs_bucket=buckets.logs,
            server_access_logs_prefix="packages/",
            removal_policy=self.removal_policy,
        )
        cdk.CfnOutput(self, "PackagesBucket", value=self.packages.bucket_name)
