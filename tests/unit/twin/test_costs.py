"""The monthly bill: counted from templates, and from traffic in what AWS charges."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from crossbook.costs.bill import Bill, bill, read_prices, tiered
from crossbook.costs.fleet import Fleet, NoTemplatesError, TaskFleet, read_fleet
from crossbook.costs.profile import SECONDS_A_MONTH, UnknownProfileError, profile, profiles
from crossbook.costs.report import comparison_lines

TEMPLATES: dict[str, dict[str, Any]] = {
    "gateway": {
        "Tasks": {"Type": "AWS::ECS::Service", "Properties": {"DesiredCount": 10}},
        "Task": {"Type": "AWS::ECS::TaskDefinition", "Properties": {"Cpu": "2048", "Memory": "4096"}},
    },
    "database": {
        "One": {"Type": "AWS::RDS::DBInstance", "Properties": {"DBInstanceClass": "db.r7g.xlarge"}},
        "Two": {"Type": "AWS::RDS::DBInstance", "Properties": {"DBInstanceClass": "db.r7g.xlarge"}},
    },
    "messaging": {
        "Stream": {"Type": "AWS::Kinesis::Stream", "Properties": {"ShardCount": 8, "RetentionPeriodHours": 168}},
        "Queue": {"Type": "AWS::SQS::Queue"},
        "Table": {"Type": "AWS::DynamoDB::GlobalTable", "Properties": {"Replicas": [{}, {}]}},
    },
    "network": {
        "Interface": {
            "Type": "AWS::EC2::VPCEndpoint",
            "Properties": {"VpcEndpointType": "Interface", "SubnetIds": ["a", "b"]},
        },
        "Gateway": {"Type": "AWS::EC2::VPCEndpoint", "Properties": {"VpcEndpointType": "Gateway"}},
        "Nat": {"Type": "AWS::EC2::NatGateway", "Properties": {}},
    },
}


@pytest.fixture
def fleet(tmp_path: Path) -> Fleet:
    for stack, resources in TEMPLATES.items():
        (tmp_path / f"{stack}.template.json").write_text(json.dumps({"Resources": resources}))
    return read_fleet(tmp_path)


def bill_of(fleet: Fleet, name: str = "baseline", **changes: Any) -> Bill:
    return bill(fleet, replace(profile(name), **changes), read_prices())


def test_what_stands_there_is_counted_from_the_templates(fleet: Fleet):
    assert fleet.tasks == [TaskFleet("gateway", 10, 2.0, 4.0)]
    assert fleet.instances == {"db.r7g.xlarge": 2}
    assert (fleet.shards, fleet.stream_hours_kept, fleet.queues) == (8, 168, 1)
    assert (fleet.endpoint_zones, fleet.nat_gateways) == (2, 1)
    assert fleet.tables_are_replicated


def test_a_folder_without_templates_is_told(tmp_path: Path):
    with pytest.raises(NoTemplatesError):
        read_fleet(tmp_path)


def test_five_hundred_requests_a_second_are_not_twelve_million_a_month():
    baseline, stated = profile("baseline"), profile("stated")
    assert round(baseline.requests_per_second * SECONDS_A_MONTH / 1e6) == 1_314
    assert round(stated.requests_per_second * SECONDS_A_MONTH / 1e6) == 12


def test_a_task_a_month_is_its_hours_times_its_vcpus_and_gigabytes(fleet: Fleet):
    (line,) = [line for line in bill_of(fleet).lines if line.service == "Fargate"]
    assert line.usd == pytest.approx(10 * 730 * (2 * 0.04048 + 4 * 0.004445))
    assert line.is_fixed


def test_a_copy_in_another_region_costs_its_writes_again(fleet: Fleet):
    here = replace(fleet, tables_are_replicated=False)
    for what, factor in (("journal", 2.0), ("holds and intents", 1.5)):
        costs = [next(line.usd for line in bill_of(one).lines if line.what == what) for one in (fleet, here)]
        assert costs[0] / costs[1] == pytest.approx(factor), "a transaction is charged twice here, once there"


def test_more_traffic_costs_more_and_an_order_less(fleet: Fleet):
    bills = [bill_of(fleet, name) for name in ("stated", "baseline", "tenfold")]
    totals = [one.usd for one in bills]
    assert totals == sorted(totals)
    a_million = [one.usd_per_million_orders for one in bills]
    assert a_million == sorted(a_million, reverse=True)


def test_without_traffic_only_what_is_fixed_is_charged(fleet: Fleet):
    silent = bill_of(fleet, requests_per_second=1e-9, websockets=0)
    fixed = sum(line.usd for line in silent.lines if line.is_fixed)
    assert silent.usd == pytest.approx(fixed, rel=1e-3)


def test_services_sum_up_to_the_bill(fleet: Fleet):
    made = bill_of(fleet)
    assert sum(made.by_service().values()) == pytest.approx(made.usd)
    assert list(made.by_service().values()) == sorted(made.by_service().values(), reverse=True)


@pytest.mark.parametrize(("quantity", "usd"), [(0, 0), (100, 350), (333, 1_165.5), (1_000, 1_165.5 + 667 * 2.8)])
def test_tiers_are_charged_one_after_the_other(quantity: float, usd: float):
    assert tiered(quantity, read_prices()["api_gateway"]["million_requests"]) == pytest.approx(usd)


def test_an_unknown_profile_is_told_with_those_there_are():
    with pytest.raises(UnknownProfileError, match="baseline, stated, tenfold"):
        profile("wishful")


def test_the_comparison_has_a_column_a_profile_and_a_row_a_service(fleet: Fleet):
    bills = [bill_of(fleet, name) for name in profiles()]
    lines = list(comparison_lines(bills))
    assert all(line.count("|") == len(bills) + 2 for line in lines)
    assert {service for one in bills for service in one.by_service()} <= {line.split("|")[1].strip() for line in lines}
