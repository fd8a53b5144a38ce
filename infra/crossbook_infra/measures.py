"""Metrics as CloudWatch knows them: the exchange's own by `exchange_adapters.metrics`, AWS's by their names."""

from collections.abc import Mapping
from typing import Final

import aws_cdk as cdk
from aws_cdk import aws_cloudwatch as cloudwatch

from crossbook_infra.config import EnvironmentConfig
from exchange_adapters.metrics import NAMESPACE, Dimension, Kind, Metric

MINUTE: Final = cdk.Duration.minutes(1)
STATISTICS: Final = {Kind.COUNTER: ("Sum",), Kind.GAUGE: ("Maximum",), Kind.TIMING: ("p50", "p99")}
"""What is worth drawing of each kind; the last is what an alarm looks at."""


def own(
    settings: EnvironmentConfig, metric: Metric, *, partition: int | None = None, statistic: str | None = None
) -> cloudwatch.Metric:
    """One of the exchange's own, of one partition where it has one."""
    assert metric.is_per_partition is (partition is not None), metric.name
    values = {
        Dimension.EXCHANGE: settings.prefix,
        Dimension.SERVICE: metric.service,
        Dimension.PARTITION: str(partition),
    }
    return cloudwatch.Metric(
        namespace=NAMESPACE,
        metric_name=metric.name,
        dimensions_map={dimension.value: values[dimension] for dimension in metric.dimensions},
        statistic=statistic or STATISTICS[metric.kind][-1],
        period=MINUTE,
        label=metric.name if partition is None else f"{metric.name} {partition}",
    )


def drawn(settings: EnvironmentConfig, metric: Metric) -> list[cloudwatch.IMetric]:
    """All lines of a metric: a statistic each, a partition each."""
    partitions = range(settings.partitions) if metric.is_per_partition else (None,)
    return [
        own(settings, metric, partition=partition, statistic=statistic)
        for partition in partitions
        for statistic in STATISTICS[metric.kind]
    ]


def aws(
    service: str,
    name: str,
    dimensions: Mapping[str, str],
    *,
    statistic: str = "Sum",
    period: cdk.Duration = MINUTE,
) -> cloudwatch.Metric:
    """One of AWS's: `service` as in its namespace, `AWS/SQS`."""
    return cloudwatch.Metric(
        namespace=service if "/" in service else f"AWS/{service}",
        metric_name=name,
        dimensions_map=dict(dimensions),
        statistic=statistic,
        period=period,
    )
