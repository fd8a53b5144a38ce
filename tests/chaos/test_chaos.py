"""A short chaos run: two of each service, in two zones, and nothing that was accepted is lost whatever breaks."""

from pathlib import Path

from crossbook.chaos.run import run_chaos

SEED = 3
SECONDS = 30.0


async def test_nothing_is_lost_while_one_thing_after_the_other_breaks(tmp_path: Path) -> None:
    report = await run_chaos(tmp_path, seed=SEED, seconds=SECONDS)
    assert report.outages and report.accepted > 20
    assert report.wrong == () and report.differences == ()
