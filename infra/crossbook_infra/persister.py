"""The persister: a Lambda on the executions stream."""

from typing import Final

import aws_cdk as cdk
from aws_cdk import aws_ec2 as ec2
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_s3 as s3
from constructs import Construct

from crossbook_infra import traces
from crossbook_infra.config import REGION, EnvironmentConfig
from crossbook_infra.grants import Grants
from crossbook_infra.network import NetworkStack
from crossbook_infra.service import exchange_environment, image_tag, log_group
from crossbook_infra.stack import ExchangeStack, accept, objects_of
from crossbook_infra.stores import Stores

HANDLER: Final = "exchange_persister.lambda_handler.handler"
_MEMORY_MIB: Final = 1024
_TIMEOUT_S: Final = 60
_BATCH_SLOTS: Final = 500
"""As many as the shard reader of the twins settles in one go (`group_slots_max`)."""


class PersisterStack(ExchangeStack):
    """Stream in; wallets, rows and archive out.

    One invocation a shard at a time, in order. What fails is tried again for ever, from the first slot that is not
    settled, in halves when the function itself failed: nothing is ever skipped, and the age of what waits is an alarm.
    """

    def __init__(
        self,
        scope: Construct,
        settings: EnvironmentConfig,
        *,
        key: kms.IKey,
        records_key: kms.IKey,
        packages: s3.IBucket,
        stores: Stores,
        network: NetworkStack | None,
    ) -> None:
        super().__init__(scope, settings, "persister", "Crossbook: persister")
        self.tag = image_tag(self)
        self.role = iam.Role(
            self,
            "FunctionRole",
            assumed_by=iam.ServicePrincipal("lambda.amazonaws.com"),
            description="What Crossbook's persister may do",
        )
        self.log = log_group(self, records_key, "persister")
        self._grant(Grants(self, self.role, key), stores)
        self._accept()
        self.function = self._function(packages, stores, network)
        accept(self.function, "L1", "The newest Python that all of the persister's wheels are made and tested for")
        mapping = lambda_.EventSourceMapping(
            self,
            "Executions",
            target=self.function,
            event_source_arn=self.stream_arn(self.topology.executions.name),
            starting_position=lambda_.StartingPosition.TRIM_HORIZON,
            batch_size=_BATCH_SLOTS,
            parallelization_factor=1,
            bisect_batch_on_error=True,
            report_batch_item_failures=True,
        )
        mapping.node.add_dependency(self.role)  # the mapping is refused while the function may not read the stream

    def _function(self, packages: s3.IBucket, stores: Stores, network: NetworkStack | None) -> lambda_.Function:
        return lambda_.Function(
            self,
            "Function",
            function_name=f"{self.settings.prefix}-persister",
            description="Settles journal slots in wallets, PostgreSQL and the archive",
            runtime=lambda_.Runtime.PYTHON_3_13,
            architecture=lambda_.Architecture.X86_64,
            handler=HANDLER,
            code=lambda_.Code.from_bucket(packages, f"persister/{self.tag.value_as_string}.zip"),
            memory_size=_MEMORY_MIB,
            timeout=cdk.Duration.seconds(_TIMEOUT_S),
            role=self.role,
            log_group=self.log,
            tracing=lambda_.Tracing.ACTIVE,
            layers=[traces.collector_layer(self, REGION)] if network else None,
            environment={
                **exchange_environment(self, stores),
                **self.bucket_environment,
                "DATABASE_URL": stores.database_url,
                "DATABASE_SECRET_ID": stores.database_secret_arn,
                **(traces.ENVIRONMENT if network else {}),
            },
            vpc=network.vpc if network else None,
            vpc_subnets=ec2.SubnetSelection(subnets=network.vpc.private_subnets) if network else None,
            security_groups=[self.fixed(network.function, "Function")] if network else None,
        )

    def _grant(self, grants: Grants, stores: Stores) -> None:
        grants.persister()
        grants.read_secrets(stores)
        grants.allow(
            [self.log.log_group_arn, f"{self.log.log_group_arn}:*"], "logs:CreateLogStream", "logs:PutLogEvents"
        )
        grants.join_network()

    def _accept(self) -> None:
        log = self.get_logical_id(self.log.node.default_child)
        accept(self.role, objects_of(self.topology.history.name), "History is all objects of the bucket")
        accept(self.role, f"IAM5[Resource::<{log}.Arn>:*]", "The streams of the function's own log")
        accept(self.role, "IAM5[Resource::*]", "X-Ray and network interfaces know no resources for these actions")
