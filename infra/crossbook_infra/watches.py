"""What rings, when, and which runbook says what to do: a list a layer."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from aws_cdk import aws_cloudwatch as cloudwatch

from crossbook_infra.config import EnvironmentConfig
from crossbook_infra.measures import aws, own
from exchange_adapters import metrics

ABOVE: Final = cloudwatch.ComparisonOperator.GREATER_THAN_THRESHOLD
BELOW: Final = cloudwatch.ComparisonOperator.LESS_THAN_THRESHOLD


@dataclass(frozen=True, slots=True, kw_only=True)
class Watch:
    """An alarm: when `metric` is `beyond` the threshold for `minutes`. `is_alive` rings for a missing value as well."""

    name: str
    metric: cloudwatch.IMetric
    threshold: float
    meaning: str
    runbook: str
    beyond: cloudwatch.ComparisonOperator = ABOVE
    minutes: int = 1
    is_alive: bool = False


def messaging(settings: EnvironmentConfig) -> Iterator[Watch]:
    """Commands that nobody takes, and a stream that cannot follow."""
    for partition, queue in enumerate(settings.topology.queues):
        yield Watch(
            name=f"CommandsOld{partition}",
            metric=aws("SQS", "ApproximateAgeOfOldestMessage", {"QueueName": queue.name}, statistic="Maximum"),
            threshold=30,
            minutes=2,
            meaning=f"commands of partition {partition} wait for more than 30 s: nobody works it, or too slowly",
            runbook="a-service-degraded",
        )
        yield Watch(
            name=f"DeadLetters{partition}",
            metric=aws(
                "SQS",
                "ApproximateNumberOfMessagesVisible",
                {"QueueName": queue.dead_letter_name},
                statistic="Maximum",
            ),
            threshold=0,
            meaning=f"a command of partition {partition} was received {queue.max_receives} times and not done",
            runbook="corruption",
        )
    stream = {"StreamName": settings.topology.executions.name}
    yield Watch(
        name="StreamThrottled",
        metric=aws("Kinesis", "WriteProvisionedThroughputExceeded", stream),
        threshold=0,
        minutes=3,
        meaning="a shard takes no more: the matcher waits with everything",
        runbook="a-service-degraded",
    )


def matcher(settings: EnvironmentConfig) -> Iterator[Watch]:
    """An idle partition journals a heartbeat every 15 s: one without slots is one that nobody works."""
    for partition in range(settings.partitions):
        yield Watch(
            name=f"PartitionSilent{partition}",
            metric=own(settings, metrics.SLOTS_COMMITTED, partition=partition),
            threshold=1,
            beyond=BELOW,
            minutes=2,
            is_alive=True,
            meaning=f"no slot of partition {partition} was journaled in a minute, not even a heartbeat",
            runbook="a-service-degraded",
        )
        yield Watch(
            name=f"StreamBlocked{partition}",
            metric=own(settings, metrics.STREAM_BLOCKED, partition=partition),
            threshold=0,
            minutes=2,
            meaning=f"slots of partition {partition} do not get into the stream",
            runbook="a-service-degraded",
        )
        yield Watch(
            name=f"RecoverySlow{partition}",
            metric=own(settings, metrics.RECOVERY_SECONDS, partition=partition, statistic="Maximum"),
            threshold=20,
            meaning=f"partition {partition} took more than 20 s of the 30 s that a matcher may be away: old snapshots",
            runbook="a-service-degraded",
        )
        yield Watch(
            name=f"Quarantined{partition}",
            metric=own(settings, metrics.COMMANDS_QUARANTINED, partition=partition),
            threshold=0,
            meaning=f"the engine of partition {partition} fails at a command, which is refused: a bug of ours",
            runbook="a-service-degraded",
        )
        yield Watch(
            name=f"Takeovers{partition}",
            metric=own(settings, metrics.JOURNAL_TAKEOVERS, partition=partition),
            threshold=5,
            minutes=5,
            meaning=f"two matchers work partition {partition} and take slots from each other: slow, not wrong",
            runbook="a-service-degraded",
        )


def persister(settings: EnvironmentConfig) -> Iterator[Watch]:
    """Nothing is ever skipped, so all that can go wrong is that it stands still."""
    function = {"FunctionName": f"{settings.prefix}-persister"}
    yield Watch(
        name="SettlementBehind",
        metric=aws("Lambda", "IteratorAge", function, statistic="Maximum"),
        threshold=60_000,
        minutes=3,
        meaning="the oldest slot that is not settled is older than a minute: a shard stands still",
        runbook="corruption",
    )
    yield Watch(
        name="SettlementErrors",
        metric=aws("Lambda", "Errors", function),
        threshold=0,
        minutes=5,
        meaning="the function fails again and again",
        runbook="a-service-degraded",
    )
    yield Watch(
        name="SettlementThrottled",
        metric=aws("Lambda", "Throttles", function),
        threshold=0,
        minutes=5,
        meaning="the account's concurrency is used up",
        runbook="a-service-degraded",
    )
    for partition in range(settings.partitions):
        yield Watch(
            name=f"PartitionHalted{partition}",
            metric=own(settings, metrics.PARTITION_HALTED, partition=partition),
            threshold=0,
            meaning=f"a gap or an unreadable slot stops the settlement of partition {partition}",
            runbook="corruption",
        )
        yield Watch(
            name=f"SettlementSlow{partition}",
            metric=own(settings, metrics.SETTLEMENT_AGE_MS, partition=partition),
            threshold=5_000,
            minutes=5,
            meaning=f"slots of partition {partition} are settled more than 5 s after they were journaled",
            runbook="a-service-degraded",
        )


def reconciler(settings: EnvironmentConfig) -> Iterator[Watch]:
    """What it finds, and that it looks: it says each round how many differences there are, were it none."""
    yield Watch(
        name="Differences",
        metric=own(settings, metrics.DIFFERENCES),
        threshold=0,
        meaning="wallets or rows are not what the journal says; the symbols concerned are halted",
        runbook="corruption",
    )
    yield Watch(
        name="ReconcilerSilent",
        metric=own(settings, metrics.DIFFERENCES, statistic="SampleCount"),
        threshold=1,
        beyond=BELOW,
        minutes=10,
        is_alive=True,
        meaning="no round of the reconciler has ended in ten minutes: nobody would notice a difference",
        runbook="a-service-degraded",
    )


def gateway(settings: EnvironmentConfig) -> Iterator[Watch]:
    """What users notice first."""
    yield Watch(
        name="RequestsSlow",
        metric=own(settings, metrics.REQUEST_LATENCY_MS, statistic="p95"),
        threshold=30,
        minutes=5,
        meaning="an order is accepted in under 30 ms: one in twenty is not",
        runbook="a-service-degraded",
    )
    yield Watch(
        name="RequestsFailed",
        metric=own(settings, metrics.REQUESTS_FAILED),
        threshold=50,
        minutes=3,
        meaning="requests are answered 5xx",
        runbook="a-service-degraded",
    )
    for partition in range(settings.partitions):
        yield Watch(
            name=f"OrdersUnseen{partition}",
            metric=own(settings, metrics.OLDEST_PENDING_AGE_MS, partition=partition),
            threshold=60_000,
            minutes=2,
            meaning=f"an order of partition {partition} was accepted a minute ago and no settled slot has shown it",
            runbook="a-service-degraded",
        )
        yield Watch(
            name=f"Resends{partition}",
            metric=own(settings, metrics.SWEEPER_RESENDS, partition=partition),
            threshold=100,
            minutes=3,
            meaning=f"commands of partition {partition} get lost between gateway and matcher",
            runbook="a-service-degraded",
        )


def fanout(settings: EnvironmentConfig) -> Iterator[Watch]:
    """The live feed promises little, but it should live."""
    yield Watch(
        name="ReadersCut",
        metric=own(settings, metrics.SLOW_READERS_CUT),
        threshold=100,
        minutes=5,
        meaning="many clients are cut for reading slowly: perhaps it is us",
        runbook="a-service-degraded",
    )


def tables(settings: EnvironmentConfig) -> Iterator[Watch]:
    """On demand: throttles mean one hot key."""
    for table in settings.topology.tables:
        name = table.name.removeprefix(f"{settings.prefix}-").title().replace("-", "")
        yield Watch(
            name=f"{name}Throttled",
            metric=aws("DynamoDB", "WriteThrottleEvents", {"TableName": table.name}),
            threshold=10,
            minutes=3,
            meaning=f"DynamoDB refuses writes to {table.name}: a hot key",
            runbook="a-service-degraded",
        )


def tasks(settings: EnvironmentConfig) -> Iterator[Watch]:
    """Each service with as many tasks as it must have."""
    for service in ("gateway", "matcher", "reconciler", "fanout"):
        yield Watch(
            name=f"{service.title()}Tasks",
            metric=aws(
                "ECS/ContainerInsights",
                "RunningTaskCount",
                {"ClusterName": settings.prefix, "ServiceName": f"{settings.prefix}-{service}"},
                statistic="Minimum",
            ),
            threshold=getattr(settings, service).tasks_min,
            beyond=BELOW,
            minutes=3,
            is_alive=True,
            meaning=f"fewer tasks of {service} run than must: a zone, an image or a start fails",
            runbook="a-zone-lost",
        )


def backing(settings: EnvironmentConfig) -> Iterator[Watch]:
    """Aurora and Redis."""
    cluster = {"DBClusterIdentifier": settings.prefix}
    yield Watch(
        name="DatabaseCpu",
        metric=aws("RDS", "CPUUtilization", {**cluster, "Role": "WRITER"}, statistic="Average"),
        threshold=80,
        minutes=10,
        meaning="Aurora's writer has little room left",
        runbook="a-service-degraded",
    )
    if settings.database.readers:
        yield Watch(
            name="DatabaseLag",
            metric=aws("RDS", "AuroraReplicaLagMaximum", cluster, statistic="Maximum"),
            threshold=1_000,
            minutes=5,
            meaning="readers are more than a second behind the writer",
            runbook="a-service-degraded",
        )
    redis = {"CacheClusterId": f"{settings.prefix}-001"}
    yield Watch(
        name="CacheCpu",
        metric=aws("ElastiCache", "EngineCPUUtilization", redis, statistic="Average"),
        threshold=80,
        minutes=5,
        meaning="Redis, which works on one core, has little room left",
        runbook="a-service-degraded",
    )
    yield Watch(
        name="CacheMemory",
        metric=aws("ElastiCache", "DatabaseMemoryUsagePercentage", redis, statistic="Average"),
        threshold=80,
        minutes=5,
        meaning="Redis is nearly full",
        runbook="a-service-degraded",
    )


def all_watches(settings: EnvironmentConfig) -> Iterator[Watch]:
    """Every alarm of an environment."""
    for layer in (gateway, messaging, matcher, persister, reconciler, fanout, tables, tasks, backing):
        yield from layer(settings)
