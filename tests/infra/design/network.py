"""The network: one VPC, two zones for the services and three for the data."""

from typing import Final

from tests.infra.assembly import as_text
from tests.infra.design.finds import Find, Row


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
