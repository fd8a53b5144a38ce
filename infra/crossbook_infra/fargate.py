"""A service on Fargate: its image by tag, its role, its tasks in both zones, its log, its traces, its scaling."""

from collections.abc import Mapping
from typing import Final

import aws_cdk as cdk
from aws_cdk import aws_ec2 as ec2
from aws_cdk import aws_ecs as ecs
from aws_cdk import aws_elasticloadbalancingv2 as elb
from aws_cdk import aws_iam as iam
from constructs import Construct

from crossbook_infra import traces
from crossbook_infra.config import EnvironmentConfig, SizeConfig, TaskConfig
from crossbook_infra.grants import Grants
from crossbook_infra.layers import Layers
from crossbook_infra.network import TASK_PORT
from crossbook_infra.scaling import scale
from crossbook_infra.service import exchange_environment, image_tag, log_group
from crossbook_infra.stack import ExchangeStack, accept

_STOP_S: Final = 60
"""From SIGTERM to SIGKILL: a matcher ends between two batches, keeps a snapshot and hands over its partitions."""


class FargateStack(ExchangeStack):
    """One service. Subclasses grant and, for those that are called, put a load balancer before it."""

    def __init__(
        self,
        scope: Construct,
        settings: EnvironmentConfig,
        name: str,
        description: str,
        *,
        layers: Layers,
        task: SizeConfig,
        environment: Mapping[str, str],
        needs_buckets: bool = False,
        image: str | None = None,
        module: str | None = None,
    ) -> None:
        super().__init__(scope, settings, name, description)
        if needs_buckets:
            environment = {**environment, **self.bucket_environment}
        self.service_name = name
        self.layers = layers
        self._task_config = task
        self._image = image or name
        self._module = module or f"exchange_{name}"
        self.tag = image_tag(self)
        self.role = iam.Role(
            self,
            "TaskRole",
            assumed_by=iam.ServicePrincipal("ecs-tasks.amazonaws.com"),
            description=f"What Crossbook's {name} may do",
        )
        self.grants = Grants(self, self.role, layers.keys.data)
        self.definition = self._definition(environment)
        self.service = self._service()
        accept(self.role, "IAM5[Resource::*]", "X-Ray knows no resources for what a collector does")

    def _definition(self, environment: Mapping[str, str]) -> ecs.FargateTaskDefinition:
        definition = ecs.FargateTaskDefinition(
            self,
            "Task",
            family=f"{self.settings.prefix}-{self.service_name}",
            cpu=self._task_config.cpu_units,
            memory_limit_mib=self._task_config.memory_mib,
            runtime_platform=ecs.RuntimePlatform(
                cpu_architecture=ecs.CpuArchitecture.X86_64, operating_system_family=ecs.OperatingSystemFamily.LINUX
            ),
            task_role=self.role,
            volumes=[ecs.Volume(name="tmp")],
        )
        group = log_group(self, self.layers.keys.records, self.service_name)
        container = definition.add_container(
            self.service_name,
            image=ecs.ContainerImage.from_ecr_repository(
                self.layers.artifacts.repositories[self._image], self.tag.value_as_string
            ),
            command=self._command(),
            environment={
                **exchange_environment(self, self.layers.stores),
                **environment,
                "AWS_REGION": self.region,
                "HTTP_HOST": "0.0.0.0",  # noqa: S104 - in a network of its own, behind a security group
                "HTTP_PORT": str(TASK_PORT),
                **traces.ENVIRONMENT,
            },
            secrets=self._secrets(),
            readonly_root_filesystem=True,
            linux_parameters=self._linux(),
            stop_timeout=cdk.Duration.seconds(_STOP_S),
            health_check=_health_check(),
            logging=ecs.LogDrivers.aws_logs(stream_prefix=self.service_name, log_group=group),
            port_mappings=[ecs.PortMapping(container_port=TASK_PORT)],
        )
        container.add_mount_points(ecs.MountPoint(source_volume="tmp", container_path="/tmp", read_only=False))  # noqa: S108
        traces.add_collector(definition, group)
        accept_definition(definition)
        return definition

    def _command(self) -> list[str]:
        """Each task under a name of its own: leases are held by it."""
        return ["sh", "-ec", f'SERVICE_INSTANCE="{self.service_name}-$(hostname)" exec python3 -m {self._module}']

    def _secrets(self) -> dict[str, ecs.Secret]:
        """Variables whose values only Secrets Manager knows."""
        return {}

    def _linux(self) -> ecs.LinuxParameters:
        linux = ecs.LinuxParameters(self, "Linux", init_process_enabled=True)
        linux.drop_capabilities(ecs.Capability.ALL)
        return linux

    def _service(self) -> ecs.FargateService:
        return ecs.FargateService(
            self,
            "Service",
            service_name=f"{self.settings.prefix}-{self.service_name}",
            cluster=self.layers.cluster.cluster,
            task_definition=self.definition,
            desired_count=self._task_config.tasks_min,
            min_healthy_percent=100,
            max_healthy_percent=200,
            circuit_breaker=ecs.DeploymentCircuitBreaker(enable=True, rollback=True),
            availability_zone_rebalancing=ecs.AvailabilityZoneRebalancing.ENABLED,
            vpc_subnets=ec2.SubnetSelection(subnets=self.layers.network.vpc.private_subnets),
            security_groups=[self.fixed(self.layers.network.tasks, "Tasks")],
            assign_public_ip=False,
            enable_ecs_managed_tags=True,
            propagate_tags=ecs.PropagatedTagSource.SERVICE,
        )

    def scale(self, targets: elb.ApplicationTargetGroup | None = None) -> None:
        """Follow the load, between the bounds of the settings."""
        assert isinstance(self._task_config, TaskConfig), "it has bounds"
        scale(self, self.service, self._task_config, self.settings.scaling, targets)


def accept_definition(definition: ecs.FargateTaskDefinition) -> None:
    """What cdk-nag finds in every task."""
    accept(definition, "ECS2", "Variables are names and addresses; passwords are in Secrets Manager")
    accept(definition, "IAM5[Resource::*]", "ecr:GetAuthorizationToken knows no resources")


def _health_check() -> ecs.HealthCheck:
    """Alive, not ready: a task that waits for a store is not helped by being killed."""
    probe = f"import urllib.request; urllib.request.urlopen('http://127.0.0.1:{TASK_PORT}/healthz', timeout=2)"
    return ecs.HealthCheck(
        command=["CMD", "python3", "-c", probe],
        interval=cdk.Duration.seconds(5),
        timeout=cdk.Duration.seconds(3),
        retries=6,
        start_period=cdk.Duration.seconds(20),
    )
