"""What every stack has: its environment's settings, a name, tags, and names of others' resources in this account."""

from typing import Any, Final

import aws_cdk as cdk
from aws_cdk import aws_ec2 as ec2
from aws_cdk import aws_kms as kms
from constructs import Construct, IConstruct

from crossbook_infra.config import REGION, ZONES, EnvironmentConfig


class ExchangeStack(cdk.Stack):
    """One layer or service. Its id is what `cdk deploy` takes; CloudFormation knows it with the prefix before it."""

    def __init__(
        self, scope: Construct, settings: EnvironmentConfig, name: str, description: str, *, region: str = REGION
    ) -> None:
        super().__init__(
            scope,
            name,
            stack_name=f"{settings.prefix}-{name}",
            description=description,
            env=cdk.Environment(region=region),
            termination_protection=settings.is_kept,
        )
        self.settings: Final = settings
        self.topology: Final = settings.topology
        cdk.Tags.of(self).add("exchange", settings.prefix)

    @property
    def availability_zones(self) -> list[str]:
        """Named, so that no synth has to ask AWS which there are."""
        return list(ZONES)

    @property
    def removal_policy(self) -> cdk.RemovalPolicy:
        """What becomes of data whose stack is deleted."""
        return cdk.RemovalPolicy.RETAIN if self.settings.is_kept else cdk.RemovalPolicy.DESTROY

    def fixed(self, group: ec2.ISecurityGroup, name: str) -> ec2.ISecurityGroup:
        """A security group of the network stack, to which the CDK adds no rules of its own."""
        return ec2.SecurityGroup.from_security_group_id(self, f"{name}Group", group.security_group_id, mutable=False)

    @property
    def bucket_environment(self) -> dict[str, str]:
        """What tells a service the names of the buckets."""
        return {"CROSSBOOK_BUCKET_SUFFIX": self.named(self.settings.bucket_suffix)}

    def named(self, name: str) -> str:
        """A name of the topology, with the account's number filled in by CloudFormation."""
        return cdk.Fn.sub(name) if "${" in name else name

    def arn(self, service: str, resource: str, name: str, **options: Any) -> str:
        """Of something that bears a name of the topology, in whichever stack it is."""
        return self.format_arn(
            service=service,
            resource=resource,
            resource_name=self.named(name) if name else None,
            **options,
        )

    def table_arn(self, name: str) -> str:
        """Of a DynamoDB table."""
        return self.arn("dynamodb", "table", name)

    def queue_arn(self, name: str) -> str:
        """Of an SQS queue."""
        return self.format_arn(service="sqs", resource=name)

    def stream_arn(self, name: str) -> str:
        """Of a Kinesis stream."""
        return self.arn("kinesis", "stream", name)

    def bucket_arn(self, name: str, path: str = "") -> str:
        """Of an S3 bucket, or of the objects under a path in it."""
        return f"arn:{self.partition}:s3:::{self.named(name)}{path}"


def accept(construct: IConstruct, finding: str, reason: str) -> None:
    """Say why one of cdk-nag's findings on the construct, or on what is in it, stays as it is."""
    cdk.Validations.of(construct).acknowledge(
        cdk.Acknowledgment(id=f"AwsSolutions::AwsSolutions-{finding}", reason=reason)
    )


def objects_of(bucket_name: str) -> str:
    """All objects of a bucket of the topology, as cdk-nag writes them down in a finding."""
    name = bucket_name.replace("${", "<").replace("}", ">")
    return f"IAM5[Resource::arn:aws:s3:::{name}/*]"


def key_in(stack: ExchangeStack, id_: str, description: str, alias: str) -> kms.Key:
    """A customer-managed key, rotated every year, under an alias that begins with the prefix."""
    return kms.Key(
        stack,
        id_,
        alias=f"{stack.settings.prefix}-{alias}",
        description=description,
        enable_key_rotation=True,
        removal_policy=stack.removal_policy,
    )
