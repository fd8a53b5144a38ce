"""The table of the deployment's design, row by row, each with what must be found in the templates.

A row is the promise in words, and for every resource that keeps it a query with the very numbers. The tests demand that
each query finds as many as it says; docs/aws.md is written from the same queries.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from tests.infra.assembly import Assembly, Properties, Resource, as_text

PARTITIONS: Final = 8


@dataclass(frozen=True, slots=True)
class Find:
    """Resources of a type (without `AWS::`) with these properties; `count` None: one or more."""

    type: str
    where: Callable[[Properties], object] = lambda _: True
    count: int | None = 1
    stack: str | None = None

    def found(self, assembly: Assembly) -> list[Resource]:
        return assembly.select(self.type, self.where, stack=self.stack)


@dataclass(frozen=True, slots=True)
class Row:
    """One promise."""

    layer: str
    promise: str
    finds: Sequence[Find]


def subnet(cidr: str, zone: str) -> Find:
    return Find("EC2::Subnet", lambda p: (p["CidrBlock"], p["AvailabilityZone"]) == (cidr, f"us-east-1{zone}"))


def endpoint(service: str, kind: str) -> Find:
    return Find(
        "EC2::VPCEndpoint",
        lambda p: as_text(p["ServiceName"]).endswith(f".{service}") and p.get("VpcEndpointType") == kind,
    )


def opened(kind: str, port: int, from_to: str) -> Find:
    """A rule of a security group, standing alone, between two groups."""
    one, other = from_to.split(" → ")
    own, peer = ("GroupId", "DestinationSecurityGroupId") if kind == "Egress" else ("SourceSecurityGroupId", "GroupId")
    return Find(
        f"EC2::SecurityGroup{kind}",
        lambda p: (
            p["FromPort"] == p["ToPort"] == port
            and as_text(p.get(own)).startswith(f"${{{one}Group")
            and as_text(p.get(peer)).startswith(f"${{{other}Group")
        ),
    )


def tagged(service: str) -> Sequence[Find]:
    """The tasks of a service: how large, how many, and how their number follows the load."""
    finds = [
        Find("ECS::TaskDefinition", lambda p: (p["Cpu"], p["Memory"]) == ("2048", "4096"), stack=service),
        Find(
            "ECS::TaskDefinition",
            lambda p: all(container["ReadonlyRootFilesystem"] for container in p["ContainerDefinitions"]),
            stack=service,
        ),
        Find(
            "ECS::Service",
            lambda p: (
                p["DesiredCount"] == 10
                and p["LaunchType"] == "FARGATE"
                and len(p["NetworkConfiguration"]["AwsvpcConfiguration"]["Subnets"]) == 2
            ),
            stack=service,
        ),
        Find(
            "ApplicationAutoScaling::ScalableTarget",
            lambda p: (p["MinCapacity"], p["MaxCapacity"]) == (10, 200),
            stack=service,
        ),
        stepped(service, 50),
        stepped(service, -25),
        high(service, "CPUUtilization", 70),
        high(service, "MemoryUtilization", 80),
    ]
    if service != "matcher":
        finds += [requests(service), tracked(service)]
    return finds


def stepped(service: str, percent: int) -> Find:
    def is_it(p: Properties) -> bool:
        step = p.get("StepScalingPolicyConfiguration", {})
        return bool(
            step
            and step["AdjustmentType"] == "PercentChangeInCapacity"
            and step["Cooldown"] == 120
            and [one["ScalingAdjustment"] for one in step["StepAdjustments"]] == [percent]
        )

    return Find("ApplicationAutoScaling::ScalingPolicy", is_it, stack=service)


def tracked(service: str) -> Find:
    def is_it(p: Properties) -> bool:
        tracking = p.get("TargetTrackingScalingPolicyConfiguration", {})
        return bool(tracking) and (tracking["TargetValue"], tracking["ScaleOutCooldown"]) == (50 * 60, 120)

    return Find("ApplicationAutoScaling::ScalingPolicy", is_it, stack=service)


def high(service: str, metric: str, threshold: int) -> Find:
    return Find(
        "CloudWatch::Alarm",
        lambda p: (
            (p.get("MetricName"), p["Threshold"], p["ComparisonOperator"])
            == (metric, threshold, "GreaterThanThreshold")
        ),
        stack=service,
    )


def requests(service: str) -> Find:
    return Find(
        "CloudWatch::Alarm",
        lambda p: (
            p["Threshold"] == 50
            and any(one.get("Expression") == "total / 60" and one["ReturnData"] for one in p.get("Metrics", []))
        ),
        stack=service,
    )


def rule(scope: str, has: Callable[[Properties], object]) -> Find:
    return Find("WAFv2::WebACL", lambda p: p["Scope"] == scope and any(has(one["Statement"]) for one in p["Rules"]))


def managed(name: str) -> Callable[[Properties], object]:
    return lambda s: s.get("ManagedRuleGroupStatement", {}).get("Name") == name


def goes_to_stream(p: Properties) -> bool:
    """Whether the distribution sends `/ws`, and that alone, to fanout's name."""
    config = p["DistributionConfig"]
    (stream,) = (one for one in config["Origins"] if as_text(one["DomainName"]).startswith("stream."))
    paths = [one["PathPattern"] for one in config["CacheBehaviors"] if one["TargetOriginId"] == stream["Id"]]
    return paths == ["/ws"]


