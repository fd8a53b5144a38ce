"""ElastiCache: Redis for caches and pub/sub. Losing all of it loses no order and no money."""

from typing import Final

from aws_cdk import aws_elasticache as elasticache
from aws_cdk import aws_kms as kms
from aws_cdk import aws_logs as logs
from aws_cdk import aws_secretsmanager as secretsmanager
from constructs import Construct

from crossbook_infra.config import EnvironmentConfig
from crossbook_infra.network import CACHE_PORT, NetworkStack
from crossbook_infra.stack import ExchangeStack, accept

_ENGINE_VERSION: Final = "7.1"


class CacheStack(ExchangeStack):
    """A primary and a replica in two zones, that change places by themselves; TLS and a password."""

    def __init__(
        self,
        scope: Construct,
        settings: EnvironmentConfig,
        *,
        network: NetworkStack,
        key: kms.IKey,
        records_key: kms.IKey,
    ) -> None:
        super().__init__(scope, settings, "cache", "Crossbook: ElastiCache for Redis")
        config = settings.cache
        self.secret = secretsmanager.Secret(
            self,
            "Password",
            secret_name=f"{settings.prefix}/redis",
            description="Password of Crossbook's Redis",
            encryption_key=key,
            generate_secret_string=secretsmanager.SecretStringGenerator(
                secret_string_template="{}",  # noqa: S106 - what the password is put into
                generate_string_key="password",
                password_length=64,
                exclude_punctuation=True,
            ),
            removal_policy=self.removal_policy,
        )
        accept(self.secret, "SMG4", "ElastiCache takes a new password only beside the old one: by hand, see the README")
        group = logs.LogGroup(
            self,
            "SlowLog",
            log_group_name=f"/{settings.prefix}/redis",
            encryption_key=records_key,
            retention=logs.RetentionDays.ONE_MONTH,
            removal_policy=self.removal_policy,
        )
        subnets = elasticache.CfnSubnetGroup(
            self,
            "Subnets",
            cache_subnet_group_name=settings.prefix,
            description="Crossbook: data subnets",
            subnet_ids=[subnet.subnet_id for subnet in network.data_subnets],
        )
        has_replica = config.nodes > 1
        self.redis = elasticache.CfnReplicationGroup(
            self,
            "Redis",
            replication_group_id=settings.prefix,
            replication_group_description="Crossbook: caches and pub/sub",
            engine="redis",
            engine_version=_ENGINE_VERSION,
            cache_node_type=config.node_type,
            num_cache_clusters=config.nodes,
            automatic_failover_enabled=has_replica,
            multi_az_enabled=has_replica,
            cache_subnet_group_name=subnets.ref,
            security_group_ids=[network.cache.security_group_id],
            port=CACHE_PORT,
            transit_encryption_enabled=True,
            transit_encryption_mode="required",
            at_rest_encryption_enabled=True,
            kms_key_id=key.key_id,
            auth_token=self.secret.secret_value_from_json("password").unsafe_unwrap(),
            snapshot_retention_limit=config.snapshot_days,
            snapshot_window="03:00-04:00",
            preferred_maintenance_window="sun:04:30-sun:05:30",
            auto_minor_version_upgrade=True,
            log_delivery_configurations=[
                elasticache.CfnReplicationGroup.LogDeliveryConfigurationRequestProperty(
                    log_type="slow-log",
                    log_format="json",
                    destination_type="cloudwatch-logs",
                    destination_details=elasticache.CfnReplicationGroup.DestinationDetailsProperty(
                        cloud_watch_logs_details=elasticache.CfnReplicationGroup.CloudWatchLogsDestinationDetailsProperty(
                            log_group=group.log_group_name
                        )
                    ),
                )
            ],
        )
        self.redis.apply_removal_policy(self.removal_policy)
        if not has_replica:
            accept(self.redis, "AEC4", "One node, by the settings: losing it loses no order and no money")
        accept(self.redis, "AEC5", "The port is in the design; nobody but tasks and Lambda reaches it")

    @property
    def url(self) -> str:
        """Without the password, which whoever connects fetches for himself."""
        return f"rediss://{self.redis.attr_primary_end_point_address}:{CACHE_PORT}"
