"""The gateway, behind a load balancer that API Gateway alone can call."""

from typing import Final

import aws_cdk as cdk
from aws_cdk import aws_ec2 as ec2
from aws_cdk import aws_ecs as ecs
from aws_cdk import aws_kms as kms
from aws_cdk import aws_secretsmanager as secretsmanager
from constructs import Construct

from crossbook_infra.balancer import balanced, listening
from crossbook_infra.config import EnvironmentConfig
from crossbook_infra.fargate import FargateStack
from crossbook_infra.layers import Layers
from crossbook_infra.stack import accept

PROXIES: Final = ("CloudFront", "API Gateway", "the load balancer")
"""Who appends to X-Forwarded-For on the way to the gateway."""


class GatewayStack(FargateStack):
    """HTTP in, promises out."""

    def __init__(self, scope: Construct, settings: EnvironmentConfig, *, layers: Layers) -> None:
        identity, stores = layers.identity, layers.stores
        super().__init__(
            scope,
            settings,
            "gateway",
            "Crossbook: gateway",
            layers=layers,
            task=settings.gateway,
            environment={
                **identity.login_environment,
                "TRUSTED_PROXIES": str(len(PROXIES)),
                "DATABASE_READER_URL": stores.reader_url,
                "DATABASE_SECRET_ID": stores.database_secret_arn,
            },
        )
        self.grants.gateway()
        self.grants.read_secrets(stores)
        self.balancer = balanced(
            self,
            subnets=ec2.SubnetSelection(subnets=layers.network.vpc.private_subnets),
            group=self.fixed(layers.network.internal_balancer, "Balancer"),
            is_public=False,
            idle_s=60,
        )
        self.scale(listening(self, self.balancer, self.service, deregistration=cdk.Duration.seconds(30)))

    def _secrets(self) -> dict[str, ecs.Secret]:
        """The secret that bots' keys are derived from: a JSON object of 64 hexadecimal digits by name."""
        # by its ARN: given the key itself, the CDK would write this stack's role into the policy of the key's
        key = kms.Key.from_key_arn(self, "DataKey", self.layers.keys.data.key_arn)
        masters = secretsmanager.Secret(
            self,
            "ApiKeyMasters",
            secret_name=f"{self.settings.prefix}/api-key-masters",
            description="What the API keys of Crossbook's bots are derived from",
            encryption_key=key,
            generate_secret_string=secretsmanager.SecretStringGenerator(
                secret_string_template="{}",  # noqa: S106 - what the secret is put into
                generate_string_key="1",
                password_length=64,
                exclude_uppercase=True,
                exclude_punctuation=True,
                exclude_characters="ghijklmnopqrstuvwxyz",
            ),
            removal_policy=self.removal_policy,
        )
        accept(masters, "SMG4", "A new one is put before the old one, by hand: taking one out ends the keys it made")
        return {"API_KEY_MASTERS": ecs.Secret.from_secrets_manager(masters)}
