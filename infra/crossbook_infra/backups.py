"""AWS Backup: every hour, every day and every month, with a copy in the second region."""

import aws_cdk as cdk
from aws_cdk import aws_backup as backup
from aws_cdk import aws_events as events
from aws_cdk import aws_kms as kms
from constructs import Construct

from crossbook_infra.config import REPLICA_REGION, EnvironmentConfig
from crossbook_infra.database import DatabaseStack
from crossbook_infra.replica import replica_vault_name
from crossbook_infra.stack import ExchangeStack, accept


class BackupStack(ExchangeStack):
    """Of the tables and the database. The buckets are versioned and copied as they are written.

    The hourly copy is what bounds the loss of a disaster (< 1 h); that of a region is bounded by the tables' replicas.
    """

    def __init__(
        self,
        scope: Construct,
        settings: EnvironmentConfig,
        *,
        key: kms.IKey,
        database: DatabaseStack,
    ) -> None:
        super().__init__(scope, settings, "backups", "Crossbook: AWS Backup")
        vault = backup.BackupVault(
            self,
            "Vault",
            backup_vault_name=settings.prefix,
            encryption_key=key,
            removal_policy=self.removal_policy,
        )
        plan = backup.BackupPlan(self, "Plan", backup_plan_name=settings.prefix, backup_vault=vault)
        for name, schedule, days in (
            ("hourly", events.Schedule.cron(minute="10"), 2),
            ("daily", events.Schedule.cron(minute="30", hour="4"), 35),
            ("monthly", events.Schedule.cron(minute="30", hour="5", day="1"), 365),
        ):
            plan.add_rule(
                backup.BackupPlanRule(
                    rule_name=name,
                    schedule_expression=schedule,
                    start_window=cdk.Duration.hours(1),
                    completion_window=cdk.Duration.hours(3),
                    delete_after=cdk.Duration.days(days),
                    copy_actions=self._copies(days),
                )
            )
        selection = plan.add_selection(
            "Stores",
            resources=[
                *(backup.BackupResource.from_arn(self.table_arn(table.name)) for table in self.topology.tables),
                backup.BackupResource.from_arn(database.cluster.cluster_arn),
            ],
            allow_restores=True,
        )
        for policy in ("Backup", "Restores"):
            accept(
                selection,
                f"IAM4[Policy::arn:<AWS::Partition>:iam::aws:policy/service-role/AWSBackupServiceRolePolicyFor{policy}]",
                "AWS's own policy for its backups: they cover whatever stores there are",
            )

    def _copies(self, days: int) -> list[backup.BackupPlanCopyActionProps]:
        if not self.settings.is_replicated:
            return []
        arn = self.format_arn(
            service="backup",
            region=REPLICA_REGION,
            resource="backup-vault",
            resource_name=replica_vault_name(self.settings),
            arn_format=cdk.ArnFormat.COLON_RESOURCE_NAME,
        )
        copy = backup.BackupVault.from_backup_vault_arn(self, f"Copies{days}", arn)
        return [backup.BackupPlanCopyActionProps(destination_backup_vault=copy, delete_after=cdk.Duration.days(days))]
