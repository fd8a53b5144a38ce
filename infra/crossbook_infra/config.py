"""What differs between environments, validated whole before anything is synthesized."""

from collections.abc import Mapping
from ipaddress import IPv4Network
from typing import Annotated, Final, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from exchange_core.topology import Topology

REGION: Final = "us-east-1"
REPLICA_REGION: Final = "us-west-2"
ZONES: Final = ("us-east-1a", "us-east-1b", "us-east-1c")

Percent = Annotated[int, Field(ge=1, le=100)]


class _Settings(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class NetworkConfig(_Settings):
    """Addresses of the VPC. Public and app subnets stand in the first zones, data subnets in all three."""

    cidr: IPv4Network = IPv4Network("10.0.0.0/16")
    public: tuple[IPv4Network, ...] = (IPv4Network("10.0.1.0/24"), IPv4Network("10.0.2.0/24"))
    app: tuple[IPv4Network, ...] = (IPv4Network("10.0.10.0/24"), IPv4Network("10.0.11.0/24"))
    data: tuple[IPv4Network, ...] = (
        IPv4Network("10.0.20.0/24"),
        IPv4Network("10.0.21.0/24"),
        IPv4Network("10.0.22.0/24"),
    )
    nat_gateways: int = Field(default=2, ge=1, le=2)

    @model_validator(mode="after")
    def _subnets_fit(self) -> Self:
        subnets = (*self.public, *self.app, *self.data)
        assert len(self.public) == len(self.app) == 2 and len(self.data) == 3, (
            "two public and app subnets, three of data"
        )
        assert all(subnet.subnet_of(self.cidr) for subnet in subnets), "every subnet lies in the VPC"
        assert not any(one.overlaps(other) for at, one in enumerate(subnets) for other in subnets[at + 1 :]), (
            "no two subnets overlap"
        )
        return self


class SizeConfig(_Settings):
    """How large a task is: CPU in units of 1/1024, memory in MiB. One of it, unless it says more."""

    cpu_units: int = 2048
    memory_mib: int = 4096
    tasks_min: int = Field(default=1, ge=1)


class TaskConfig(SizeConfig):
    """How many tasks there are of a service that follows the load, and how large."""

    tasks_min: int = Field(default=10, ge=2)
    tasks_max: int = Field(default=200, ge=2)

    @model_validator(mode="after")
    def _both_zones_have_as_many(self) -> Self:
        assert self.tasks_min % 2 == 0, "as many tasks in one zone as in the other"
        assert self.tasks_min <= self.tasks_max
        return self


class ScalingConfig(_Settings):
    """When a service gets more tasks and when fewer. `requests` are those of a second and a task.

    Tasks are taken away while all three are under half of what adds some: a quarter fewer tasks then carry a third more
    each, which is far from adding them again.
    """

    out_percent: int = Field(default=50, ge=1)
    in_percent: Percent = 25
    cooldown_s: int = Field(default=120, ge=1)
    cpu_percent: Percent = 70
    memory_percent: Percent = 80
    requests: int = Field(default=50, ge=1)


class CacheConfig(_Settings):
    """ElastiCache: one node, or a primary and a replica in two zones."""

    node_type: str = "cache.r7g.large"
    nodes: int = Field(default=2, ge=1, le=6)
    snapshot_days: int = Field(default=7, ge=0, le=35)


class DatabaseConfig(_Settings):
    """Aurora PostgreSQL. `readers_max` above `readers` lets them scale."""

    instance_type: str = "r7g.xlarge"
    readers: int = Field(default=2, ge=0, le=15)
    readers_max: int = Field(default=4, ge=0, le=15)
    reader_cpu_percent: Percent = 75
    reader_connections: int = Field(default=500, ge=1)
    backup_days: int = Field(default=35, ge=1, le=35)

    @model_validator(mode="after")
    def _readers_fit(self) -> Self:
        assert self.readers <= self.readers_max
        return self


class EdgeConfig(_Settings):
    """The public names. `hosted_zone_id` is the Route 53 zone of `domain`, which exists; countries are ISO 3166."""

    domain: str = Field(pattern=r"[a-z0-9-]+(\.[a-z0-9-]+)+")
    hosted_zone_id: str = Field(pattern=r"Z[A-Z0-9]{4,31}")
    requests_per_address_max: int = Field(default=20_000, ge=100)
    """In five minutes, from one address."""
    countries_blocked: tuple[str, ...] = ("CU", "IR", "KP", "SY")
    load_balancer_addresses: str = "pl-3b927c52"
    """AWS's list of the addresses that CloudFront calls from, in us-east-1: its id is the same for everybody."""


class EmulatorConfig(_Settings):
    """Where an emulated cloud finds the database and Redis, which it does not make; it has no network either."""

    database_url: str = Field(pattern=r"postgres(ql)?://.+")
    redis_url: str = Field(pattern=r"rediss?://.+")


class EnvironmentConfig(_Settings):
    """One exchange in one account. `prefix` begins every name; `emulator` is for the tests."""

    name: str = Field(pattern=r"[a-z][a-z0-9]{1,11}")
    prefix: str = Field(pattern=r"[a-z][a-z0-9-]{0,30}")
    partitions: int = Field(ge=1, le=64)
    network: NetworkConfig = NetworkConfig()
    gateway: TaskConfig = TaskConfig()
    matcher: TaskConfig = TaskConfig()
    fanout: TaskConfig = TaskConfig()
    reconciler: SizeConfig = SizeConfig(cpu_units=512, memory_mib=4096)
    """One task. It holds in memory what each wallet must have, and reads the whole journal when it starts."""
    scaling: ScalingConfig = ScalingConfig()
    cache: CacheConfig = CacheConfig()
    database: DatabaseConfig = DatabaseConfig()
    edge: EdgeConfig
    requests_per_second_max: int = Field(default=10_000, ge=1)
    is_replicated: bool = True
    """Tables, objects and backups have a copy in REPLICA_REGION."""
    is_audited: bool = True
    """CloudTrail, GuardDuty and Config: once an account is enough."""
    is_kept: bool = True
    """Deleting a stack leaves its data, and the database refuses to be deleted."""
    log_days: int = Field(default=90, ge=1)
    emulator: EmulatorConfig | None = None

    @model_validator(mode="after")
    def _matchers_can_spare_a_zone(self) -> Self:
        assert self.matcher.tasks_min >= 2, "a matcher stands by in the other zone"
        return self

    @property
    def topology(self) -> Topology:
        """All names, with this account and region behind those of buckets, which the whole world shares."""
        return Topology(prefix=self.prefix, partitions=self.partitions, bucket_suffix=self.bucket_suffix)

    @property
    def bucket_suffix(self) -> str:
        """Resolved by CloudFormation; nothing in an emulator, where the services' defaults find the buckets."""
        return "" if self.emulator else "-${AWS::AccountId}"


_SMALL: Final = TaskConfig(cpu_units=512, memory_mib=1024, tasks_min=2, tasks_max=4)

ENVIRONMENTS: Final = {
    "dev": EnvironmentConfig(
        name="dev",
        prefix="crossbook-dev",
        partitions=2,
        network=NetworkConfig(nat_gateways=1),
        gateway=_SMALL,
        matcher=_SMALL,
        fanout=_SMALL,
        reconciler=SizeConfig(cpu_units=256, memory_mib=1024),
        cache=CacheConfig(node_type="cache.t4g.micro", nodes=1, snapshot_days=1),
        database=DatabaseConfig(instance_type="t4g.medium", readers=0, readers_max=0, backup_days=1),
        edge=EdgeConfig(domain="dev.crossbook.example.com", hosted_zone_id="Z0EXAMPLE00000000001"),
        requests_per_second_max=500,
        is_replicated=False,
        is_audited=False,
        is_kept=False,
        log_days=7,
    ),
    "prod": EnvironmentConfig(
        name="prod",
        prefix="crossbook",
        partitions=8,
        edge=EdgeConfig(domain="crossbook.example.com", hosted_zone_id="Z0EXAMPLE00000000000"),
    ),
}


def environment_from(context: Mapping[str, str]) -> EnvironmentConfig:
    """The environment that the command line's context names, with what it overrides; raises ValueError."""
    name = context.get("environment", "dev")
    if name == "emulated":
        return _emulated(EmulatorConfig(database_url=context["database_url"], redis_url=context["redis_url"]))
    if name not in ENVIRONMENTS:
        raise ValueError(f"environment is one of {', '.join(ENVIRONMENTS)}, not {name}")
    chosen = ENVIRONMENTS[name]
    edge = chosen.edge.model_dump() | {key: context[key] for key in ("domain", "hosted_zone_id") if key in context}
    return EnvironmentConfig.model_validate(chosen.model_dump() | {"edge": edge})


def _emulated(emulator: EmulatorConfig) -> EnvironmentConfig:
    """What an emulator can carry of dev: queues, stream, tables, buckets, user pool, the persister."""
    settings = ENVIRONMENTS["dev"].model_dump() | {"name": "emulated", "prefix": "crossbook", "emulator": emulator}
    return EnvironmentConfig.model_validate(settings)
