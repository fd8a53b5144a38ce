"""Commands that make the engine fail its own assertions, amid a change: what a bug of ours would look like."""

import contextlib
from collections.abc import Iterator
from typing import Any
from unittest.mock import patch

from exchange_core.commands import Command, PlaceOrder
from exchange_core.engine import PartitionEngine
from simulation.clients.traders import BOMB_PREFIX


def is_bomb(command: Command) -> bool:
    """Whether the engine is made to fail at it."""
    return isinstance(command, PlaceOrder) and command.client_order_id.startswith(BOMB_PREFIX)


@contextlib.contextmanager
def armed() -> Iterator[None]:
    """Every engine's `execute` half does what a bomb says, and then asserts."""
    execute: Any = PartitionEngine.execute

    def explode(self: PartitionEngine, command: Command, at_ms: int) -> Any:
        events = execute(self, command, at_ms)
        assert not is_bomb(command) or not events, "a bug that this command found"
        return events

    with patch.object(PartitionEngine, "execute", explode):
        yield
