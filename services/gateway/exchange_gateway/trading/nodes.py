"""Which node number this process makes order ids with, and for which milliseconds.

A number is leased until a moment, and whoever has it next has it from that moment on. An id names its millisecond, and
is made only for one that was leased: no two processes make one id, however their clocks run (ADR 18).
"""

import asyncio
from random import Random
from typing import Final

import structlog

from exchange_core.errors import Ambiguous, Fatal, PortError
from exchange_core.ids import NODE_COUNT, IdGenerator
from exchange_core.ports import Clock, LeaseStore
from exchange_core.topology import node_lease
from exchange_gateway.problems import Code, ProblemError

LEASE_MS: Final = 30_000
RENEW_S: Final = 5.0
_RETRY_S: Final = 0.5

log = structlog.get_logger()


class NodeLease:
    """Holds one of the lease names `node#<n>`; without one in force no id is made. `owner` names this process and no
    other, nor this one after it is started again."""

    def __init__(self, leases: LeaseStore, clock: Clock, random: Random, owner: str) -> None:
        self._leases = leases
        self._clock = clock
        self._random = random
        self._owner = owner
        self._term = 0
        self._may_renew = False
        self._node = 0
        self._ids: IdGenerator | None = None
        self._until_ms = 0
        self._latest_ms = 0

    @property
    def is_held(self) -> bool:
        """Whether ids may be made now."""
        return self._is_leased(self._now_ms())

    def next_id(self) -> int:
        """A new id; raises ProblemError `service_unavailable` without a lease."""
        now_ms = self._now_ms()
        if self._ids is None or not self._is_leased(now_ms):
            raise ProblemError(Code.SERVICE_UNAVAILABLE, "this gateway takes no commands at the moment")
        return self._ids.next_id(now_ms)

    async def keep(self) -> None:
        """Lease and renew for ever; a lost number is replaced by another one, and an end that a clock leapt past is
        seen within half a second."""
        loop = asyncio.get_running_loop()
        while True:
            due_s = loop.time() + (RENEW_S if await self.renew() else 0)
            await asyncio.sleep(_RETRY_S)
            while self.is_held and loop.time() < due_s:
                await asyncio.sleep(_RETRY_S)

    async def renew(self) -> bool:
        """One step of `keep`: whether it leased a number, for LEASE_MS from now. Raises Fatal."""
        try:
            if self._may_renew:
                self._may_renew = await self._acquire(self._node)
                if not self._may_renew:
                    log.error("node_lease_lost", node=self._node)
            else:
                self._may_renew = await self._acquire_any()
        except Fatal:
            raise
        except PortError as error:
            log.warning("node_lease_not_renewed", node=self._node, error=f"{type(error).__name__}: {error}")
            # A call that broke off may take effect behind the next one, and set its end back: no next one, then.
            self._may_renew = self._may_renew and not isinstance(error, Ambiguous)
            return False
        return self._may_renew

    async def release(self) -> None:
        """Give the number up, from the last id on: a process whose clock is not there yet takes another one."""
        ids, self._ids = self._ids, None
        if ids is None:
            return
        ends_ms = max(ids.last_ms + 1, self._until_ms - LEASE_MS)  # never before it began: others had it then
        try:
            await self._leases.acquire(node_lease(self._node), self._term_owner, ends_ms, 0)
        except PortError as error:
            log.warning("node_lease_not_released", node=self._node, error=type(error).__name__)

    def _now_ms(self) -> int:
        """The clock's time, or the latest that it ever told: what was leased is never asked for again with less."""
        self._latest_ms = max(self._latest_ms, self._clock.now_ms())
        return self._latest_ms

    def _is_leased(self, now_ms: int) -> bool:
        """Whether the next id is of a leased millisecond, which is `now_ms` or, amid a burst, one after the last."""
        return self._ids is not None and max(now_ms, self._ids.last_ms + 1) < self._until_ms

    @property
    def _term_owner(self) -> str:
        return f"{self._owner}-{self._term}"

    async def _acquire_any(self) -> bool:
        self._term += 1  # a call of an earlier term that is still under way is somebody else's, then
        first = self._random.randrange(NODE_COUNT)
        for offset in range(NODE_COUNT):
            node = (first + offset) % NODE_COUNT
            if await self._acquire(node):
                log.info("node_leased", node=node)
                return True
        return False

    async def _acquire(self, node: int) -> bool:
        now_ms = self._now_ms()
        if not await self._leases.acquire(node_lease(node), self._term_owner, now_ms, LEASE_MS):
            return False
        if self._ids is None or self._node != node:
            self._node, self._ids = node, IdGenerator(node)
        self._until_ms = now_ms + LEASE_MS
        return True
