"""Keys, secrets, policies, and the guards of the account."""

from typing import Final

from tests.infra.design.finds import PARTITIONS, Find, Row

SECURITY: Final = (
    Row("security", "KMS keys", [Find("KMS::Key", lambda p: p["EnableKeyRotation"], count=3)]),
    Row(
        "security",
        "Secrets Manager with rotation",
        [
            Find("RDS::DBCluster", lambda p: p["ManageMasterUserPassword"]),
            Find("SecretsManager::RotationSchedule", lambda p: p["RotationRules"]["AutomaticallyAfterDays"] == 30),
            Find("SecretsManager::Secret", count=2),
        ],
    ),
    Row(
        "security",
        "TLS 1.2+ everywhere",
        [
            Find(
                "ElasticLoadBalancingV2::Listener",
                lambda p: (p["Protocol"], p.get("SslPolicy")) == ("HTTPS", "ELBSecurityPolicy-TLS13-1-2-Res-2021-06"),
                count=2,
            ),
            Find(
                "CloudFront::Distribution",
                lambda p: all(
                    one["CustomOriginConfig"]["OriginSSLProtocols"] == ["TLSv1.2"]
                    for one in p["DistributionConfig"]["Origins"]
                ),
            ),
            Find("ElastiCache::ReplicationGroup", lambda p: p["TransitEncryptionMode"] == "required"),
            Find("RDS::DBClusterParameterGroup", lambda p: p["Parameters"]["rds.force_ssl"] == "1"),
            Find(
                "S3::BucketPolicy",
                lambda p: any(
                    one["Effect"] == "Deny" and one.get("Condition", {}).get("Bool") == {"aws:SecureTransport": "false"}
                    for one in p["PolicyDocument"]["Statement"]
                ),
                count=8,
            ),
            Find(
                "SQS::QueuePolicy",
                lambda p: any(one["Effect"] == "Deny" for one in p["PolicyDocument"]["Statement"]),
                count=2 * PARTITIONS,
            ),
        ],
    ),
    Row(
        "security",
        "CloudTrail, GuardDuty, Config, VPC flow logs",
        [
            Find("CloudTrail::Trail", lambda p: p["IsMultiRegionTrail"] and p["EnableLogFileValidation"]),
            Find("GuardDuty::Detector", lambda p: p["Enable"]),
            Find("Config::ConfigurationRecorder"),
            Find("Config::ConfigRule", count=10),
            Find("EC2::FlowLog"),
        ],
    ),
)
