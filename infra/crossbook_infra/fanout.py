"""Fanout, behind a load balancer that CloudFront alone can call: WebSockets need one that CloudFront reaches."""

from typing import Final

import aws_cdk as cdk
from aws_cdk import aws_ec2 as ec2
from aws_cdk import aws_route53 as route53
from aws_cdk import aws_route53_targets as targets
from constructs import Construct

from crossbook_infra.balancer import balanced, listening
from crossbook_infra.config import EnvironmentConfig
from crossbook_infra.fargate import FargateStack
from crossbook_infra.layers import Layers

PROXIES: Final = ("CloudFront", "the load balancer")
"""Who appends to X-Forwarded-For on the way to fanout."""
_IDLE_S: Final = 120
"""Longer than fanout leaves a connection without a ping (`heartbeat_s`, 20)."""


class FanoutStack(FargateStack):
    """Redis pub/sub in, WebSockets out."""

    def __init__(self, scope: Construct, settings: EnvironmentConfig, *, layers: Layers) -> None:
        super().__init__(
            scope,
            settings,
            "fanout",
            "Crossbook: fanout",
            layers=layers,
            task=settings.fanout,
            environment={**layers.identity.login_environment, "TRUSTED_PROXIES": str(len(PROXIES))},
        )
        self.grants.fanout()
        self.grants.read_secrets(layers.stores, has_database=False)
        self.balancer = balanced(
            self,
            subnets=ec2.SubnetSelection(subnets=layers.network.vpc.public_subnets),
            group=self.fixed(layers.network.public_balancer, "Balancer"),
            is_public=True,
            idle_s=_IDLE_S,
        )
        self.scale(listening(self, self.balancer, self.service, deregistration=cdk.Duration.seconds(60)))
        route53.ARecord(
            self,
            "StreamName",
            zone=layers.names.zone_in(self),
            record_name=layers.names.stream_host,
            target=route53.RecordTarget.from_alias(targets.LoadBalancerTarget(self.balancer)),
        )
