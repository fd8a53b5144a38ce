"""How long a request waits for what Redis only makes better: not long, and not again and again."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final, TypeVar

import structlog

from exchange_core.errors import PortError

REDIS_TIMEOUT_S: Final = 0.05
REDIS_AWAY_S: Final = 1.0

Answer = TypeVar("Answer")

log = structlog.get_logger()


class RedisPatience:
    """Redis is given REDIS_TIMEOUT_S; one that did not answer is left alone for REDIS_AWAY_S."""

    def __init__(self, purpose: str) -> None:
        self._purpose = purpose
        self._away_until_s = 0.0

    @property
    def is_away(self) -> bool:
        """Whether it is left alone now."""
        return asyncio.get_running_loop().time() < self._away_until_s

    async def ask(self, call: Callable[[], Awaitable[Answer]]) -> Answer | None:
        """The call's answer; None when there is none in time, and while Redis is left alone."""
        if self.is_away:
            return None
        try:
            async with asyncio.timeout(REDIS_TIMEOUT_S):
                return await call()
        except (PortError, TimeoutError) as error:
            self._away_until_s = asyncio.get_running_loop().time() + REDIS_AWAY_S
            log.warning("redis_away", purpose=self._purpose, error=type(error).__name__)
            return None
