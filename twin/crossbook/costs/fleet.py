"""What stands there whatever the traffic: counted from the CloudFormation templates of one environment."""

import json
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

Resource = Mapping[str, Any]


class NoTemplatesError(ValueError):
    """The folder holds no synthesized templates."""


@dataclass(frozen=True, slots=True)
class TaskFleet:
    """The tasks of one service that always run; vCPUs and GB of each."""

    service: str
    tasks: int
    vcpus: float
    gigabytes: float


@dataclass(slots=True)
class Fleet:
    """Counts. `instances` and `cache_nodes` map an instance class to how many there are."""

    tasks: list[TaskFleet] = field(default_factory=list)
    instances: Counter[str] = field(default_factory=Counter)
    cache_nodes: Counter[str] = field(default_factory=Counter)
    shards: int = 0
    stream_hours_kept: int = 24
    tables_are_replicated: bool = False
    queues: int = 0
    nat_gateways: int = 0
    endpoint_zones: int = 0
    load_balancers: int = 0
    keys: int = 0
    secrets: int = 0
    alarms: int = 0
    dashboards: int = 0
    firewall_rules: list[int] = field(default_factory=list)
    hosted_zones: int = 0
    lambda_gigabytes: float = 0.0
    trace_share: float = 0.0
    has_guard_duty: bool = False
    config_rules: int = 0
    resources: int = 0

    @property
    def gateway_tasks(self) -> int:
        """How many gateways take orders, each with a group commit of its own."""
        return next((fleet.tasks for fleet in self.tasks if fleet.service == "gateway"), 1)


def read_fleet(folder: Path) -> Fleet:
    """Count what the templates in a folder declare; raises NoTemplatesError."""
    paths = sorted(folder.glob("*.template.json"))
    if not paths:
        raise NoTemplatesError(f"{folder} holds no templates")
    fleet = Fleet()
    for path in paths:
        resources = json.loads(path.read_text()).get("Resources", {})
        fleet.resources += len(resources)
        fleet.tasks.extend(_tasks(path.name.removesuffix(".template.json"), list(resources.values())))
        for resource in resources.values():
            _count(fleet, resource["Type"], resource.get("Properties", {}))
    return fleet


def _tasks(stack: str, resources: list[Resource]) -> Iterator[TaskFleet]:
    services = [one["Properties"] for one in resources if one["Type"] == "AWS::ECS::Service"]
    definitions = [one["Properties"] for one in resources if one["Type"] == "AWS::ECS::TaskDefinition"]
    for service, definition in zip(services, definitions, strict=False):
        yield TaskFleet(stack, service["DesiredCount"], int(definition["Cpu"]) / 1024, int(definition["Memory"]) / 1024)


def _count(fleet: Fleet, kind: str, properties: Resource) -> None:
    match kind:
        case "AWS::RDS::DBInstance":
            fleet.instances[properties["DBInstanceClass"]] += 1
        case "AWS::ElastiCache::ReplicationGroup":
            fleet.cache_nodes[properties["CacheNodeType"]] += properties.get("NumCacheClusters", 1)
        case "AWS::Kinesis::Stream":
            fleet.shards += properties.get("ShardCount", 1)
            fleet.stream_hours_kept = properties.get("RetentionPeriodHours", 24)
        case "AWS::DynamoDB::GlobalTable":
            fleet.tables_are_replicated |= len(properties["Replicas"]) > 1
        case "AWS::EC2::VPCEndpoint" if properties.get("VpcEndpointType") == "Interface":
            fleet.endpoint_zones += len(properties["SubnetIds"])
        case "AWS::WAFv2::WebACL":
            fleet.firewall_rules.append(len(properties.get("Rules", [])))
        case "AWS::Lambda::Function":
            fleet.lambda_gigabytes = max(fleet.lambda_gigabytes, properties.get("MemorySize", 128) / 1024)
        case "AWS::XRay::SamplingRule":
            fleet.trace_share = properties["SamplingRule"]["FixedRate"]
        case "AWS::GuardDuty::Detector":
            fleet.has_guard_duty = True
        case _ if kind in _PLAIN:
            setattr(fleet, _PLAIN[kind], getattr(fleet, _PLAIN[kind]) + 1)


_PLAIN = {
    "AWS::SQS::Queue": "queues",
    "AWS::EC2::NatGateway": "nat_gateways",
    "AWS::ElasticLoadBalancingV2::LoadBalancer": "load_balancers",
    "AWS::KMS::Key": "keys",
    "AWS::SecretsManager::Secret": "secrets",
    "AWS::CloudWatch::Alarm": "alarms",
    "AWS::CloudWatch::Dashboard": "dashboards",
    "AWS::Route53::HostedZone": "hosted_zones",
    "AWS::Config::ConfigRule": "config_rules",
}
