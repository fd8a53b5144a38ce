"""Aurora PostgreSQL: a writer and readers over three zones."""

from typing import Any, Final

import aws_cdk as cdk
from aws_cdk import aws_applicationautoscaling as autoscaling
from aws_cdk import aws_ec2 as ec2
from aws_cdk import aws_kms as kms
from aws_cdk import aws_rds as rds
from aws_cdk import aws_secretsmanager as secretsmanager
from constructs import Construct

from crossbook_infra.config import EnvironmentConfig
from crossbook_infra.network import DATABASE_PORT, NetworkStack
from crossbook_infra.stack import ExchangeStack, accept

DATABASE: Final = "crossbook"
_PASSWORD_DAYS: Final = 30
_MONITORING_S: Final = 60


class DatabaseStack(ExchangeStack):
    """RDS makes the password, keeps it in Secrets Manager and rotates it; the services fetch it when they connect."""

    def __init__(self, scope: Construct, settings: EnvironmentConfig, *, network: NetworkStack, key: kms.IKey) -> None:
        super().__init__(scope, settings, "database", "Crossbook: Aurora PostgreSQL")
        self._network = network
        self._key = key
        self.cluster = self._cluster()
        accept(
            self.cluster,
            "IAM4[Policy::arn:<AWS::Partition>:iam::aws:policy/service-role/AmazonRDSEnhancedMonitoringRole]",
            "AWS's own policy for enhanced monitoring, which only writes its log",
        )
        if not settings.is_kept:
            accept(self.cluster, "RDS10", "By the settings this environment goes when its stacks are deleted")
        resource = self.cluster.node.default_child
        assert isinstance(resource, rds.CfnDBCluster)
        self.secret_arn = resource.attr_master_user_secret_secret_arn
        secretsmanager.CfnRotationSchedule(
            self,
            "PasswordRotation",
            secret_id=self.secret_arn,
            rotation_rules=secretsmanager.CfnRotationSchedule.RotationRulesProperty(
                automatically_after_days=_PASSWORD_DAYS
            ),
        )
        if settings.database.readers_max > settings.database.readers:
            self._scale_readers()

    @property
    def url(self) -> str:
        """Of the writer, without the password."""
        return self._url(self.cluster.cluster_endpoint.hostname)

    @property
    def reader_url(self) -> str:
        """Of the readers, which answer for the writer where there are none."""
        return self._url(self.cluster.cluster_read_endpoint.hostname)

    def _url(self, host: str) -> str:
        return f"postgresql://crossbook@{host}:{DATABASE_PORT}/{DATABASE}?sslmode=require"

    def _cluster(self) -> rds.DatabaseCluster:
        config = self.settings.database
        instance: dict[str, Any] = {
            "instance_type": ec2.InstanceType(config.instance_type),
            "enable_performance_insights": True,
            "performance_insight_encryption_key": self._key,
            "publicly_accessible": False,
            "auto_minor_version_upgrade": True,
        }
        zones = self.availability_zones
        return rds.DatabaseCluster(
            self,
            "Aurora",
            engine=rds.DatabaseClusterEngine.aurora_postgres(version=rds.AuroraPostgresEngineVersion.VER_17_4),
            cluster_identifier=self.settings.prefix,
            default_database_name=DATABASE,
            credentials=rds.Credentials.from_username("crossbook"),
            manage_master_user_password=True,
            writer=rds.ClusterInstance.provisioned("Writer", availability_zone=zones[0], **instance),
            readers=[
                rds.ClusterInstance.provisioned(
                    f"Reader{number}", availability_zone=zones[number % len(zones)], promotion_tier=1, **instance
                )
                for number in range(1, config.readers + 1)
            ],
            vpc=self._network.vpc,
            vpc_subnets=self._network.data_selection,
            security_groups=[self._network.database],
            port=DATABASE_PORT,
            storage_encrypted=True,
            storage_encryption_key=self._key,
            iam_authentication=True,
            backup=rds.BackupProps(retention=cdk.Duration.days(config.backup_days), preferred_window="02:00-03:00"),
            preferred_maintenance_window="sun:05:30-sun:06:30",
            copy_tags_to_snapshot=True,
            parameters={"rds.force_ssl": "1", "log_min_duration_statement": "1000"},
            cloudwatch_logs_exports=["postgresql"],
            cloudwatch_logs_retention=None,
            monitoring_interval=cdk.Duration.seconds(_MONITORING_S),
            deletion_protection=self.settings.is_kept,
            removal_policy=cdk.RemovalPolicy.SNAPSHOT if self.settings.is_kept else cdk.RemovalPolicy.DESTROY,
        )

    def _scale_readers(self) -> None:
        config = self.settings.database
        target = autoscaling.ScalableTarget(
            self,
            "Readers",
            service_namespace=autoscaling.ServiceNamespace.RDS,
            scalable_dimension="rds:cluster:ReadReplicaCount",
            resource_id=f"cluster:{self.cluster.cluster_identifier}",
            min_capacity=config.readers,
            max_capacity=config.readers_max,
        )
        for name, metric, value in (
            ("Cpu", autoscaling.PredefinedMetric.RDS_READER_AVERAGE_CPU_UTILIZATION, config.reader_cpu_percent),
            (
                "Connections",
                autoscaling.PredefinedMetric.RDS_READER_AVERAGE_DATABASE_CONNECTIONS,
                config.reader_connections,
            ),
        ):
            target.scale_to_track_metric(name, target_value=value, predefined_metric=metric)
