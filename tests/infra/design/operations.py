"""What is watched, drawn, traced and kept."""

from typing import Final

from tests.infra.assembly import as_text
from tests.infra.design.finds import PARTITIONS, Find, Row


def has_alarm(name: str, count: int = 1) -> Find:
    return Find(
        "CloudWatch::Alarm",
        lambda p: str(p.get("AlarmName", "")).rstrip("0123456789") == f"crossbook-{name}",
        count=count,
        stack="operations",
    )


OPERATIONS: Final = (
    Row("operations", "CloudWatch dashboards", [Find("CloudWatch::Dashboard", count=5)]),
    Row(
        "operations",
        "alarms",
        [
            has_alarm("SettlementBehind"),
            has_alarm("PartitionSilent", PARTITIONS),
            has_alarm("PartitionHalted", PARTITIONS),
            has_alarm("DeadLetters", PARTITIONS),
            has_alarm("Differences"),
            has_alarm("ReconcilerSilent"),
            has_alarm("Quarantined", PARTITIONS),
            has_alarm("RequestsSlow"),
            Find("SNS::Topic"),
        ],
    ),
    Row(
        "operations",
        "logs",
        [Find("Logs::LogGroup", lambda p: "KmsKeyId" in p and p["RetentionInDays"] >= 30, count=None)],
    ),
    Row(
        "operations",
        "X-Ray through OpenTelemetry",
        [
            Find("XRay::Group"),
            Find("XRay::SamplingRule"),
            *(
                Find(
                    "ECS::TaskDefinition",
                    lambda p: any("aws-otel-collector" in as_text(one["Image"]) for one in p["ContainerDefinitions"]),
                    stack=service,
                )
                for service in ("gateway", "matcher", "reconciler", "fanout")
            ),
            Find(
                "Lambda::Function",
                lambda p: (
                    p["TracingConfig"] == {"Mode": "Active"}
                    and [":layer:aws-otel-collector-amd64-" in as_text(one) for one in p["Layers"]] == [True]
                    and p["Environment"]["Variables"]["OTEL_EXPORTER_OTLP_ENDPOINT"] == "http://127.0.0.1:4318"
                ),
            ),
        ],
    ),
    Row(
        "operations",
        "Backup plans with a copy in us-west-2",
        [
            Find(
                "Backup::BackupPlan",
                lambda p: all(
                    "us-west-2" in as_text(one["CopyActions"][0]["DestinationBackupVaultArn"])
                    for one in p["BackupPlan"]["BackupPlanRule"]
                ),
            ),
            Find("Backup::BackupSelection", lambda p: len(p["BackupSelection"]["Resources"]) == 8),
            Find("Backup::BackupVault", count=2),
        ],
    ),
)
