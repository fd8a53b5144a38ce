"""Bounds that no world is large enough to reach, made so small that it does: a page of two slots, a list of one order.

A world lasts for a minute: its journal fills no page, its backlog no list, so what is wrong behind such a bound would
never be lived through. Each seed tightens some of them, as FoundationDB's simulation turns its knobs; never so far that
a minute would not be enough to come to rest.
"""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from random import Random
from types import ModuleType
from typing import Final
from unittest.mock import patch

from exchange_fanout import books, connections, hub
from exchange_gateway.trading import commands_out, nodes, open_orders, orders, sweeper
from exchange_matcher import old_commands, publication, recovery, slots
from exchange_persister import reconciler, settlement

_SHARE: Final = 0.25

_SMALL: Final[tuple[tuple[ModuleType, str, tuple[int, ...]], ...]] = (
    (books, "DIFFS_KEPT_MAX", (1, 3)),
    (connections, "BURST", (1,)),
    (hub, "BURST", (1,)),
    (commands_out, "CALL_MESSAGES_MAX", (1, 2)),
    (commands_out, "MESSAGE_COMMANDS_MAX", (1, 3)),
    (nodes, "NODE_COUNT", (8,)),
    (open_orders, "_KNOWN_MAX", (1,)),
    (orders, "_REMEMBERED_SENDS", (1,)),
    (orders, "_REMEMBERED_UNSENT", (1,)),
    (sweeper, "LISTED_MAX", (8,)),
    (sweeper, "RESENT_MAX", (8,)),
    (old_commands, "PAGE_SLOTS", (1, 3)),
    (publication, "_REFRESH_SYMBOLS", (1,)),
    (recovery, "PAGE_SLOTS", (1, 3)),
    (slots, "MAX_SLOT_EVENTS", (1, 4)),
    (reconciler, "READ_SLOTS", (2,)),
    (reconciler, "SLOTS_A_ROUND", (2, 10)),
    (reconciler, "SWEPT_A_ROUND", (1,)),
    (reconciler, "WALLETS_A_ROUND", (1, 4)),
    (settlement, "_SEEN_BATCH", (1,)),
)


@contextmanager
def tightened(random: Random) -> Iterator[list[str]]:
    """The bounds that a seed tightens, by name, tight for as long as this is open."""
    chosen: list[str] = []
    with ExitStack() as stack:
        for module, name, values in _SMALL:
            if random.random() < _SHARE:
                value = random.choice(values)
                stack.enter_context(patch.object(module, name, value))
                chosen.append(f"{module.__name__.rpartition('.')[2]}.{name.strip('_')}={value}")
        yield chosen
