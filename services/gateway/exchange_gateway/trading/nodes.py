"""Which node number this process makes order ids with: leased, renewed, never used longer than it is ours."""

import asyncio
from random import Random
from typing import Final

import structlog

from exchange_core.errors import Fatal, PortError
from exchange_core.ids import NODE_COUNT, IdGenerator
from exchange_core.ports import Clock, LeaseStore
from exchange_core.topology import node_lease
from exchange_gateway.problems import Code, ProblemError

LEASE_MS: Final = 30_000
RENEW_S: Final = 5.0
MARGIN_S: Final = 5.0
"""We stop this long before the lease runs out: clocks differ, and a request may be half-way through."""
_RETRY_S: Final = 0.5

log = structlog.get_logger()


class NodeLease:
    """Holds one of the lease names `node#<n>`. Two processes with one number could make one id twice, so without a
    lease in force no id is made."""

    def __init__(self, leases: LeaseStore, clock: Clock, random: Random, owner: str) -> None:
        self._leases = leases
        self._clock = clock
        self._random = random
        self._owner = owner
        self._node: int | None = None
        self._ids: IdGenerator | None = None
        self._good_until_s = 0.0

    @property
    def is_held(self) -> bool:
        """Whether ids may be made now."""
        return self._ids is not None and asyncio.get_running_loop().time() < self._good_until_s

    def next_id(self) -> int:
        """A new id; raises ProblemError `service_unavailable` without a lease."""
        if self._ids is None or not self.is_held:
            raise ProblemError(Code.SERVICE_UNAVAILABLE, "this gateway takes no commands at the moment")
        return self._ids.next_id(self._clock.now_ms())

    async def keep(self) -> None:
        """Acquire and renew for ever; a lost number is replaced by another one."""
        while True:
            try:
                is_ours = await (self._acquire_any() if self._node is None else self._acquire(self._node))
            except Fatal:
                raise
            except PortError as error:
                log.warning("node_lease_not_renewed", node=self._node, error=f"{type(error).__name__}: {error}")
                await asyncio.sleep(_RETRY_S)
                continue
            if not is_ours:
                log.error("node_lease_lost", node=self._node)
                self._node, self._ids = None, None
            await asyncio.sleep(RENEW_S if is_ours else _RETRY_S)

    async def release(self) -> None:
        """Give the number up; the next process need not wait for it."""
        node, self._node, self._ids = self._node, None, None
        if node is None:
            return
        try:
            await self._leases.release(node_lease(node), self._owner)
        except PortError as error:
            log.warning("node_lease_not_released", node=node, error=type(error).__name__)

    async def _acquire_any(self) -> bool:
        first = self._random.randrange(NODE_COUNT)
        for offset in range(NODE_COUNT):
            node = (first + offset) % NODE_COUNT
            if await self._acquire(node):
                log.info("node_leased", node=node)
                return True
        return False

    async def _acquire(self, node: int) -> bool:
        asked_at_s = asyncio.get_running_loop().time()
        if not await self._leases.acquire(node_lease(node), self._owner, self._clock.now_ms(), LEASE_MS):
            return False
        if self._node != node or self._ids is None:
            self._node, self._ids = node, IdGenerator(node)
        self._good_until_s = asked_at_s + LEASE_MS / 1000 - MARGIN_S
        return True
