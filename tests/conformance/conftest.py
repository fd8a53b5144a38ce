"""Every test here runs once on each implementation of the ports.

What an emulator does differently from what the port promises stands in DIFFERENCES, with its reason: such a test must
fail there (strictly), and the reason is printed with `-rx`. Nothing is skipped without a word.
"""

from collections.abc import AsyncIterator

import pytest

from tests.conformance.world import World, open_emulated, open_simulated

IMPLEMENTATIONS = ("sim", "ministack")

DIFFERENCES: dict[tuple[str, str], str] = {
    (
        "ministack",
        "test_after_a_split_the_parent_ends_and_a_child_goes_on",
    ): "SplitShard deletes the parent with its records at once, instead of closing it until it is drained",
}
"""(implementation, test) → what differs."""


@pytest.fixture(scope="session", params=IMPLEMENTATIONS)
def implementation(request: pytest.FixtureRequest) -> tuple[str, object]:
    """The name, and the servers behind it if it needs any."""
    name: str = request.param
    return name, None if name == "sim" else request.getfixturevalue("backing")


@pytest.fixture(scope="session")
async def opened_world(implementation) -> AsyncIterator[World]:
    name, backing = implementation
    async with open_simulated() if backing is None else open_emulated(name, backing) as world:
        yield world


@pytest.fixture
def world(opened_world: World, request: pytest.FixtureRequest) -> World:
    reason = DIFFERENCES.get((opened_world.name, request.node.originalname))
    if reason is not None:
        request.applymarker(pytest.mark.xfail(reason=f"{opened_world.name}: {reason}", strict=True))
    return opened_world


@pytest.fixture
def partition(world: World) -> int:
    return world.partition()


@pytest.fixture
def user_id(world: World) -> str:
    return world.fresh("user")
