"""What a process measures becomes documents that CloudWatch reads metrics from."""

import orjson
import pytest

from exchange_adapters.emf import VALUES_MAX, Recorder
from exchange_adapters.metrics import (
    COMMANDS_WAITING,
    ORDERS_ACCEPTED,
    ORDERS_WAITING,
    REQUEST_LATENCY_MS,
    SLOTS_COMMITTED,
    SWEEPER_RESENDS,
)


@pytest.fixture
def lines() -> list[dict[str, object]]:
    return []


@pytest.fixture
def recorder(lines: list[dict[str, object]]) -> Recorder:
    opened = Recorder()
    opened.open("crossbook", lambda line: lines.append(orjson.loads(line)))
    return opened


def test_a_document_names_its_metrics_with_units_and_dimensions(recorder, lines):
    recorder.count(ORDERS_ACCEPTED)
    recorder.count(ORDERS_ACCEPTED, 2)
    recorder.gauge(ORDERS_WAITING, 7)
    recorder.gauge(ORDERS_WAITING, 4)
    recorder.timing(REQUEST_LATENCY_MS, 1.5)
    recorder.timing(REQUEST_LATENCY_MS, 2.25)
    recorder.flush()
    (line,) = lines
    assert line.pop("_aws")["CloudWatchMetrics"] == [
        {
            "Namespace": "Crossbook",
            "Dimensions": [["Exchange", "Service"]],
            "Metrics": [
                {"Name": "OrdersAccepted", "Unit": "Count"},
                {"Name": "OrdersWaiting", "Unit": "Count"},
                {"Name": "RequestLatencyMs", "Unit": "Milliseconds"},
            ],
        }
    ]
    assert line == {
        "Exchange": "crossbook",
        "Service": "gateway",
        "OrdersAccepted": 3,
        "OrdersWaiting": 4,
        "RequestLatencyMs": [1.5, 2.25],
    }


def test_each_partition_and_each_service_has_a_document_of_its_own(recorder, lines):
    recorder.gauge(COMMANDS_WAITING, 1, partition=0)
    recorder.gauge(COMMANDS_WAITING, 2, partition=1)
    recorder.count(SWEEPER_RESENDS, 3, partition=1)
    recorder.count(SLOTS_COMMITTED, 4, partition=1)
    recorder.flush()
    assert [(line["Partition"], line["Service"]) for line in lines] == [
        ("0", "gateway"),
        ("1", "gateway"),
        ("1", "matcher"),
    ]
    assert lines[1]["CommandsWaiting"] == 2 and lines[1]["SweeperResends"] == 3


def test_what_was_written_is_not_written_again(recorder, lines):
    recorder.count(ORDERS_ACCEPTED)
    recorder.flush()
    recorder.flush()
    assert len(lines) == 1


def test_a_distribution_is_written_before_it_is_longer_than_a_document_takes(recorder, lines):
    for value in range(2 * VALUES_MAX + 1):
        recorder.timing(REQUEST_LATENCY_MS, value)
    assert [len(line["RequestLatencyMs"]) for line in lines] == [VALUES_MAX, VALUES_MAX]
    recorder.flush()
    assert lines[2]["RequestLatencyMs"] == [2 * VALUES_MAX]


def test_a_recorder_that_nobody_opened_keeps_little(recorder):
    closed = Recorder()
    for value in range(10 * VALUES_MAX):
        closed.timing(REQUEST_LATENCY_MS, value)
        closed.count(ORDERS_ACCEPTED)
    assert sum(len(found) for values in closed._values.values() for found in values.values()) <= VALUES_MAX + 1


def test_a_metric_of_a_partition_wants_to_know_which(recorder):
    with pytest.raises(AssertionError, match="which partition"):
        recorder.count(SWEEPER_RESENDS)
    with pytest.raises(AssertionError, match="which partition"):
        recorder.count(ORDERS_ACCEPTED, partition=0)
