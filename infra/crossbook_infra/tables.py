"""The DynamoDB tables: on demand, recoverable to any second of 35 days, with a replica in the second region."""

from aws_cdk import aws_dynamodb as dynamodb
from aws_cdk import aws_kms as kms
from constructs import Construct

from crossbook_infra.config import REPLICA_REGION, EnvironmentConfig
from crossbook_infra.replica import replica_key_arn
from crossbook_infra.stack import ExchangeStack
from exchange_core.topology import TableSpec

_TYPES = {"S": dynamodb.AttributeType.STRING, "N": dynamodb.AttributeType.NUMBER}


class TableStack(ExchangeStack):
    """One table for each of the topology.

    The replicas are eventually consistent copies for the loss of a region, never written while this one lives: the
    journal's conditional put is safe within one region only.
    """

    def __init__(self, scope: Construct, settings: EnvironmentConfig, *, key: kms.IKey) -> None:
        super().__init__(scope, settings, "tables", "Crossbook: DynamoDB tables")
        self.tables = {spec.name: self._table(spec, key) for spec in self.topology.tables}

    def _table(self, spec: TableSpec, key: kms.IKey) -> dynamodb.TableV2:
        recovery = dynamodb.PointInTimeRecoverySpecification(
            point_in_time_recovery_enabled=True, recovery_period_in_days=35
        )
        replicas = []
        replica_keys: dict[str, str] = {}
        if self.settings.is_replicated:
            replica_keys[REPLICA_REGION] = replica_key_arn(self)
            replicas.append(
                dynamodb.ReplicaTableProps(
                    region=REPLICA_REGION,
                    point_in_time_recovery_specification=recovery,
                    deletion_protection=self.settings.is_kept,
                )
            )
        return dynamodb.TableV2(
            self,
            spec.name.removeprefix(f"{self.settings.prefix}-").title().replace("-", ""),
            table_name=spec.name,
            partition_key=_attribute(spec.hash_key),
            sort_key=_attribute(spec.range_key) if spec.range_key else None,
            billing=dynamodb.Billing.on_demand(),
            time_to_live_attribute=spec.ttl_attribute,
            point_in_time_recovery_specification=recovery,
            encryption=dynamodb.TableEncryptionV2.customer_managed_key(key, replica_keys),
            replicas=replicas,
            deletion_protection=self.settings.is_kept,
            removal_policy=self.removal_policy,
        )


def _attribute(key: tuple[str, str]) -> dynamodb.Attribute:
    name, type_ = key
    return dynamodb.Attribute(name=name, type=_TYPES[type_])
