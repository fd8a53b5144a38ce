"""Every row of the deployment's table is in the templates, with the very numbers."""

import importlib

import pytest

from exchange_adapters.metrics import METRICS, NAMESPACE
from services.persister.package import HANDLER
from tests.infra.assembly import Assembly
from tests.infra.design import ROWS, Find, Row
from tests.infra.document import COSTS, DOCUMENT, document, with_costs

UNWATCHED = {
    "OrdersAccepted": "as many as the users send",
    "OrdersRefused": "the users' own doing; a fault of ours is a 5xx, and watched",
    "RequestsLimited": "what limits are for; who floods us shows at the firewall, and in RequestLatencyMs if it hurts",
    "HoldLatencyMs": "a part of RequestLatencyMs, to tell where it went",
    "EnqueueLatencyMs": "a part of RequestLatencyMs, to tell where it went",
    "OrdersWaiting": "shows in RequestLatencyMs before it matters",
    "CommandsWaiting": "what is not sent in time is seen by OldestPendingAgeMs",
    "EventsJournaled": "as many as there are commands",
    "TradesExecuted": "as many as the users want",
    "CommandsRefused": "the users' own doing; a command that breaks the engine is counted apart, and watched",
    "SlotLatencyMs": "what users feel of it is SettlementAgeMs and the queue's age",
    "Recoveries": "one is how a deploy looks; slow ones are watched, and partitions that do not come back",
    "OldestCommandAgeMs": "SQS itself tells the age, of a queue that nobody reads as well",
    "PartitionsWorked": "each task tells its own; a partition that nobody works journals no slots, which is watched",
    "SlotsSettled": "SettlementAgeMs and the iterator's age say when it is too few",
    "SettlementLagSlots": "what is left of one batch; how far the shard is behind is the iterator's age",
    "SlotsReconciled": "rounds are watched, also those without slots",
    "SettlementFaults": "tried again; when that does not help, SettlementAgeMs and the iterator's age say so",
    "Connections": "as many as the users open",
    "Channels": "as many as the users watch",
    "MessagesSent": "as many as there is news",
    "ConflatedMessages": "what slow readers are promised; those who are cut are watched",
}
"""Metrics without an alarm, each with the reason: they are drawn, to be read when another one rings."""


@pytest.mark.parametrize("row", ROWS, ids=lambda row: f"{row.layer}: {row.promise[:50]}")
def test_the_row_is_in_the_templates(prod: Assembly, row: Row) -> None:
    for number, find in enumerate(row.finds):
        found = find.found(prod)
        assert len(found) == find.count if find.count is not None else found, f"query {number} of {row.promise}"


def test_a_query_can_fail(prod: Assembly) -> None:
    assert not Find("EC2::VPC", lambda p: p["CidrBlock"] == "10.1.0.0/16").found(prod)


def test_the_document_is_what_the_templates_say(prod: Assembly) -> None:
    assert DOCUMENT.read_text() == document(prod), "stale: run `make aws-docs`"


def test_the_costs_are_what_the_templates_come_to(prod: Assembly) -> None:
    page = COSTS.read_text()
    assert page == with_costs(page, prod), "stale: run `make aws-docs`"


def test_dashboards_draw_every_metric_and_no_other(prod: Assembly) -> None:
    for service in {metric.service for metric in METRICS}:
        (board,) = prod.select(
            "CloudWatch::Dashboard",
            lambda p, s=service: p["DashboardName"] == f"crossbook-{s}",  # type: ignore[misc]
        )
        body = str(board.properties["DashboardBody"])
        names = {metric.name for metric in METRICS if metric.service == service}
        others = {metric.name for metric in METRICS} - names
        assert [name for name in names if f'"{name}"' not in body.replace("\\", "")] == []
        assert [name for name in others if f'"{name}"' in body.replace("\\", "")] == []


def test_every_metric_has_an_alarm_or_a_reason_to_have_none(prod: Assembly) -> None:
    metrics = [
        one["MetricStat"]["Metric"]
        for resource in prod.select("CloudWatch::Alarm")
        for one in resource.properties.get("Metrics", ())
        if "MetricStat" in one
    ]
    watched = {
        (metric["MetricName"], dimension["Value"])
        for metric in metrics
        if metric["Namespace"] == NAMESPACE
        for dimension in metric["Dimensions"]
        if dimension["Name"] == "Service"
    }
    emitted = {(metric.name, metric.service) for metric in METRICS}
    assert watched <= emitted
    assert {metric for metric, _ in emitted - watched} == set(UNWATCHED)


def test_the_lambda_runs_what_the_package_holds(prod: Assembly) -> None:
    assert prod.one("Lambda::Function", stack="persister")["Handler"] == HANDLER


@pytest.mark.parametrize("service", ["gateway", "matcher", "reconciler", "fanout"])
def test_a_task_is_told_all_that_the_service_asks_for(prod: Assembly, service: str) -> None:
    package = {"reconciler": "persister"}.get(service, service)
    config = importlib.import_module(f"exchange_{package}.config").Config
    asked = {
        str(field.validation_alias or name).upper()
        for name, field in config.model_fields.items()
        if field.is_required()
    }
    container = prod.one("ECS::TaskDefinition", stack=service)["ContainerDefinitions"][0]
    told = {variable["Name"] for variable in (*container["Environment"], *container.get("Secrets", ()))}
    assert asked <= told
    assert {"CROSSBOOK_PREFIX", "CROSSBOOK_PARTITIONS"} <= told
    assert service == "reconciler" or {"REDIS_URL", "REDIS_SECRET_ID"} <= told
    assert service != "reconciler" or {"DATABASE_URL", "DATABASE_SECRET_ID"} <= told
    assert service != "matcher" or "CROSSBOOK_BUCKET_SUFFIX" in told


def test_the_lambda_is_told_where_its_stores_are(prod: Assembly) -> None:
    told = set(prod.one("Lambda::Function", stack="persister")["Environment"]["Variables"])
    assert told >= {"DATABASE_URL", "DATABASE_SECRET_ID", "REDIS_URL", "REDIS_SECRET_ID", "CROSSBOOK_BUCKET_SUFFIX"}


def test_a_service_is_deployed_by_its_tag_alone(prod: Assembly) -> None:
    for service in ("gateway", "matcher", "persister", "reconciler", "fanout", "migrations"):
        parameters = prod.templates[service]["Parameters"]
        assert {name for name in parameters if name != "BootstrapVersion"} == {"ImageTag"}
        assert "Default" not in parameters["ImageTag"]


def test_what_holds_data_outlives_its_stack_in_prod_and_goes_with_it_in_dev(prod: Assembly, dev: Assembly) -> None:
    kinds = ("S3::Bucket", "DynamoDB::GlobalTable", "Kinesis::Stream", "SQS::Queue", "KMS::Key", "Cognito::UserPool")
    for kind in kinds:
        assert {resource.deletion_policy for resource in prod.select(kind)} == {"Retain"}, kind
        assert {resource.deletion_policy for resource in dev.select(kind)} == {"Delete"}, kind
    assert {resource.deletion_policy for resource in prod.select("RDS::DBCluster")} == {"Snapshot"}


def test_dev_is_small(dev: Assembly) -> None:
    assert len(dev.select("EC2::NatGateway")) == 1
    assert len(dev.select("RDS::DBInstance")) == 1
    assert sorted(resource.properties["DesiredCount"] for resource in dev.select("ECS::Service")) == [1, 2, 2, 2]
    assert not dev.select("CloudTrail::Trail") and not dev.select("GuardDuty::Detector")
