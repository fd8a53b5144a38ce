"""Rate limits and once-only marks in Redis. Losing all of it forgets for a moment how often somebody asked.

Time is the server's own, so gateways whose clocks differ share a limit all the same. A limit is judged as
`exchange_core.rate_limits.judge` does, in one script: nobody can come between reading and writing.
"""

from collections.abc import Sequence
from typing import Final

from exchange_adapters.redis_market import RedisCalls
from exchange_core.rate_limits import Charge, Standing

_TAKE: Final = """
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local answer, charge, argument = {}, 0, 0
while charge < #KEYS do
    local count, first, passes = tonumber(ARGV[argument + 1]), charge, true
    for i = 1, count do
        local capacity, cost = tonumber(ARGV[argument + 2 * i]), tonumber(ARGV[argument + 2 * i + 1])
        local full_at = tonumber(redis.call('GET', KEYS[first + i]) or now)
        local full_in = math.min(math.max(0, full_at - now), capacity)
        local wait = math.max(0, full_in + cost - capacity)
        answer[2 * (first + i) - 1], answer[2 * (first + i)] = full_in, wait
        passes = passes and wait == 0
    end
    for i = 1, passes and count or 0 do
        local full_in = answer[2 * (first + i) - 1] + tonumber(ARGV[argument + 2 * i + 1])
        local text = string.format('%.0f', now + full_in)
        redis.call('SET', KEYS[first + i], text, 'PX', string.format('%.0f', math.floor(full_in / 1000) + 1))
        answer[2 * (first + i) - 1] = full_in
    end
    charge, argument = charge + count, argument + 1 + 2 * count
end
return answer
"""
"""KEYS: the stores of all requests. ARGV, for each request: how many stores, then for each what it holds and what is
taken from it, in microseconds. Answers, for each store, in how many it is full, and how many the charge must wait."""


class RedisRateLimiter(RedisCalls):
    """RateLimiter. A store is the time at which it is full, as text; one that is full is forgotten."""

    def __init__(self, url: str) -> None:
        super().__init__(url)
        self._script = self._redis.register_script(_TAKE)

    async def take(self, asked: Sequence[Sequence[Charge]]) -> list[list[Standing]]:
        """Judge many requests in one round trip, in order, each by all its charges (of different keys): take all of
        them, or none when one does not pass. Where each stands then."""
        if not any(asked):
            return [[] for _ in asked]
        keys = [charge.key for charges in asked for charge in charges]
        arguments = [number for charges in asked for number in _arguments(charges)]
        async with self._bounded():
            answer = await self._script(keys, arguments)
        pairs = iter(zip(answer[::2], answer[1::2], strict=True))
        return [[_standing(charge, *next(pairs)) for charge in charges] for charges in asked]


class RedisOnceMarks(RedisCalls):
    """OnceMarks: keys that are set only where there is none."""

    async def claim(self, key: str, ttl_ms: int) -> bool:
        """Set the mark for so long; False when it stands already."""
        async with self._bounded():
            return bool(await self._redis.set(key, b"", nx=True, px=ttl_ms))


def _arguments(charges: Sequence[Charge]) -> list[int]:
    numbers = [number for charge in charges for number in (charge.limit.capacity_us, charge.cost_us)]
    return [len(charges), *numbers]


def _standing(charge: Charge, full_in_us: int, wait_us: int) -> Standing:
    return Standing(limit=charge.limit, full_in_us=full_in_us, wait_us=wait_us)
