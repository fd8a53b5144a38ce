"""Book states in S3, so that recovery need not read the whole journal. They save time; nothing depends on them."""

import asyncio
from collections.abc import Callable
from typing import Final

import structlog

from exchange_core.errors import PortError
from exchange_core.ports import SnapshotStore
from exchange_core.snapshot import StateImage
from exchange_matcher.turns import in_turns

_STOP_TIMEOUT_S: Final = 5.0


class SnapshotSchedule:
    """Decides when a state is kept; encodes and uploads it in the background, one at a time, beside the matching."""

    def __init__(self, store: SnapshotStore, partition: int, *, every_slots: int, every_s: float, kept: int) -> None:
        self._store = store
        self._partition = partition
        self._every_slots = every_slots
        self._every_s = every_s
        self._kept = kept
        self._kept_at_s = asyncio.get_running_loop().time()
        self._has_changes = False
        self._upload: asyncio.Task[None] | None = None
        self._log = structlog.get_logger().bind(partition=partition)

    def note_slot(self, has_events: bool) -> None:
        """A slot was journaled; heartbeats alone are not worth a snapshot."""
        self._has_changes = self._has_changes or has_events

    def take_if_due(self, n: int, image: Callable[[], StateImage]) -> None:
        """Keep the state after slot n if enough has happened. `image` is called at once, before anything else runs."""
        if self._upload is not None:
            if not self._upload.done():
                return
            self._upload.result()  # a state that cannot be encoded is a bug of ours, and ends the process
        is_old = asyncio.get_running_loop().time() >= self._kept_at_s + self._every_s
        if self._has_changes and (n - self._kept >= self._every_slots or is_old):
            self._start(n, image())

    async def finish(self, n: int, image: Callable[[], StateImage]) -> None:
        """Keep the last state if it is new, and wait a little for the upload; then give it up."""
        if self._upload is not None:
            await asyncio.wait([self._upload], timeout=_STOP_TIMEOUT_S)
        if self._has_changes and (self._upload is None or self._upload.done()):
            self._start(n, image())
            assert self._upload is not None
            await asyncio.wait([self._upload], timeout=_STOP_TIMEOUT_S)
        await self.abandon()

    async def abandon(self) -> None:
        """End an upload that is under way."""
        if self._upload is not None and not self._upload.done():
            self._upload.cancel()
            await asyncio.wait([self._upload])

    def _start(self, n: int, image: StateImage) -> None:
        self._kept = n
        self._kept_at_s = asyncio.get_running_loop().time()
        self._has_changes = False
        self._upload = asyncio.create_task(self._put(n, image))

    async def _put(self, n: int, image: StateImage) -> None:
        data = await in_turns(image.encode())
        try:
            await self._store.put(self._partition, n, data)
        except PortError as error:
            self._has_changes = True
            self._log.warning("snapshot_failed", slot=n, error=f"{type(error).__name__}: {error}")
        else:
            self._log.info("snapshot_kept", slot=n, size_bytes=len(data))
