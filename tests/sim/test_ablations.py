"""Every safeguard that is taken out is missed, and every check tells of something."""

import pytest

from simulation.ablations import ABLATIONS, SEEDS_MAX, catch
from simulation.checks.examine import examine
from simulation.trouble.weather import Weather
from simulation.world import live


@pytest.mark.parametrize("name", sorted(ABLATIONS))
def test_a_missing_safeguard_is_noticed(name: str) -> None:
    assert catch(ABLATIONS[name]) is not None, f"{SEEDS_MAX} seeds did not tell: {sorted(ABLATIONS[name].tells)}"


def test_every_check_is_expected_to_tell_of_some_ablation() -> None:
    verdict = examine(live(1, weather=Weather()))
    told = frozenset().union(*(ablation.tells for ablation in ABLATIONS.values()))
    assert told == set(verdict.checks)


def test_no_ablation_is_noticed_by_what_its_weather_does_alone() -> None:
    for weather in {ablation.weather.kinds: ablation.weather for ablation in ABLATIONS.values()}.values():
        verdict = examine(live(0, weather=weather))
        assert verdict.is_clean, str(verdict)
