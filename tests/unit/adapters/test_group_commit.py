"""GroupCommit: order, bounds, what becomes of errors and cancellations, and how it ends."""

import asyncio
from collections.abc import Sequence

import pytest

from exchange_adapters.group_commit import GroupCommit, QueueFullError


class SlowStore:
    """Takes groups; each waits for its own `release` unless the gate is open."""

    def __init__(self) -> None:
        self.groups: list[list[str]] = []
        self.gate = asyncio.Event()
        self.answer_errors: dict[str, Exception] = {}
        self.failure: Exception | None = None

    async def write(self, items: Sequence[str]) -> Sequence[str | Exception]:
        self.groups.append(list(items))
        await self.gate.wait()
        if self.failure is not None:
            raise self.failure
        return [self.answer_errors.get(item, item.upper()) for item in items]


def group_commit(store: SlowStore, **bounds: int) -> GroupCommit[str, str]:
    limits = {"max_items": 3, "max_size": 10, "max_waiting": 100, **bounds}
    return GroupCommit(store.write, size_of=len, **limits)


async def until_first_group(store: SlowStore) -> None:
    async with asyncio.timeout(1):
        while not store.groups:
            await asyncio.sleep(0)


async def test_the_first_item_is_written_at_once_and_the_rest_as_one_group() -> None:
    store = SlowStore()
    async with group_commit(store) as commit:
        futures = [commit.submit("a")]
        await until_first_group(store)
        futures += [commit.submit("b"), commit.submit("c")]
        assert commit.depth == 2
        store.gate.set()
        assert await asyncio.gather(*futures) == ["A", "B", "C"]
    assert store.groups == [["a"], ["b", "c"]]


async def test_groups_are_bounded_in_items() -> None:
    store = SlowStore()
    store.gate.set()
    async with group_commit(store) as commit:
        await asyncio.gather(*(commit.submit(item) for item in "abcdefg"))
    assert store.groups == [["a", "b", "c"], ["d", "e", "f"], ["g"]]


async def test_groups_are_bounded_in_size_and_a_larger_single_item_goes_alone() -> None:
    store = SlowStore()
    store.gate.set()
    async with group_commit(store) as commit:
        items = ["aaaaaa", "bbbb", "c", "d" * 50, "e"]
        await asyncio.gather(*(commit.submit(item) for item in items))
    assert store.groups == [["aaaaaa", "bbbb"], ["c"], ["d" * 50], ["e"]]


async def test_an_error_among_the_results_reaches_only_its_submitter() -> None:
    store = SlowStore()
    store.gate.set()
    store.answer_errors["b"] = ValueError("refused")
    async with group_commit(store) as commit:
        first, second, third = (commit.submit(item) for item in "abc")
        assert await first == "A"
        with pytest.raises(ValueError, match="refused"):
            await second
        assert await third == "C"


async def test_an_error_of_the_write_reaches_all_of_its_group_and_the_next_group_is_written() -> None:
    store = SlowStore()
    store.gate.set()
    store.failure = OSError("gone")
    async with group_commit(store) as commit:
        results = await asyncio.gather(commit.submit("a"), commit.submit("b"), return_exceptions=True)
        assert [str(result) for result in results] == ["gone", "gone"]
        store.failure = None
        assert await commit.submit("c") == "C"


async def test_more_than_may_wait_is_refused() -> None:
    store = SlowStore()
    async with group_commit(store, max_waiting=2) as commit:
        futures = [commit.submit("a")]
        await until_first_group(store)
        futures += [commit.submit("b"), commit.submit("c")]
        with pytest.raises(QueueFullError):
            commit.submit("d")
        store.gate.set()
        await asyncio.gather(*futures)


async def test_leaving_writes_what_waits() -> None:
    store = SlowStore()
    async with group_commit(store) as commit:
        futures = [commit.submit("a")]
        await until_first_group(store)
        futures += [commit.submit("b")]
        asyncio.get_running_loop().call_soon(store.gate.set)
    assert [future.result() for future in futures] == ["A", "B"]


async def test_a_submitter_that_gives_up_does_not_take_its_item_back() -> None:
    store = SlowStore()
    async with group_commit(store) as commit:
        first = commit.submit("a")
        await until_first_group(store)
        second, third = commit.submit("b"), commit.submit("c")
        first.cancel()
        second.cancel()
        store.gate.set()
        assert await third == "C"
    assert store.groups == [["a"], ["b", "c"]]


async def test_nothing_is_submitted_after_it_was_left() -> None:
    store = SlowStore()
    async with group_commit(store) as commit:
        pass
    with pytest.raises(AssertionError):
        commit.submit("late")


async def test_giving_up_on_leaving_cancels_what_waits_instead_of_leaving_it_for_ever() -> None:
    entered = asyncio.Event()

    async def write(_: Sequence[int]) -> Sequence[int]:
        entered.set()
        await asyncio.Event().wait()
        raise AssertionError("never gets here")

    futures: list[asyncio.Future[int]] = []

    async def work() -> None:
        async with GroupCommit(write, max_items=1, max_size=10, max_waiting=10, size_of=lambda _: 1) as commits:
            futures.extend(commits.submit(item) for item in range(3))
            await entered.wait()

    task = asyncio.create_task(work())
    await entered.wait()
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert all(future.cancelled() for future in futures)
