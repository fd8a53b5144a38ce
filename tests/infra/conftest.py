"""Both environments, synthesized side by side, once a run."""

from collections.abc import Iterator
from contextlib import ExitStack, closing

import pytest

from tests.infra.assembly import Assembly, Synth


@pytest.fixture(scope="session")
def assemblies(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Assembly]]:
    with ExitStack() as stack:
        under_way = {
            name: stack.enter_context(closing(Synth(tmp_path_factory.mktemp("cdk") / name, environment=name)))
            for name in ("prod", "dev")
        }
        yield {name: synth.assembly() for name, synth in under_way.items()}


@pytest.fixture(scope="session")
def prod(assemblies: dict[str, Assembly]) -> Assembly:
    return assemblies["prod"]


@pytest.fixture(scope="session")
def dev(assemblies: dict[str, Assembly]) -> Assembly:
    return assemblies["dev"]
