"""Which connections are here and what they watch, told to the world: Redis sets and the connections table.

Nothing waits for these writes and nothing is decided from them: they say who is connected to which node, for operators
and for whatever sends to one client. What could not be written is written again until it is; what is left behind by a
node that was killed runs out by itself.
"""

import asyncio
import contextlib

import structlog

from exchange_core.errors import PortError
from exchange_core.ports import Clock, ConnectionStore, SubscriberSets
from exchange_core.topology import subscribers_key

PARALLEL_WRITES = 16
RETRY_S = 1.0
TTL_REFRESHES = 3
"""A connection's row outlives this many missed refreshes."""

Record = tuple[str, str]
"""(connection id, symbol it watches), or (connection id, "") for the connection itself."""

log = structlog.get_logger()


class Presence:
    """Keeps the stores in step with `join`, `leave`, `watch` and `unwatch`, which never wait.

    `run` writes changes as they come and everything again each `refresh_s`. What waits to be written is one entry a
    record, however often it changed meanwhile.
    """

    def __init__(
        self,
        *,
        node: str,
        clock: Clock,
        sets: SubscriberSets,
        connections: ConnectionStore,
        refresh_s: float,
    ) -> None:
        self._node = node
        self._clock = clock
        self._sets = sets
        self._connections = connections
        self._refresh_s = refresh_s
        self._present: dict[Record, None] = {}
        self._unwritten: dict[Record, None] = {}
        self._changed = asyncio.Event()

    def join(self, connection_id: str) -> None:
        """The connection is here."""
        self._change((connection_id, ""), is_present=True)

    def leave(self, connection_id: str) -> None:
        """The connection is gone; its subscriptions must be unwatched as well."""
        self._change((connection_id, ""), is_present=False)

    def watch(self, connection_id: str, symbol: str) -> None:
        """It watches the symbol."""
        self._change((connection_id, symbol), is_present=True)

    def unwatch(self, connection_id: str, symbol: str) -> None:
        """It does so no more."""
        self._change((connection_id, symbol), is_present=False)

    def _change(self, record: Record, *, is_present: bool) -> None:
        if is_present:
            self._present[record] = None
        else:
            self._present.pop(record, None)
        self._unwritten[record] = None
        self._changed.set()

    async def run(self) -> None:
        """Write changes and refresh, for ever."""
        loop = asyncio.get_running_loop()
        refresh_at_s = loop.time() + self._refresh_s
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout_at(refresh_at_s):
                    await self._changed.wait()
            self._changed.clear()
            if loop.time() >= refresh_at_s:
                refresh_at_s = loop.time() + self._refresh_s
                self._unwritten |= self._present
            await self.write()
            if self._unwritten:
                await asyncio.sleep(RETRY_S)
                self._changed.set()

    async def write(self) -> None:
        """Write what waits; what fails goes on waiting."""
        records = list(self._unwritten)
        for start in range(0, len(records), PARALLEL_WRITES):
            async with asyncio.TaskGroup() as writes:
                for record in records[start : start + PARALLEL_WRITES]:
                    del self._unwritten[record]
                    writes.create_task(self._write_one(record))

    async def _write_one(self, record: Record) -> None:
        is_written = False
        try:
            await self._store(record)
            is_written = True
        except PortError as error:
            log.warning("presence_not_written", error=str(error), kind=type(error).__name__)
        finally:
            if not is_written:
                self._unwritten.setdefault(record)

    async def _store(self, record: Record) -> None:
        connection_id, symbol = record
        is_present = record in self._present
        if symbol and is_present:
            await self._sets.add(subscribers_key(symbol), connection_id)
        elif symbol:
            await self._sets.remove(subscribers_key(symbol), connection_id)
        elif is_present:
            lifetime_ms = int((1 + TTL_REFRESHES) * self._refresh_s * 1000)
            await self._connections.put(connection_id, self._node, self._clock.now_ms() + lifetime_ms)
        else:
            await self._connections.delete(connection_id)
