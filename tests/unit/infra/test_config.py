from ipaddress import IPv4Network

import pytest
from crossbook_infra.config import ENVIRONMENTS, DatabaseConfig, NetworkConfig, TaskConfig, environment_from
from pydantic import ValidationError


def test_dev_is_what_one_gets_without_asking() -> None:
    assert environment_from({}) == ENVIRONMENTS["dev"]


def test_the_domain_is_the_deployers() -> None:
    settings = environment_from({"environment": "prod", "domain": "exchange.test", "hosted_zone_id": "Z0123456789"})
    assert (settings.edge.domain, settings.edge.hosted_zone_id) == ("exchange.test", "Z0123456789")
    assert settings.gateway == ENVIRONMENTS["prod"].gateway


@pytest.mark.parametrize("wrong", [{"environment": "production"}, {"domain": "-"}, {"hosted_zone_id": "zone"}])
def test_what_the_command_line_gets_wrong_is_said_before_anything_is_synthesized(wrong: dict[str, str]) -> None:
    with pytest.raises(ValueError):
        environment_from(wrong)


def test_subnets_that_overlap_or_lie_outside_are_refused() -> None:
    one, other = IPv4Network("10.0.1.0/24"), IPv4Network("10.1.0.0/24")
    with pytest.raises(ValidationError, match="overlap"):
        NetworkConfig(public=(one, one))
    with pytest.raises(ValidationError, match="lies in the VPC"):
        NetworkConfig(public=(one, other))


def test_both_zones_have_as_many_tasks() -> None:
    with pytest.raises(ValidationError, match="as many tasks"):
        TaskConfig(tasks_min=3)
    with pytest.raises(ValidationError):
        TaskConfig(tasks_min=10, tasks_max=4)


def test_readers_scale_up_only() -> None:
    with pytest.raises(ValidationError):
        DatabaseConfig(readers=4, readers_max=2)


def test_names_of_buckets_are_one_accounts_but_in_an_emulator() -> None:
    assert ENVIRONMENTS["prod"].topology.history.name == "crossbook-history-${AWS::AccountId}"
    stores = {"database_url": "postgresql://localhost/x", "redis_url": "redis://localhost"}
    emulated = environment_from({"environment": "emulated", **stores})
    assert emulated.topology.history.name == "crossbook-history"


def test_a_matcher_stands_by_for_every_partition() -> None:
    settings = ENVIRONMENTS["prod"]
    assert settings.matcher.tasks_min > settings.partitions
