"""Which partitions this instance works: its fair share of them, by leases that run out when it dies.

Every instance also holds one seat of as many seats as there are partitions: the live seats tell how many instances
share the work, and whoever finds no seat free is a standby. Leases save work, they make nothing safe: two matchers on
one partition are slow and right (DESIGN.md section 3.3).
"""

import structlog

from exchange_core.ports import Clock, LeaseStore
from exchange_core.topology import partition_lease


def seat_lease(seat: int) -> str:
    """The lease of one of the instances that share the work."""
    return f"matcher-seat#{seat}"


class PartitionLeases:
    """Holds and renews this instance's leases; `refresh` is to be called about three times a ttl.

    `held` is what it may work on. A partition beyond the fair share is in `surplus`: whoever works it stops, then
    calls `release`. A store that cannot be reached changes nothing: no one else could take the lease either.
    """

    def __init__(self, store: LeaseStore, clock: Clock, *, owner: str, partitions: int, ttl_ms: int) -> None:
        self._store = store
        self._clock = clock
        self._owner = owner
        self._partitions = partitions
        self._ttl_ms = ttl_ms
        self._seat: int | None = None
        self._held: set[int] = set()
        self._surplus: frozenset[int] = frozenset()
        self._log = structlog.get_logger()

    @property
    def held(self) -> frozenset[int]:
        """Partitions whose lease is ours, as of the last refresh."""
        return frozenset(self._held)

    @property
    def surplus(self) -> frozenset[int]:
        """Partitions held beyond the fair share, to be handed over."""
        return self._surplus

    async def refresh(self) -> None:
        """Renew what is held and take what is free, up to the fair share."""
        await self._take_seat()
        order = self._preference()
        for partition in [partition for partition in order if partition in self._held]:
            if not await self._acquire(partition_lease(partition)):
                self._held.discard(partition)
                self._log.warning("lease_lost", partition=partition)
        share = await self._fair_share()
        for partition in order:
            if len(self._held) >= share:
                break
            if partition not in self._held and await self._acquire(partition_lease(partition)):
                self._held.add(partition)
                self._log.info("lease_taken", partition=partition, share=share)
        mine = [partition for partition in order if partition in self._held]
        self._surplus = frozenset(mine[share:])

    async def release(self, partition: int) -> None:
        """Give one partition up at once, so that another instance need not wait for the lease to run out."""
        if partition in self._held:
            self._held.discard(partition)
            await self._store.release(partition_lease(partition), self._owner)
            self._log.info("lease_released", partition=partition)

    async def release_seat(self) -> None:
        """Leave the sharing: the others take over what was released."""
        if self._seat is not None:
            seat, self._seat = self._seat, None
            await self._store.release(seat_lease(seat), self._owner)

    async def _take_seat(self) -> None:
        if self._seat is not None and not await self._acquire(seat_lease(self._seat)):
            self._log.warning("seat_lost", seat=self._seat)
            self._seat = None
        if self._seat is None:
            for seat in range(self._partitions):
                if await self._acquire(seat_lease(seat)):
                    self._seat = seat
                    return

    def _preference(self) -> list[int]:
        start = self._seat or 0
        return [(start + step) % self._partitions for step in range(self._partitions)]

    async def _fair_share(self) -> int:
        if self._seat is None:
            return 0
        live = 1
        for seat in range(self._partitions):
            if seat != self._seat:
                holder = await self._store.holder(seat_lease(seat))
                live += holder is not None and holder[1] > self._clock.now_ms()
        return -(-self._partitions // live)

    async def _acquire(self, name: str) -> bool:
        return await self._store.acquire(name, self._owner, self._clock.now_ms(), self._ttl_ms)
