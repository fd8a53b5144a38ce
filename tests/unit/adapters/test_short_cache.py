"""An answer is never older than promised when it is given to somebody who came for it later."""

import asyncio
from collections.abc import Awaitable
from typing import Any

import pytest

from exchange_adapters.short_cache import ShortCache
from exchange_adapters.sim.virtual_time import in_virtual_time
from exchange_core.errors import Unavailable

AGE_MAX_S = 5.0


class Store:
    """Answers what it had when it was asked, as late as it is told."""

    def __init__(self, value: str | None = "stands") -> None:
        self.value = value
        self.late_s = 0.0
        self.asked = 0

    async def read(self, _: str) -> str | None:
        self.asked += 1
        value = self.value
        await asyncio.sleep(self.late_s)
        if value == "out of reach":
            raise Unavailable(value)
        return value


def cached(store: Store, size_max: int = 10) -> ShortCache[str]:
    return ShortCache(store.read, age_max_s=AGE_MAX_S, size_max=size_max)


async def both(*calls: Awaitable[Any]) -> list[Any]:
    return await asyncio.gather(*calls, return_exceptions=True)


@in_virtual_time
async def test_an_answer_is_remembered_from_when_it_was_asked_for() -> None:
    store = Store()
    cache = cached(store)
    store.late_s = 2.0
    assert await cache.get("a") == "stands"
    store.value = "ended"
    await asyncio.sleep(2.9)
    assert (await cache.get("a"), store.asked) == ("stands", 1)
    await asyncio.sleep(0.1)
    assert (await cache.get("a"), store.asked) == ("ended", 2)


@in_virtual_time
async def test_those_who_come_together_ask_once() -> None:
    store = Store()
    store.late_s = 1.0
    cache = cached(store)
    assert await both(cache.get("a"), cache.get("a"), cache.get("b")) == ["stands"] * 3
    assert store.asked == 2


@in_virtual_time
async def test_who_comes_when_an_answer_has_been_on_its_way_for_too_long_asks_anew() -> None:
    """The process was suspended with it, or the store is that slow."""
    store = Store()
    store.late_s = 3 * AGE_MAX_S
    cache = cached(store)
    first = asyncio.ensure_future(cache.get("a"))
    await asyncio.sleep(AGE_MAX_S)
    store.value, store.late_s = "ended", 0.0
    assert await cache.get("a") == "ended"
    assert await first == "stands", "who asked before is told what was so then"
    assert await cache.get("a") == "ended", "and nobody else"


@in_virtual_time
async def test_what_was_forgotten_while_it_was_asked_for_is_not_kept() -> None:
    store = Store()
    store.late_s = 1.0
    cache = cached(store)
    first = asyncio.ensure_future(cache.get("a"))
    await asyncio.sleep(0.5)
    store.value = "ended"
    cache.forget("a")
    assert await both(first, cache.get("a")) == ["stands", "ended"]
    assert (await cache.get("a"), store.asked) == ("ended", 2)


@in_virtual_time
async def test_what_is_not_there_or_out_of_reach_is_asked_for_again() -> None:
    store = Store(None)
    cache = cached(store)
    assert await cache.get("a") is None
    store.value = "out of reach"
    store.late_s = 1.0
    assert [type(one) for one in await both(cache.get("a"), cache.get("a"))] == [Unavailable, Unavailable]
    store.value = "stands"
    assert (await cache.get("a"), store.asked) == ("stands", 3)


@in_virtual_time
async def test_the_oldest_is_forgotten_for_the_newest() -> None:
    store = Store()
    cache = cached(store, size_max=2)
    for key in ("a", "b", "c", "b", "a"):
        await cache.get(key)
    assert store.asked == 4


@in_virtual_time
async def test_an_asker_who_gives_up_leaves_nobody_waiting() -> None:
    store = Store()
    store.late_s = 1.0
    cache = cached(store)
    asker = asyncio.ensure_future(cache.get("a"))
    await asyncio.sleep(0.5)
    waiter = asyncio.ensure_future(cache.get("a"))
    await asyncio.sleep(0)
    asker.cancel()
    with pytest.raises(Unavailable):
        await waiter
    assert await cache.get("a") == "stands"
