"""Migrations of the database: a task that is run once a deploy, inside the VPC, and ends."""

import aws_cdk as cdk
from aws_cdk import aws_ecs as ecs
from aws_cdk import aws_secretsmanager as secretsmanager
from constructs import Construct

from crossbook_infra.config import EnvironmentConfig
from crossbook_infra.fargate import accept_definition
from crossbook_infra.layers import Layers
from crossbook_infra.service import image_tag, log_group
from crossbook_infra.stack import ExchangeStack


class MigrationStack(ExchangeStack):
    """`aws ecs run-task` with the outputs of this stack; the README has the command."""

    def __init__(self, scope: Construct, settings: EnvironmentConfig, *, layers: Layers) -> None:
        super().__init__(scope, settings, "migrations", "Crossbook: database migrations")
        tag = image_tag(self)
        definition = ecs.FargateTaskDefinition(
            self, "Task", family=f"{settings.prefix}-migrations", cpu=256, memory_limit_mib=512
        )
        secret = secretsmanager.Secret.from_secret_complete_arn(self, "Password", layers.database.secret_arn)
        definition.add_container(
            "migrations",
            image=ecs.ContainerImage.from_ecr_repository(layers.artifacts.repositories["twin"], tag.value_as_string),
            entry_point=["python3", "-m", "exchange_persister.migrate"],
            command=[],
            environment={"DATABASE_URL": layers.database.url},
            secrets={"PGPASSWORD": ecs.Secret.from_secrets_manager(secret, "password")},
            readonly_root_filesystem=True,
            logging=ecs.LogDrivers.aws_logs(
                stream_prefix="migrations", log_group=log_group(self, layers.keys.records, "migrations")
            ),
        )
        accept_definition(definition)
        cdk.CfnOutput(self, "TaskDefinition", value=definition.family)
