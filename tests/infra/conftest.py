"""Both environments, synthesized once a run; prod's templates are read while dev's are made."""

from collections.abc import Iterator
from contextlib import closing

import pytest

from tests.infra.assembly import Assembly, Synth


@pytest.fixture(scope="session")
def synth(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Synth]:
    with closing(Synth(tmp_path_factory.mktemp("cdk") / "out", "prod", "dev")) as under_way:
        yield under_way


@pytest.fixture(scope="session")
def prod(synth: Synth) -> Assembly:
    return synth.assembly("prod")


@pytest.fixture(scope="session")
def dev(synth: Synth, prod: Assembly) -> Assembly:
    return synth.assembly("dev")
