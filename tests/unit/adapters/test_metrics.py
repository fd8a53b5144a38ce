from collections import Counter

import pytest

from exchange_adapters.metrics import METRICS, Dimension, Kind, Metric, Unit

SERVICES = {"gateway", "matcher", "persister", "fanout"}


def test_every_service_has_metrics_and_none_stands_twice() -> None:
    assert {metric.service for metric in METRICS} == SERVICES
    assert max(Counter((metric.service, metric.name) for metric in METRICS).values()) == 1


@pytest.mark.parametrize("metric", METRICS, ids=lambda metric: f"{metric.service}.{metric.name}")
def test_the_unit_stands_in_the_name_of_what_is_not_a_count(metric: Metric) -> None:
    suffixes = {Unit.MILLISECONDS: "Ms", Unit.SECONDS: "Seconds", Unit.COUNT: ""}
    assert metric.name.endswith(suffixes[metric.unit])
    assert metric.kind is not Kind.TIMING or metric.unit is not Unit.COUNT
    assert metric.dimensions[:2] == (Dimension.EXCHANGE, Dimension.SERVICE)
    assert (Dimension.PARTITION in metric.dimensions) is metric.is_per_partition
