"""Database, tables, queues, stream and buckets."""

from typing import Final

from tests.infra.assembly import as_text
from tests.infra.design.finds import PARTITIONS, Find, Row

DATA: Final = (
    Row(
        "data",
        "Aurora PostgreSQL writer and 2 readers over three zones",
        [
            Find(
                "RDS::DBInstance",
                lambda p, zone=zone: (p["Engine"], p["AvailabilityZone"]) == ("aurora-postgresql", f"us-east-1{zone}"),
            )
            for zone in "abc"
        ],
    ),
    Row(
        "data",
        "readers scale to 4 on CPU > 75 % or connections > 500",
        [
            Find(
                "ApplicationAutoScaling::ScalableTarget",
                lambda p: (p["MinCapacity"], p["MaxCapacity"]) == (2, 4),
                stack="database",
            ),
            *(
                Find(
                    "ApplicationAutoScaling::ScalingPolicy",
                    lambda p, metric=metric, value=value: (
                        (
                            p["TargetTrackingScalingPolicyConfiguration"]["TargetValue"],
                            p["TargetTrackingScalingPolicyConfiguration"]["PredefinedMetricSpecification"][
                                "PredefinedMetricType"
                            ],
                        )
                        == (value, metric)
                    ),
                    stack="database",
                )
                for metric, value in (
                    ("RDSReaderAverageCPUUtilization", 75),
                    ("RDSReaderAverageDatabaseConnections", 500),
                )
            ),
        ],
    ),
    Row(
        "data",
        "35 days, point in time",
        [Find("RDS::DBCluster", lambda p: p["BackupRetentionPeriod"] == 35 and p["StorageEncrypted"])],
    ),
    Row(
        "data",
        "DynamoDB on demand with PITR",
        [
            Find(
                "DynamoDB::GlobalTable",
                lambda p: (
                    p["BillingMode"] == "PAY_PER_REQUEST"
                    and {one["Region"] for one in p["Replicas"]} == {"us-east-1", "us-west-2"}
                    and all(
                        one["PointInTimeRecoverySpecification"]["PointInTimeRecoveryEnabled"] for one in p["Replicas"]
                    )
                ),
                count=7,
            )
        ],
    ),
    Row(
        "data",
        "Kinesis",
        [Find("Kinesis::Stream", lambda p: (p["ShardCount"], p["RetentionPeriodHours"]) == (PARTITIONS, 168))],
    ),
    Row(
        "data",
        "SQS FIFO high throughput with DLQ",
        [
            Find(
                "SQS::Queue",
                lambda p: (
                    p["FifoQueue"]
                    and p.get("FifoThroughputLimit") == "perMessageGroupId"
                    and p.get("DeduplicationScope") == "messageGroup"
                    and as_text(p["RedrivePolicy"]["deadLetterTargetArn"]).startswith("${DeadOrders")
                ),
                count=PARTITIONS,
            ),
            Find("SQS::Queue", lambda p: p["FifoQueue"] and "RedrivePolicy" not in p, count=PARTITIONS),
        ],
    ),
    Row(
        "data",
        "S3 versioned, KMS, Glacier after 90 days, replicated to us-west-2",
        [
            Find(
                "S3::Bucket",
                lambda p: (
                    p["VersioningConfiguration"]["Status"] == "Enabled"
                    and p["BucketEncryption"]["ServerSideEncryptionConfiguration"][0]["ServerSideEncryptionByDefault"][
                        "SSEAlgorithm"
                    ]
                    == "aws:kms"
                    and [
                        (one["StorageClass"], one["TransitionInDays"])
                        for one in p["LifecycleConfiguration"]["Rules"][0]["Transitions"]
                    ]
                    == [("GLACIER", 90)]
                    and p["ReplicationConfiguration"]["Rules"][0]["Status"] == "Enabled"
                    if "ReplicationConfiguration" in p
                    else False
                ),
                count=2,
                stack="buckets",
            ),
            Find("S3::Bucket", lambda p: "-replica-" in as_text(p["BucketName"]), count=3, stack="replica"),
        ],
    ),
)