def documented(p: Properties) -> Any:
    return p["Body"]


def has_alarm(name: str, count: int = 1) -> Find:
    return Find(
        "CloudWatch::Alarm",
        lambda p: str(p.get("AlarmName", "")).rstrip("0123456789") == f"crossbook-{name}",
        count=count,
        stack="operations",
    )


NETWORK: Final = (
    Row("network", "VPC 10.0.0.0/16", [Find("EC2::VPC", lambda p: p["CidrBlock"] == "10.0.0.0/16")]),
    Row("network", "public 10.0.1.0/24, 10.0.2.0/24 (a, b)", [subnet("10.0.1.0/24", "a"), subnet("10.0.2.0/24", "b")]),
    Row("network", "app 10.0.10.0/24, 10.0.11.0/24", [subnet("10.0.10.0/24", "a"), subnet("10.0.11.0/24", "b")]),
    Row(
        "network",
        "data 10.0.20.0/24, 10.0.21.0/24, 10.0.22.0/24 (a, b, c)",
        [subnet("10.0.20.0/24", "a"), subnet("10.0.21.0/24", "b"), subnet("10.0.22.0/24", "c")],
    ),
    Row(
        "network",
        "internet gateway, a NAT gateway a zone",
        [Find("EC2::InternetGateway"), Find("EC2::NatGateway", count=2), Find("EC2::EIP", count=2)],
    ),
    Row(
        "network", "endpoints: S3 and DynamoDB (gateway)", [endpoint("s3", "Gateway"), endpoint("dynamodb", "Gateway")]
    ),
    Row(
        "network",
        "endpoints: Secrets Manager, CloudWatch Logs, ECR, SQS, Kinesis (interface)",
        [
            endpoint(service, "Interface")
            for service in ("secretsmanager", "logs", "ecr.api", "ecr.dkr", "sqs", "kinesis-streams")
        ],
    ),
    Row(
        "network",
        "network ACLs",
        [Find("EC2::NetworkAcl", count=3), Find("EC2::SubnetNetworkAclAssociation", count=7)],
    ),
    Row(
        "network",
        "flow logs",
        [Find("EC2::FlowLog", lambda p: (p["TrafficType"], p["ResourceType"]) == ("ALL", "VPC"))],
    ),
    Row(
        "network",
        "security groups: load balancer 443 in, 8080 out",
        [
            opened("Ingress", 443, "VpcLink → InternalBalancer"),
            opened("Egress", 8080, "InternalBalancer → Tasks"),
            opened("Egress", 8080, "PublicBalancer → Tasks"),
            Find(
                "EC2::SecurityGroupIngress",
                lambda p: p["FromPort"] == 443 and str(p.get("SourcePrefixListId", "")).startswith("pl-"),
            ),
        ],
    ),
    Row(
        "network",
        "security groups: tasks 8080 in, 5432, 6379, 443 out",
        [
            opened("Ingress", 8080, "InternalBalancer → Tasks"),
            opened("Ingress", 8080, "PublicBalancer → Tasks"),
            opened("Egress", 5432, "Tasks → Database"),
            opened("Egress", 6379, "Tasks → Cache"),
            Find(
                "EC2::SecurityGroup",
                lambda p: (
                    p["GroupDescription"] == "Fargate tasks"
                    and [one["ToPort"] for one in p["SecurityGroupEgress"]] == [443]
                ),
            ),
        ],
    ),
    Row(
        "network",
        "security groups: Aurora 5432 and Redis 6379 from tasks and Lambda only",
        [
            *(opened("Ingress", 5432, f"{caller} → Database") for caller in ("Tasks", "Function")),
            *(opened("Ingress", 6379, f"{caller} → Cache") for caller in ("Tasks", "Function")),
            Find(
                "EC2::SecurityGroupIngress",
                lambda p: as_text(p["GroupId"]).startswith(("${DatabaseGroup", "${CacheGroup")),
                count=4,
            ),
        ],
    ),
)
EDGE: Final = (
    Row("edge", "Route 53", [Find("Route53::RecordSet", lambda p: p["Type"] in {"A", "AAAA"}, count=2, stack="edge")]),
    Row(
        "edge",
        "CloudFront (Shield Standard)",
        [
            Find(
                "CloudFront::Distribution",
                lambda p: p["DistributionConfig"]["ViewerCertificate"]["MinimumProtocolVersion"] == "TLSv1.2_2021",
            )
        ],
    ),
    Row(
        "edge",
        "WAF: SQL injection, XSS, rate, countries",
        [
            rule(scope, has)
            for scope in ("CLOUDFRONT", "REGIONAL")
            for has in (
                managed("AWSManagedRulesSQLiRuleSet"),
                managed("AWSManagedRulesCommonRuleSet"),
                lambda s: "RateBasedStatement" in s,
                lambda s: "GeoMatchStatement" in s,
            )
        ],
    ),
)
API: Final = (
    Row(
        "API",
        "API Gateway REST from the OpenAPI file",
        [Find("ApiGateway::RestApi", lambda p: "/api/v1/order" in documented(p)["paths"], count=2)],
    ),
    Row(
        "API",
        "JWT by Cognito",
        [
            Find(
                "ApiGateway::RestApi",
                lambda p: (
                    documented(p)["paths"]["/api/v1/order"]["post"]["security"]
                    == [{"users": ["aws.cognito.signin.user.admin"]}]
                    and documented(p)["components"]["securitySchemes"]["users"]["x-amazon-apigateway-authtype"]
                    == "cognito_user_pools"
                ),
            )
        ],
    ),
    Row(
        "API",
        "API keys and usage plans",
        [
            Find("ApiGateway::ApiKey"),
            Find("ApiGateway::UsagePlan"),
            Find("ApiGateway::UsagePlanKey"),
            Find(
                "ApiGateway::RestApi",
                lambda p: documented(p)["paths"]["/api/v1/order"]["post"]["security"] == [{"bots": []}],
            ),
        ],
    ),
    Row(
        "API",
        "request validation",
        [
            Find(
                "ApiGateway::RestApi",
                lambda p: (
                    documented(p)["x-amazon-apigateway-request-validators"][
                        documented(p)["x-amazon-apigateway-request-validator"]
                    ]
                    == {"validateRequestBody": True, "validateRequestParameters": True}
                ),
                count=2,
            )
        ],
    ),
    Row(
        "API",
        "10,000 RPS throttle",
        [
            Find(
                "ApiGateway::Stage",
                lambda p: [one["ThrottlingRateLimit"] for one in p["MethodSettings"]] == [10_000],
                count=2,
            )
        ],
    ),
    Row(
        "API",
        "API Gateway WebSocket: instead of it `/ws` from CloudFront to fanout's load balancer "
        "([ADR 15](adr/0015-websockets-go-through-a-load-balancer.md))",
        [
            Find("CloudFront::Distribution", goes_to_stream),
            Find(
                "Route53::RecordSet",
                lambda p: p["Name"] == "stream.crossbook.example.com." and "Balancer" in as_text(p["AliasTarget"]),
                stack="fanout",
            ),
            Find("ElasticLoadBalancingV2::LoadBalancer", lambda p: p["Scheme"] == "internet-facing", stack="fanout"),
            Find("ApiGatewayV2::Api", count=0),
            Find("ApiGatewayV2::Integration", count=0),
        ],
    ),
    Row("API", "VPC links", [Find("ApiGatewayV2::VpcLink")]),
    Row(
        "API",
        "Cognito",
        [Find("Cognito::UserPool"), Find("Cognito::UserPoolClient"), Find("Cognito::UserPoolGroup")],
    ),
)
SERVICES: Final = (
    *(
        Row(
            "services",
            f"Fargate: {service} (2 vCPU, 4 GB; 5 tasks a zone, min 10, max 200; out +50 %, in −25 %, cooldown 2 min, "
            "on CPU > 70 %, memory > 80 %"
            + (")" if service == "matcher" else ", requests > 50 a task)")
            + "; read-only root filesystem",
            tagged(service),
        )
        for service in ("gateway", "matcher", "fanout")
    ),
    Row(
        "services",
        "Fargate: reconciler, the persister's other mode (1/2 vCPU, 4 GB; one task)",
        [
            Find(
                "ECS::TaskDefinition",
                lambda p: (
                    (p["Cpu"], p["Memory"]) == ("512", "4096")
                    and "exchange_persister.reconcile" in as_text(p["ContainerDefinitions"][0]["Command"])
                    and "RefPersister" in as_text(p["ContainerDefinitions"][0]["Image"])
                    and all(container["ReadonlyRootFilesystem"] for container in p["ContainerDefinitions"])
                ),
                stack="reconciler",
            ),
            Find(
                "ECS::Service",
                lambda p: p["DesiredCount"] == 1 and p["LaunchType"] == "FARGATE",
                stack="reconciler",
            ),
            Find("ApplicationAutoScaling::ScalableTarget", count=0, stack="reconciler"),
        ],
    ),
    Row(
        "services",
        "Lambda: persister",
        [
            Find("Lambda::Function", lambda p: p["Handler"] == "exchange_persister.lambda_handler.handler"),
            Find(
                "Lambda::EventSourceMapping",
                lambda p: (
                    p["BisectBatchOnFunctionError"]
                    and p["FunctionResponseTypes"] == ["ReportBatchItemFailures"]
                    and p["ParallelizationFactor"] == 1
                    and p["StartingPosition"] == "TRIM_HORIZON"
                    and "MaximumRetryAttempts" not in p
                    and "MaximumRecordAgeInSeconds" not in p
                    and "DestinationConfig" not in p
                ),
            ),
        ],
    ),
    Row(
        "services",
        "a role each",
        [
            *(
                Find("IAM::Role", lambda p, who=who: p.get("Description") == f"What Crossbook's {who} may do")
                for who in ("gateway", "matcher", "persister", "reconciler", "fanout")
            )
        ],
    ),
    Row(
        "services",
        "image scan",
        [
            Find(
                "ECR::Repository",
                lambda p: (
                    p["ImageScanningConfiguration"] == {"ScanOnPush": True} and p["ImageTagMutability"] == "IMMUTABLE"
                ),
                count=5,
            )
        ],
    ),
)
CACHE: Final = (
    Row(
        "cache",
        "ElastiCache Redis, primary and replica in two zones, automatic failover, TLS, daily snapshots kept 7 days",
        [
            Find(
                "ElastiCache::ReplicationGroup",
                lambda p: (
                    p["NumCacheClusters"] == 2
                    and p["MultiAZEnabled"]
                    and p["AutomaticFailoverEnabled"]
                    and p["TransitEncryptionEnabled"]
                    and p["TransitEncryptionMode"] == "required"
                    and p["SnapshotRetentionLimit"] == 7
                ),
            )
        ],
    ),
)
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
ROWS: Final = (*NETWORK, *EDGE, *API, *SERVICES, *CACHE, *DATA, *SECURITY, *OPERATIONS)
