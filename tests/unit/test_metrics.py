"""Every metric that a dashboard may name is recorded by the service that it is said to be of, and by no other."""

import ast
from collections import defaultdict
from pathlib import Path

from exchange_adapters import metrics
from exchange_adapters.metrics import METRICS, Metric

SERVICES = Path(__file__).resolve().parents[2] / "services"
RECORDING = {"count", "gauge", "timing"}


def recorded_metrics(service: str) -> set[Metric]:
    """The metrics that the service's code hands to the recorder, with the method that fits their kind."""
    found: set[Metric] = set()
    for source in (SERVICES / service).rglob("*.py"):
        tree = ast.parse(source.read_text())
        named = {name.id for name in ast.walk(tree) if isinstance(name, ast.Name)}
        is_recording = any(
            isinstance(call.func, ast.Attribute) and call.func.attr in RECORDING
            for call in ast.walk(tree)
            if isinstance(call, ast.Call)
        )
        if is_recording:
            found |= {value for name, value in vars(metrics).items() if name in named and isinstance(value, Metric)}
    return found


def test_every_metric_is_recorded_by_its_service_and_no_other():
    declared: dict[str, set[Metric]] = defaultdict(set)
    for metric in METRICS:
        declared[metric.service].add(metric)
    for service in ("gateway", "matcher", "persister", "fanout"):
        missing = {metric.name for metric in declared[service] - recorded_metrics(service)}
        foreign = {metric.name for metric in recorded_metrics(service) - declared[service]}
        assert (missing, foreign) == (set(), set()), service


def test_names_are_unique():
    assert len({metric.name for metric in METRICS}) == len(METRICS)
