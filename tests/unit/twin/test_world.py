import pytest

from crossbook.world import Mark, mismatch

MINE, OTHER = "a" * 32, "b" * 32


def mark(starts: int, world_id: str = MINE) -> Mark:
    return Mark(world_id=world_id, starts=starts)


@pytest.mark.parametrize(
    ("cloud", "database"),
    [
        pytest.param(None, None, id="the first start"),
        pytest.param(mark(3), mark(3), id="both stopped in good order"),
        pytest.param(mark(1), None, id="stopped between the first two marks"),
        pytest.param(mark(4), mark(3), id="stopped between two marks"),
    ],
)
def test_halves_that_belong_together_are_accepted(cloud, database):
    assert mismatch(world_id=MINE, cloud=cloud, database=database) is None


@pytest.mark.parametrize(
    ("cloud", "database", "finding"),
    [
        pytest.param(None, mark(1), "is empty", id="the emulator was killed in its first life"),
        pytest.param(mark(1), mark(2), "of start 1, the database", id="the emulator was killed later"),
        pytest.param(mark(2), None, "of start 2", id="the database is new"),
        pytest.param(mark(1, OTHER), mark(1, OTHER), "holds world", id="the state directory is another one's"),
        pytest.param(mark(1), mark(1, OTHER), "the database holds world", id="the database is another one's"),
    ],
)
def test_halves_that_do_not_belong_together_are_told_apart(cloud, database, finding):
    assert finding in (mismatch(world_id=MINE, cloud=cloud, database=database) or "")
