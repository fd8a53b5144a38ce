"""The ECS cluster that the three services with tasks run in."""

from aws_cdk import aws_ecs as ecs
from constructs import Construct

from crossbook_infra.config import EnvironmentConfig
from crossbook_infra.network import NetworkStack
from crossbook_infra.stack import ExchangeStack


class ClusterStack(ExchangeStack):
    """Fargate, with Container Insights: the numbers of each task."""

    def __init__(self, scope: Construct, settings: EnvironmentConfig, *, network: NetworkStack) -> None:
        super().__init__(scope, settings, "cluster", "Crossbook: ECS cluster")
        self.cluster = ecs.Cluster(
            self,
            "Cluster",
            cluster_name=settings.prefix,
            vpc=network.vpc,
            container_insights_v2=ecs.ContainerInsights.ENHANCED,
            enable_fargate_capacity_providers=True,
        )
