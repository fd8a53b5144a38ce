"""Every test here runs once on each implementation of the ports.

What an emulator does differently from what the port promises stands in DIFFERENCES, with its reason: such a test must
fail there (strictly), and the reason is printed with `-rx`. Nothing is skipped without a word.
"""

from collections.abc import AsyncIterator

import pytest

from tests.conformance.world import World, open_emulated, open_simulated

IMPLEMENTATIONS = {"sim": None, "ministack": "backing", "localstack": "localstack_backing"}
"""The fixture with the servers behind each."""

ONE_GROUP_AN_ID = "SQS remembers a dedup id for the group that used it last only, not for every group"

DIFFERENCES: dict[tuple[str, str], str] = {
    ("localstack", "test_a_dedup_id_is_remembered_for_every_group_that_used_it"): ONE_GROUP_AN_ID,
    ("localstack", "test_queues_hand_out_the_same_messages[localstack-0]"): ONE_GROUP_AN_ID,
    (
        "ministack",
        "test_after_a_split_the_parent_ends_and_a_child_goes_on",
    ): "SplitShard deletes the parent with its records at once, instead of closing it until it is drained",
}
"""(implementation, test) → what differs."""


@pytest.fixture(scope="session", params=IMPLEMENTATIONS)
def implementation(request: pytest.FixtureRequest) -> tuple[str, object]:
    """The name, and the servers behind it if it needs any."""
    servers = IMPLEMENTATIONS[request.param]
    return request.param, servers and request.getfixturevalue(servers)


@pytest.fixture(scope="session")
async def opened_world(implementation) -> AsyncIterator[World]:
    name, backing = implementation
    async with open_simulated() if backing is None else open_emulated(name, backing) as world:
        yield world


@pytest.fixture
def world(opened_world: World, request: pytest.FixtureRequest) -> World:
    name, test = opened_world.name, request.node
    reason = DIFFERENCES.get((name, test.originalname)) or DIFFERENCES.get((name, test.name))
    if reason is not None:
        request.applymarker(pytest.mark.xfail(reason=f"{name}: {reason}", strict=True))
    return opened_world


@pytest.fixture
def partition(world: World) -> int:
    return world.partition()


@pytest.fixture
def user_id(world: World) -> str:
    return world.fresh("user")
